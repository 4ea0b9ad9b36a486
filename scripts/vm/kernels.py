# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian kernels for virtual machines: fetched and unpacked under build/kernels, never installed.

    build/kernels/VERSION/boot/vmlinuz-VERSION     the image
    build/kernels/VERSION/vmlinux                  the same, uncompressed: boots directly
    build/kernels/VERSION/lib/modules/VERSION/     its modules, with modules.dep
    build/kernels/VERSION/lib/modules/VERSION/build  headers that modules build against
    build/kernels/VERSION/complete                 written last

A series ("6.1") is found through apt alone, so the machine's own package sources
decide where it comes from. The series "debug" is what scripts/debug-kernel has built.

    python3 -m scripts.vm.kernels fetch 6.1 6.12     fetch what is not there yet
    python3 -m scripts.vm.kernels list               versions that are there, one per line
    python3 -m scripts.vm.kernels path 6.1           the directory of the newest 6.1
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.vm.bzimage import ImageError, extract_vmlinux

PROJECT = Path(__file__).resolve().parents[2]
KERNELS = PROJECT / "build" / "kernels"
SERIES = ("6.1", "6.12")
FLAVOUR = "amd64"
DEBUG = "debug"
_COMPLETE = "complete"
_RELATION = re.compile(
    r"^(?P<name>[a-z0-9.+-]+)(?::\w+)?(?: \((?:= (?P<version>[^)]+)|[<>]+=? [^)]+)\))?$"
)


class KernelError(Exception):
    """A kernel cannot be found, fetched or used; the text says what to do."""


@dataclass(frozen=True)
class Kernel:
    """One unpacked kernel."""

    version: str  # as uname -r says it: "6.1.0-56-amd64"
    root: Path

    @property
    def is_debug(self) -> bool:
        return self.version.endswith(f"-{DEBUG}")

    @property
    def boot_timeout_s(self) -> float:
        """How long its boot may take; what judges itself all the while is slow."""
        return 600.0 if self.is_debug else 120.0

    @property
    def image(self) -> Path:
        """What QEMU boots: quickest by PVH, whose entry KASAN's checks would end at once."""
        return self.vmlinuz if self.is_debug else self.vmlinux

    @property
    def vmlinuz(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.version}"

    @property
    def vmlinux(self) -> Path:
        return self.root / "vmlinux"

    @property
    def modules(self) -> Path:
        return self.root / "lib" / "modules" / self.version

    @property
    def headers(self) -> Path:
        """Directory for `make -C` in which modules are built."""
        return self.modules / "build"


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    depends: tuple[tuple[str, str | None], ...]


def fetched(kernels: Path = KERNELS) -> list[Kernel]:
    """All kernels that are completely unpacked, oldest first."""
    found = [
        Kernel(path.parent.name, path.parent) for path in sorted(kernels.glob(f"*/{_COMPLETE}"))
    ]
    return sorted(found, key=lambda kernel: _version_key(kernel.version))


def find(wanted: str, kernels: Path = KERNELS) -> Kernel:
    """The newest kernel of a series ("6.1", or "debug") or one exact version.

    Raises KernelError when there is none.
    """
    matching = [kernel for kernel in fetched(kernels) if _is_of(kernel.version, wanted)]
    if not matching:
        present = ", ".join(kernel.version for kernel in fetched(kernels)) or "none"
        remedy = f"run `make setup`, or: .venv/bin/python -m scripts.vm.kernels fetch {wanted}"
        if wanted == DEBUG:
            remedy = "scripts/debug-kernel builds one, in half an hour"
        raise KernelError(f"No kernel {wanted} in {kernels} (there: {present}); {remedy}")
    return matching[-1]


def fetch(series: str, kernels: Path = KERNELS) -> Kernel:
    """Download and unpack the newest kernel of `series` that apt offers with its headers.

    Returns the one that is there already without asking apt. Raises KernelError.
    """
    try:
        return find(series, kernels)
    except KernelError:
        pass
    problems: list[str] = []
    for image in _candidates(series):
        try:
            return _fetch_one(image, kernels)
        except KernelError as error:
            problems.append(str(error))
    detail = "; ".join(problems) or "apt knows no such package"
    raise KernelError(
        f"Cannot fetch a kernel {series}: {detail}. Run `apt-get update` as root, and see that "
        "the package sources have bookworm, bookworm-updates and bookworm-security"
    )


def _is_of(version: str, wanted: str) -> bool:
    if version == wanted:
        return True
    # Nobody who asks for 6.1 wants its debug kernel.
    if version.endswith(f"-{DEBUG}"):
        return wanted == DEBUG
    return re.match(re.escape(wanted) + r"[.-]", version) is not None


def _version_key(version: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.+-]", version)
    ]


def _candidates(series: str) -> Iterator[_Package]:
    """Image packages of the series, best first: what the meta packages name, then any other."""
    seen: set[tuple[str, str]] = set()
    for meta in (f"linux-image-{series}-{FLAVOUR}", f"linux-image-{FLAVOUR}"):
        for package in _show(meta):
            for name, version in package.depends:
                if not _is_of(name.removeprefix("linux-image-"), series):
                    continue
                for image in _show(name, version):
                    if (image.name, image.version) not in seen:
                        seen.add((image.name, image.version))
                        yield image
    names = _apt("apt-cache", "pkgnames", f"linux-image-{series}").split()
    exact = re.compile(rf"linux-image-{re.escape(series)}[.-][0-9][^ ]*-{FLAVOUR}")
    for name in sorted(filter(exact.fullmatch, names), key=_version_key, reverse=True):
        for image in _show(name):
            if (image.name, image.version) not in seen:
                seen.add((image.name, image.version))
                yield image


def _show(name: str, version: str | None = None) -> list[_Package]:
    """Every version of a package that apt knows, newest first; empty when it knows none."""
    packages = []
    for paragraph in _apt("apt-cache", "show", name).split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[\w-]+: ", line)
        )
        if "Package" not in fields or version not in (None, fields["Version"]):
            continue
        relations = (
            _RELATION.match(part.split("|")[0].strip())
            for part in fields.get("Depends", "").split(",")
        )
        depends = tuple((match["name"], match["version"]) for match in relations if match)
        packages.append(_Package(fields["Package"], fields["Version"], depends))
    return packages


def _apt(*command: str) -> str:
    """Output of an apt query; empty when apt does not know what was asked for."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise KernelError(f"{command[0]} is missing: kernels are fetched by apt only") from error
    return done.stdout if done.returncode == 0 else ""


def _packages_of(image: _Package) -> list[_Package]:
    """The image and, found through the headers' dependencies, all that modules build with."""
    version = image.name.removeprefix("linux-image-")
    wanted: list[tuple[str, str | None]] = [(f"linux-headers-{version}", image.version)]
    packages = [image]
    while wanted:
        name, exact = wanted.pop()
        if any(package.name == name for package in packages):
            continue
        shown = _show(name, exact)
        if not shown:
            raise KernelError(f"{image.name} {image.version}: apt does not offer {name} {exact}")
        packages.append(shown[0])
        wanted += [
            (depends, depends_version)
            for depends, depends_version in shown[0].depends
            if depends.startswith(("linux-headers-", "linux-kbuild-"))
        ]
    return packages


def _fetch_one(image: _Package, kernels: Path) -> Kernel:
    version = image.name.removeprefix("linux-image-")
    packages = _packages_of(image)
    kernels.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kernels) as scratch:
        debs, root = Path(scratch, "debs"), Path(scratch, "root")
        debs.mkdir()
        _download(packages, debs)
        root.mkdir(mode=0o755)
        for deb in sorted(debs.glob("*.deb")):
            print(f"unpacking {deb.name}", flush=True)
            _run("dpkg-deb", "-x", str(deb), str(root))
        kernel = Kernel(version, root)
        shutil.rmtree(root / "usr" / "share", ignore_errors=True)
        _make_relocatable(kernel)
        _run("depmod", "-b", str(root), version)
        try:
            kernel.vmlinux.write_bytes(extract_vmlinux(kernel.vmlinuz))
        except ImageError as error:
            raise KernelError(str(error)) from error
        (root / _COMPLETE).write_text(
            "".join(f"{package.name} {package.version}\n" for package in packages)
        )
        final = kernels / version
        if final.exists():
            shutil.rmtree(final)
        root.rename(final)
    return Kernel(version, final)


def _download(packages: Sequence[_Package], directory: Path) -> None:
    names = [f"{package.name}={package.version}" for package in packages]
    print(f"downloading {' '.join(names)}", flush=True)
    command = ["apt-get", "download", "-q", *names]
    if os.geteuid() == 0:  # the sandbox user cannot write below a private project directory
        command[1:1] = ["-o", "APT::Sandbox::User=root"]
    done = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise KernelError(f"apt-get download of {' '.join(names)} failed: {done.stdout.strip()}")


def _run(*command: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    if done.returncode != 0:
        raise KernelError(f"`{' '.join(command)}` gave {done.returncode}: {done.stderr.strip()}")


def _make_relocatable(kernel: Kernel) -> None:
    """Replace the absolute /usr/src of Debian's headers, so that they work where they lie."""
    source = kernel.root / "usr" / "src"
    for makefile in (source / f"linux-headers-{kernel.version}").glob("Makefile"):
        text = makefile.read_text()
        makefile.write_text(
            text.replace("include /usr/src/", "include $(dir $(lastword $(MAKEFILE_LIST)))../")
        )
    for link in (kernel.modules / "build", kernel.modules / "source"):
        if link.is_symlink():
            target = Path(os.readlink(link)).name
            link.unlink()
            link.symlink_to(Path("../../../usr/src") / target)
    for part in ("Makefile", "scripts/mod/modpost"):
        if not (kernel.headers / part).is_file():
            raise KernelError(f"{kernel.headers} has no {part}: headers or kbuild did not unpack")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.vm.kernels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", required=True)
    fetching = actions.add_parser("fetch", help="fetch the newest kernel of each series")
    fetching.add_argument("series", nargs="*", default=list(SERIES))
    actions.add_parser("list", help="list fetched versions")
    showing = actions.add_parser("path", help="print the directory of a fetched kernel")
    showing.add_argument("wanted")
    options = parser.parse_args(arguments)
    try:
        if options.action == "fetch":
            for series in options.series:
                print(f"kernel {series}: {fetch(series).version}", flush=True)
        elif options.action == "list":
            for kernel in fetched():
                print(kernel.version)
        else:
            print(find(options.wanted).root)
    except KernelError as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
