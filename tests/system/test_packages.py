# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian packages: built from a copy of the tree, checked, unpacked, and used from there.

`make install` runs in it as the packages' build does: as a user who can write nowhere else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvmlog.cli.main import COMMANDS
from scripts.vm import kernels

PROJECT = Path(__file__).parents[2]
NOBODY = 65534
HANG_S = 600
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEB_BUILD_OPTIONS": "noautodbgsym parallel=2",
}
NO_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv", "build", "dist", "*.egg-info", "*.so", "*.ko", "*.o", "__pycache__"),
    *(".hypothesis", ".*_cache"),
)
INSTALL = ("PREFIX=/usr", "UNITDIR=/lib/systemd/system")
UNITS = "lib/systemd/system"
# `systemd-analyze security`: 0 safe to 10 unsafe. The bridge is root and loads modules.
EXPOSURE_AT_MOST = {
    "kvmlog-bridge": 4.0,
    "kvmlog-rpc": 2.0,
    "kvmlog-history": 2.0,
    "kvmlog-vmstats": 2.0,
    "kvmlog-metrics": 2.0,
}
COLLECTOR_FILES = {
    "lib/systemd/system/kvmlog-vmstats.service",
    "usr/lib/sysusers.d/kvmlog-vmstats.conf",
    "usr/lib/tmpfiles.d/kvmlog-vmstats.conf",
}
METRICS_FILES = {
    "lib/systemd/system/kvmlog-metrics.service",
    "usr/lib/sysusers.d/kvmlog-metrics.conf",
}
PROGRAM_FILES = {
    "etc/kvmlog/kvmlog.toml",
    "lib/systemd/system/kvmlog-bridge.service",
    "lib/systemd/system/kvmlog-history.service",
    "lib/systemd/system/kvmlog-rpc.service",
    "usr/bin/kvmlog",
    "usr/lib/kvmlog/kvmlog/analysis/report/echarts/LICENSE",
    "usr/lib/kvmlog/kvmlog/analysis/report/echarts/echarts.min.js",
    "usr/lib/kvmlog/kvmlog/analysis/report/page/report.html.j2",
    "usr/lib/kvmlog/kvmlog/native/_native.abi3.so",
    "usr/lib/kvmlog/kvmlog/sources/bpf/include/bpf/exit.c",
    "usr/lib/kvmlog/kvmlog/sources/bpf/include/uapi/kvmlog/record.h",
    "usr/lib/kvmlog/kvmlog/cli/main.py",
    "usr/lib/kvmlog/kvmlog/cli/demo/payload.rom",
    "usr/lib/kvmlog/kvmlog/history/main.py",
    "usr/lib/kvmlog/kvmlog/metrics/main.py",
    "usr/lib/kvmlog/kvmlog/rpcserver/main.py",
    "usr/lib/kvmlog/kvmlog/vmstats/main.py",
    "usr/lib/sysusers.d/kvmlog.conf",
    "usr/lib/tmpfiles.d/kvmlog.conf",
    "usr/share/bash-completion/completions/kvmlog",
    "usr/lib/kvmlog/vdsm/kvmlog_hook.py",
    "usr/share/doc/kvmlog/ceilometer/polling.yaml",
    "usr/share/doc/kvmlog/ceilometer/pollsters.d/kvmlog.yaml",
    "usr/share/doc/kvmlog/operations.md",
    "usr/share/doc/kvmlog/prometheus/alerts.yml",
    "usr/share/doc/kvmlog/schemas/vmstats.json",
    "usr/share/fish/vendor_completions.d/kvmlog.fish",
    "usr/share/man/man1/kvmlog.1.gz",
    *(f"usr/share/man/man1/kvmlog-{name}.1.gz" for name, _, _ in COMMANDS),
    "usr/share/zsh/vendor-completions/_kvmlog",
}


@dataclass
class Packages:
    """Results of a build: the copied sources, the packages, and a root that has all unpacked."""

    sources: Path
    changes: Path
    root: Path
    paths: dict[str, Path]  # of each package

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs it as whoever built the packages; its output as one text."""
        return run(*command, folder=self.sources, check=check)


def run(
    *command: str, folder: Path, check: bool = True, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end: as nobody when this is root, where no other `user` is given."""
    who: dict[str, object] = {}
    if os.geteuid() == 0:
        number = NOBODY if user is None else user
        who = {"user": number, "group": number, "extra_groups": []}
    done = subprocess.run(  # type: ignore[call-overload]  # who: keywords of the same call
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
        env={**ENVIRONMENT, "HOME": str(folder)},
        **who,
    )
    assert isinstance(done, subprocess.CompletedProcess)
    assert not check or done.returncode == 0, done.stdout
    return done


@pytest.fixture(scope="module")
def packages() -> Iterator[Packages]:
    """One build for all tests of this file."""
    with tempfile.TemporaryDirectory(prefix="kvmlog-packages-") as name:
        place = Path(name)
        sources = place / "kvmlog"
        shutil.copytree(PROJECT, sources, ignore=NO_SOURCE, symlinks=True)
        # What a build takes of npm, which was fetched by scripts/setup: tests need no network.
        for fetched in ("npm/echarts.min.js", "stamps/npm-echarts"):
            copy = sources / "build" / fetched
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / "build" / fetched, copy)
        if os.geteuid() == 0:
            for path in (place, sources, *sources.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        run("dpkg-buildpackage", "-us", "-uc", "-b", folder=sources)
        root = place / "root"
        paths = {path.name.split("_")[0]: path for path in place.glob("*.deb")}
        assert paths.keys() == {"kvmlog", "kvmlog-dkms", "kvmlog-metrics", "kvmlog-vmstats"}
        for path in paths.values():
            run("dpkg", "-x", str(path), str(root), folder=sources)
        (changes,) = place.glob("*.changes")
        yield Packages(sources, changes, root, paths)


def files(root: Path) -> set[str]:
    """All files below, by their path from there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def version() -> str:
    """The project's."""
    return str(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"])


def test_the_packages_hold_what_they_should(packages: Packages) -> None:
    """Program, services, configuration, documentation; the module's source with all its headers."""
    found = files(packages.root)
    assert found >= PROGRAM_FILES | COLLECTOR_FILES | METRICS_FILES
    module = {name for name in found if name.startswith("usr/src/")}
    here = f"usr/src/kvmlog-{version()}"
    sources = {f"{here}/{path.relative_to(PROJECT / 'kmod')}" for path in c_files("kmod")}
    headers = {f"{here}/{path.relative_to(PROJECT)}" for path in c_files("include")}
    assert module == sources | headers | {f"{here}/Kbuild", f"{here}/dkms.conf"}
    assert [name for name in found if name.endswith((".pyc", ".orig"))] == []


@pytest.mark.parametrize(
    ("package", "own"),
    [("kvmlog-vmstats", COLLECTOR_FILES), ("kvmlog-metrics", METRICS_FILES)],
)
def test_optional_services_are_packages_of_their_own(
    packages: Packages, package: str, own: set[str]
) -> None:
    """Each has its service and its user, nothing else, and makes the user before it starts."""
    listed = packages.run("dpkg", "-c", str(packages.paths[package])).stdout
    names = {line.split()[-1].removeprefix("./") for line in listed.splitlines()}
    files = {name for name in names if name and not name.endswith("/")}
    assert {name for name in files if not name.startswith("usr/share/doc/")} == own
    scripts = packages.run("dpkg", "-I", str(packages.paths[package]), "postinst").stdout
    assert "systemd-sysusers" in scripts
    assert f"{package}.service" in scripts


def test_what_few_hosts_need_is_taken_by_those_packages(packages: Packages) -> None:
    """Only the collector takes libvirt, only metrics prometheus_client."""

    def depends(package: str) -> set[str]:
        found = packages.run("dpkg", "-f", str(packages.paths[package]), "Depends").stdout
        return {one.split()[0] for one in found.split(", ")}

    assert depends("kvmlog-vmstats") >= {"kvmlog", "python3-libvirt"}
    imported = {"python3-aiohttp", "python3-apispec", "python3-cattr", "python3-defusedxml"}
    assert depends("kvmlog") >= imported
    assert depends("kvmlog-metrics") >= {"kvmlog", "python3-prometheus-client"}
    assert {"python3-libvirt", "python3-prometheus-client"} & depends("kvmlog") == set()


def c_files(folder: str) -> set[Path]:
    """C sources and headers of the project's folder."""
    return {path for path in (PROJECT / folder).rglob("*.[ch]") if "build" not in path.parts}


def test_lintian_finds_no_error(packages: Packages) -> None:
    """No package and no changes file has a lintian error."""
    done = packages.run("lintian", "--fail-on", "error", str(packages.changes), check=False)
    assert done.returncode == 0, done.stdout


def test_the_unpacked_program_runs(packages: Packages) -> None:
    """The program runs from wherever it stands, with Debian's own interpreter and libraries.

    It does so for every user.
    """
    program = str(packages.root / "usr/bin/kvmlog")
    config = str(packages.root / "etc/kvmlog/kvmlog.toml")
    assert "receive records and write the ring" in packages.run(program, "--help").stdout
    assert packages.run(program, "config", "check", config).stdout == f"{config}: good\n"
    explained = packages.run(program, "explain", "npf").stdout
    assert "nested page" in explained.lower()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("d",), {"dump", "demo"}),
        (("dump", "--v"), {"--vm"}),
        (("remote", "host1", "d"), {"dump"}),
        (("remote", "host1", "dump", "--slow"), {"--slower-than"}),
        (("switch", "o"), {"on", "off"}),
    ],
)
def test_bash_completes(packages: Packages, words: tuple[str, ...], offered: set[str]) -> None:
    """The installed completion offers commands, options and choices, in bash alone."""
    installed = packages.root / "usr/share/bash-completion/completions/kvmlog"
    typed = " ".join(("kvmlog", *words))
    asked = f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}; function=$(complete -p kvmlog)"
    call = 'function=${function##*-F }; "${function%% *}" kvmlog "${COMP_WORDS[COMP_CWORD]}"'
    done = packages.run(
        *("bash", "--norc", "-uc"),
        f"set +u; source {installed}; {asked}; {call}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    )
    assert set(done.stdout.split()) == offered


def test_the_services_are_sound(packages: Packages) -> None:
    """systemd-analyze verify has nothing to say, and the sandbox is as tight as it was."""
    for name, most in EXPOSURE_AT_MOST.items():
        text = (packages.root / UNITS / f"{name}.service").read_text()
        assert "ExecStart=/usr/bin/kvmlog " in text
        unit = packages.sources / f"{name}.service"
        unit.write_text(text.replace("=/usr/bin/", f"={packages.root}/usr/bin/"))
        unit.chmod(0o644)
        said = packages.run("systemd-analyze", "verify", "--man=no", str(unit))
        assert said.stdout == ""
        security = packages.run(
            *("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
        )
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", security.stdout)
        assert found, security.stdout
        assert float(found[1]) <= most


@pytest.mark.skipif(os.geteuid() != 0, reason="systemd-sysusers chowns; run as root")
@pytest.mark.parametrize("libvirt", [True, False])
def test_users_and_directories_are_made(packages: Packages, tmp_path: Path, libvirt: bool) -> None:
    """Below an empty root: the group, the services' users in it, their directories.

    The collector may use libvirt's sockets, by the group that libvirt has made, or will find.
    """
    (tmp_path / "etc").mkdir()
    if libvirt:
        (tmp_path / "etc/group").write_text("libvirt:x:106:\n")
    for kind in ("sysusers", "tmpfiles"):
        for name in ("kvmlog", "kvmlog-vmstats", "kvmlog-metrics"):
            conf = f"usr/lib/{kind}.d/{name}.conf"
            # Metrics have no folder of their own.
            if (name, kind) != ("kvmlog-metrics", "tmpfiles"):
                (tmp_path / conf).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / conf).write_bytes((packages.root / conf).read_bytes())
    root = f"--root={tmp_path}"
    run("systemd-sysusers", root, folder=tmp_path, user=0)
    run("systemd-tmpfiles", root, "--create", folder=tmp_path, user=0)
    (group,) = fields(tmp_path / "etc/group", "kvmlog")
    (rpc,) = fields(tmp_path / "etc/passwd", "kvmlog-rpc")
    (history,) = fields(tmp_path / "etc/passwd", "kvmlog-history")
    (collector,) = fields(tmp_path / "etc/passwd", "kvmlog-vmstats")
    (metrics,) = fields(tmp_path / "etc/passwd", "kvmlog-metrics")
    for one in (rpc, metrics):
        assert (one[3], one[6]) == (group[2], "/usr/sbin/nologin")
    assert (history[3], history[5:]) == (
        group[2],
        ["/var/lib/kvmlog-history", "/usr/sbin/nologin"],
    )
    assert (collector[3], collector[5:]) == (
        group[2],
        ["/var/lib/kvmlog-vmstats", "/usr/sbin/nologin"],
    )
    (libvirts,) = fields(tmp_path / "etc/group", "libvirt")
    assert libvirts[3] == "kvmlog-vmstats"
    assert not libvirt or libvirts[2] == "106"
    owners = {"kvmlog": 0, "kvmlog-history": int(history[2]), "kvmlog-vmstats": int(collector[2])}
    for name, owner in owners.items():
        made = (tmp_path / "run" / name).stat()
        assert (made.st_mode & 0o7777, made.st_uid, made.st_gid) == (0o750, owner, int(group[2]))


def fields(path: Path, name: str) -> list[list[str]]:
    """The entry of passwd(5) or group(5) with this name, in its parts."""
    lines = [line.split(":") for line in path.read_text().splitlines()]
    return [parts for parts in lines if parts[0] == name]


def test_uninstall_leaves_the_configuration_alone(packages: Packages) -> None:
    """Files that make install put below DESTDIR go, and nothing else."""
    tree = packages.sources / "debian/tmp"
    assert "usr/bin/kvmlog" in files(tree)
    packages.run("make", "uninstall", f"DESTDIR={tree}", *INSTALL)
    assert files(tree) == {"etc/kvmlog/kvmlog.toml"}


def test_install_keeps_an_operator_s_configuration(packages: Packages) -> None:
    """A second installation, below another prefix; the launcher finds its own program."""
    tree = packages.sources / "installed"
    config = tree / "etc/kvmlog/kvmlog.toml"
    packages.run("install", "-d", str(config.parent))
    config.write_text("[bridge]\nslots = 2048\n")
    packages.run("make", "install", f"DESTDIR={tree}", "PREFIX=/opt/kvmlog")
    shown = packages.run(str(tree / "opt/kvmlog/bin/kvmlog"), "config", "show", str(config))
    assert re.search(r"^bridge\.slots +2048 ", shown.stdout, re.MULTILINE)
    unit = (tree / "opt/kvmlog/lib/systemd/system/kvmlog-rpc.service").read_text()
    assert "ExecStart=/opt/kvmlog/bin/kvmlog rpc\n" in unit


def test_versions_are_one() -> None:
    """Project, Debian changelog, dkms.conf and the manual page."""
    first = (PROJECT / "debian/changelog").read_text().split("\n")[0]
    dkms = (PROJECT / "kmod/dkms.conf").read_text()
    manual = (PROJECT / "docs/kvmlog.1").read_text()
    assert f"kvmlog ({version()})" in first
    assert f'PACKAGE_VERSION="{version()}"\n' in dkms
    assert f'"kvmlog {version()}"' in manual


def test_dkms_builds_the_module(packages: Packages, tmp_path: Path) -> None:
    """DKMS builds the unpacked source for one of the kernels that tests run.

    The tree is its own.
    """
    kernel = kernels.find("6.1")
    headers = kernel.headers.resolve()
    common = [
        *("-m", "kvmlog", "-v", version()),
        *("--sourcetree", str(packages.root / "usr/src"), "--dkmstree", str(tmp_path)),
    ]
    run("dkms", "add", *common, folder=tmp_path, user=os.geteuid())
    run(
        *("dkms", "build", *common, "-k", kernel.version, "--kernelsourcedir", str(headers)),
        folder=tmp_path,
        user=os.geteuid(),
    )
    assert len(list((tmp_path / "kvmlog" / version() / kernel.version).rglob("kvmlog.ko*"))) == 1
