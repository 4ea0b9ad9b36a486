# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel headers for bcc, which does not compile without.

The text uses no structure of theirs (offsets come from the running kernel's BTF), so any kernel's
will do. Debian splits them in two folders, which bcc does not know: those are put together, by
links in a temporary folder.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvmlog.util.errors import SourceError

VARIABLE: Final = "BCC_KERNEL_SOURCE"
_ARCHITECTURES: Final = {"x86_64": "x86", "aarch64": "arm64"}


@dataclass(frozen=True)
class Headers:
    """`path`: the tree, or the first half of it; None: bcc unpacks the kernel's own kheaders."""

    path: Path | None
    common: Path | None  # the other half
    words: str  # where they were found


def find_headers(release: str | None = None, root: Path = Path("/")) -> Headers:
    """The headers of BCC_KERNEL_SOURCE, else the running kernel's, else any that are installed.

    release: as `uname -r` says it; root: below which the system's own are. SourceError names the
    package to install.
    """
    release = release or os.uname().release
    named = os.environ.get(VARIABLE)
    if named:
        found = _at(Path(named), f"{VARIABLE}={named}")
        if found is None:
            raise SourceError(
                f"{VARIABLE}={named}: no configured kernel headers there "
                "(include/linux/kconfig.h or arch/*/include/generated is missing); "
                "correct it or unset it"
            )
        return found
    build = root / "lib" / "modules" / release / "build"
    found = _at(build, str(build))
    if found is not None:
        return found
    kheaders = root / "sys" / "kernel" / "kheaders.tar.xz"
    if kheaders.exists():
        return Headers(None, None, str(kheaders))
    for path in sorted((root / "usr" / "src").glob("linux-headers-*"), reverse=True):
        found = _at(path, str(path))
        if found is not None:
            return found
    raise SourceError(
        f"no kernel headers for bcc: install linux-headers-{release} "
        "(apt-get install linux-headers-amd64 does too, any kernel's will do), "
        f"or name a tree in {VARIABLE}"
    )


def _at(path: Path, words: str) -> Headers | None:
    path = path.resolve()
    arch = _ARCHITECTURES.get(platform.machine(), platform.machine())
    if not (path / "arch" / arch / "include" / "generated").is_dir():
        return None
    if (path / "include" / "linux" / "kconfig.h").exists():
        return Headers(path, None, words)
    # Debian: linux-headers-6.1.0-1-amd64 beside linux-headers-6.1.0-1-common
    sibling = path.with_name(re.sub(r"-[^-]+$", "-common", path.name))
    if (sibling / "include" / "linux" / "kconfig.h").exists():
        return Headers(path, sibling, words)
    return None


@contextmanager
def header_tree(headers: Headers) -> Iterator[Path | None]:
    """Provide the headers as one tree, while the context lasts; None as in Headers."""
    if headers.path is None or headers.common is None:
        yield headers.path
        return
    with tempfile.TemporaryDirectory(prefix="kvmlog-headers-") as folder:
        tree = Path(folder)
        arch = Path("arch") / _ARCHITECTURES.get(platform.machine(), platform.machine())
        for part in (Path("include"), arch / "include"):
            (tree / part).mkdir(parents=True)
            for half in (headers.path, headers.common):
                for entry in (half / part).iterdir():
                    link = tree / part / entry.name
                    if not link.exists():
                        link.symlink_to(entry)
        yield tree
