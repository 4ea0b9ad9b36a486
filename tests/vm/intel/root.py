# SPDX-License-Identifier: GPL-2.0-or-later
"""More of this machine's files in the initramfs: Python, bcc with its compiler, and this project.

Bochs has no shared folder, so that what `kvmlog` takes to run, with either source, is packed: some
400 MB. Paths are those of this machine.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from scripts.vm.initramfs import Archive
from scripts.vm.kernels import PROJECT, Kernel

PYTHON: Final = Path("/usr/bin") / f"python{sys.version_info.major}.{sys.version_info.minor}"
_PROGRAMS: Final = (PYTHON, Path("/usr/bin/kmod"), Path("/usr/bin/env"))
_LINKS: Final = {
    "usr/bin/python3": PYTHON.name,
    "bin/insmod": "/usr/bin/kmod",
    "bin/rmmod": "/usr/bin/kmod",
    "bin/modprobe": "/usr/bin/kmod",
}
_STANDARD: Final = Path("/usr/lib") / PYTHON.name
_DEBIAN: Final = Path("/usr/lib/python3/dist-packages")
_PACKAGES: Final = (
    *("_cffi_backend*", "_pytest", "attr", "bcc", "cffi", "defusedxml", "iniconfig", "markdown_it"),
    *("mdurl", "packaging", "pluggy", "py", "py.py", "pycparser", "pygments", "pyroute2*"),
    *("pytest*", "rich"),
)
_OF_PROJECT: Final = (
    *("bridge", "include", "rpcserver", "scripts", "tests", "pyproject.toml"),
    *("build/guest", "build/intel", ".venv/bin", ".venv/pyvenv.cfg"),
    # Not what else is installed there.
    ".venv/lib/python*/site-packages/*kvmlog*",
)
_HEADERS: Final = ("include", "arch/x86/include", "scripts/Makefile*", "Makefile", ".config")
_LEFT_OUT: Final = re.compile(
    r"/(test|tests|idlelib|tkinter|ensurepip|lib2to3|turtledemo|pydoc_data|config-\d[^/]*)$"
)
_LIBRARY: Final = re.compile(r"(/\S+\.so\S*) \(0x|=> (/\S+) ")
# Loaded by name.
_LIBRARIES: Final = ("libbcc.so.0", "librt.so.1")


def add(archive: Archive, kernel: Kernel, more: Iterable[Path] = ()) -> None:
    """Add them, kvmlog's module for the kernel, and headers for bcc; more: files, folders."""
    paths = set(_PROGRAMS)
    for path in more:
        paths.update(_below(path))
    paths.update(_below(_STANDARD))
    for pattern in _PACKAGES:
        for path in _DEBIAN.glob(pattern):
            paths.update(_below(path))
    for pattern in (*_OF_PROJECT, f"build/kmod/{kernel.version}/*.ko"):
        for path in PROJECT.glob(pattern):
            paths.update(_below(path, leave_out=False))
    for tree in (kernel.root / "usr/src").glob("linux-headers-*"):
        for pattern in _HEADERS:
            for path in tree.glob(pattern):
                paths.update(_below(path, leave_out=False))
    paths.update(_libraries(paths))
    added = {".", "bin"}  # an archive begins with /bin
    for path in sorted(paths):
        _add(archive, added, path)
    for name, target in {
        **_LINKS,
        f"lib/modules/{kernel.version}/build": str(kernel.headers.resolve()),
    }.items():
        _add_folders(archive, added, name)
        archive.add(name, stat.S_IFLNK | 0o777, target.encode())


def _below(path: Path, *, leave_out: bool = True) -> Iterator[Path]:
    """Yield the files and links at a path, and below it."""
    if path.is_symlink() or path.is_file():
        yield path
        return
    for folder, folders, files in os.walk(path):
        if leave_out:
            folders[:] = [one for one in folders if not _LEFT_OUT.search(f"{folder}/{one}")]
        for name in files:
            yield Path(folder, name)
        for name in list(folders):
            if Path(folder, name).is_symlink():
                yield Path(folder, name)


def _libraries(paths: Iterable[Path]) -> set[Path]:
    """Return all that programs and extensions are linked to, where the loader looks for it."""
    asked = [
        path
        for path in paths
        if path.is_file() and (path.parent == _PROGRAMS[0].parent or ".so" in path.suffixes)
    ]
    found = {path for name in _LIBRARIES for path in Path("/usr/lib").glob(f"*/{name}")}
    asked += found
    told = subprocess.run(["ldd", *asked], capture_output=True, text=True).stdout
    found.update(Path(one or other) for one, other in _LIBRARY.findall(told))
    return found


def _add(archive: Archive, added: set[str], path: Path) -> None:
    name = str(path).lstrip("/")
    if name in added:
        return
    added.add(name)
    _add_folders(archive, added, name)
    # Libraries stand for what their links lead to: /lib is a folder of its own in there.
    if path.is_symlink() and ".so" not in path.name:
        archive.add(name, stat.S_IFLNK | 0o777, os.readlink(path).encode())
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    archive.add(name, stat.S_IFREG | mode, path.read_bytes())


def _add_folders(archive: Archive, added: set[str], name: str) -> None:
    for parent in reversed(Path(name).parents):
        folder = str(parent)
        if folder not in added:
            added.add(folder)
            archive.add(folder, stat.S_IFDIR | 0o755)
