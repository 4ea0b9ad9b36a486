# SPDX-License-Identifier: GPL-2.0-or-later
"""Search for the headers that bcc needs, and the one tree made of Debian's two halves."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from kvmlog.sources.bpf.headers import VARIABLE, find_headers, header_tree
from kvmlog.util.errors import SourceError

ARCH = {"x86_64": "x86", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
RELEASE = "6.1.0-9-amd64"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without headers."""
    monkeypatch.delenv(VARIABLE, raising=False)
    here = tmp_path / "root"
    here.mkdir()
    return here


def make(folder: Path, *files: str) -> Path:
    """A folder with these files in it, each with its own name as its text."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="ascii")
    return folder


def complete(folder: Path) -> Path:
    """A tree as a distribution with one headers package has it."""
    return make(
        folder,
        "include/linux/kconfig.h",
        f"arch/{ARCH}/include/generated/asm/unistd.h",
    )


def split(folder: Path, release: str = RELEASE) -> Path:
    """Debian's: the folder of one flavour, returned, with what its build generated; -common."""
    common = release.rpartition("-")[0] + "-common"
    make(
        folder / f"linux-headers-{common}",
        "include/linux/kconfig.h",
        "include/uapi/linux/types.h",
        f"arch/{ARCH}/include/asm/ptrace.h",
        "Makefile",
    )
    return make(
        folder / f"linux-headers-{release}",
        "include/generated/autoconf.h",
        "include/config/auto.conf",
        f"arch/{ARCH}/include/generated/asm/unistd.h",
    )


def test_a_complete_tree_that_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken as it is, before all others, whichever release it is of."""
    complete(root / "lib" / "modules" / RELEASE / "build")
    tree = complete(root.parent / "mine")
    monkeypatch.setenv(VARIABLE, str(tree))
    found = find_headers(RELEASE, root)
    assert (found.path, found.common) == (tree, None)
    assert found.words == f"{VARIABLE}={tree}"
    with header_tree(found) as path:
        assert path == tree
    assert tree.is_dir()


def test_a_split_tree_that_is_named_becomes_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links make the tree; the halves stay as they are, also when its folder is gone."""
    tree = split(root.parent)
    monkeypatch.setenv(VARIABLE, str(tree))
    found = find_headers(RELEASE, root)
    assert (found.path, found.common) == (tree, tree.parent / "linux-headers-6.1.0-9-common")
    with header_tree(found) as path:
        assert path is not None
        for name in (
            "include/linux/kconfig.h",
            "include/uapi/linux/types.h",
            "include/generated/autoconf.h",
            "include/config/auto.conf",
            f"arch/{ARCH}/include/asm/ptrace.h",
            f"arch/{ARCH}/include/generated/asm/unistd.h",
        ):
            assert (path / name).read_text(encoding="ascii") == name
        assert (path / "include" / "linux").is_symlink()
    assert not path.exists()
    assert (tree / "include" / "generated" / "autoconf.h").exists()
    assert (tree.parent / "linux-headers-6.1.0-9-common" / "include" / "linux").is_dir()


def test_the_flavours_own_files_stand_before_the_common_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that the flavour's build generated are newer than those of the same name."""
    tree = split(root.parent)
    (tree / "include" / "both.h").write_text("flavour", encoding="ascii")
    (tree.parent / "linux-headers-6.1.0-9-common" / "include" / "both.h").write_text("common")
    monkeypatch.setenv(VARIABLE, str(tree))
    with header_tree(find_headers(RELEASE, root)) as path:
        assert path is not None
        assert (path / "include" / "both.h").read_text(encoding="ascii") == "flavour"


def test_the_merged_tree_goes_away_when_compiling_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left in /tmp."""
    monkeypatch.setenv(VARIABLE, str(split(root.parent)))
    found = find_headers(RELEASE, root)

    def fail() -> None:
        with header_tree(found) as path:
            kept.append(path)
            raise SourceError("clang says no")

    kept: list[Path | None] = []
    with pytest.raises(SourceError, match="clang says no"):
        fail()
    assert kept[0] is not None
    assert not kept[0].exists()


@pytest.mark.parametrize(
    "files",
    [
        (),
        ("Makefile",),
        ("include/linux/kconfig.h",),
        (f"arch/{ARCH}/include/generated/asm/unistd.h",),
    ],
    ids=["empty", "other", "unconfigured", "one-half"],
)
def test_a_folder_without_headers_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
) -> None:
    """Named with its value and the remedy; others are not silently taken in its place."""
    complete(root / "lib" / "modules" / RELEASE / "build")
    folder = root.parent / "empty"
    folder.mkdir()
    make(folder, *files)
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(SourceError) as refused:
        find_headers(RELEASE, root)
    assert str(refused.value).startswith(f"{VARIABLE}={folder}: no configured kernel headers there")
    assert "correct it or unset it" in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words."""
    monkeypatch.setenv(VARIABLE, str(root.parent / "gone"))
    with pytest.raises(SourceError, match="gone: no configured kernel headers there"):
        find_headers(RELEASE, root)


def test_an_empty_variable_is_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as a shell's VARIABLE= leaves it, is treated as unset."""
    build = complete(root / "lib" / "modules" / RELEASE / "build")
    monkeypatch.setenv(VARIABLE, "")
    assert find_headers(RELEASE, root).path == build


def test_the_running_kernels_own_come_first(root: Path) -> None:
    """Through the link that Debian makes, whose target's name tells the other half."""
    (root / "sys" / "kernel").mkdir(parents=True)
    (root / "sys" / "kernel" / "kheaders.tar.xz").touch()
    complete(root / "usr" / "src" / "linux-headers-9.9.9-1-amd64")
    tree = split(root / "usr" / "src")
    modules = root / "lib" / "modules" / RELEASE
    modules.mkdir(parents=True)
    (modules / "build").symlink_to(tree)
    found = find_headers(RELEASE, root)
    assert (found.path, found.common) == (tree, tree.with_name("linux-headers-6.1.0-9-common"))
    assert found.words == str(modules / "build")


def test_the_kernels_own_archive_is_left_to_bcc(root: Path) -> None:
    """CONFIG_IKHEADERS: bcc unpacks it itself, when no tree is named to it."""
    archive = root / "sys" / "kernel" / "kheaders.tar.xz"
    make(root, "sys/kernel/kheaders.tar.xz")
    split(root / "usr" / "src")
    found = find_headers(RELEASE, root)
    assert (found.path, found.common, found.words) == (None, None, str(archive))
    with header_tree(found) as path:
        assert path is None


def test_any_installed_headers_will_do(root: Path) -> None:
    """Another kernel's, the last by name; a folder that is no whole tree is passed over."""
    complete(root / "usr" / "src" / "linux-headers-5.10.0-1-amd64")
    tree = split(root / "usr" / "src")
    make(root / "usr" / "src" / "linux-headers-6.9.0-1-amd64", "Makefile")
    found = find_headers("6.12.117-none", root)
    assert (found.path, found.words) == (tree, str(tree))


def test_nothing_found_names_the_package(root: Path) -> None:
    """The sentence names the running release's package, the general one, and the variable."""
    with pytest.raises(SourceError) as refused:
        find_headers("6.12.117-none", root)
    sentence = str(refused.value)
    assert sentence.startswith("no kernel headers for bcc: install linux-headers-6.12.117-none ")
    assert "linux-headers-amd64" in sentence
    assert sentence.endswith(f"or name a tree in {VARIABLE}")
