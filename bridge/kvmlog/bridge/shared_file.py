# SPDX-License-Identifier: GPL-2.0-or-later
"""Making a file of fixed size that readers map: whole under its name, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from kvmlog.bridge import access
from kvmlog.bridge.errors import KvmlogError

FILE_MODE: Final = 0o640
_NO_ROOM: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def make(
    path: str, size: int, fill: Callable[[int], None], error: type[KvmlogError], remedy: str
) -> int:
    """Makes the file under another name, fills it, renames it to `path`; its descriptor.

    All blocks are there from the start: a hole on a full tmpfs would be SIGBUS later. `error` with
    `remedy` where there is no room for `size` bytes.
    """
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    except OSError as failure:
        raise error(f"{temporary}: cannot be made: {failure.strerror}") from None
    try:
        os.fchmod(fd, FILE_MODE)
        access.hand_to_group(fd)
        _allocate(path, fd, size, error, remedy)
        fill(fd)
        os.rename(temporary, path)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return fd


def _allocate(path: str, fd: int, size: int, error: type[KvmlogError], remedy: str) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as failure:
        if failure.errno in _NO_ROOM:
            raise error(
                f"{path}: no room for {size} bytes ({failure.strerror}); {remedy}"
            ) from None
        raise error(f"{path}: cannot be made: {failure.strerror}") from None


def refuse_foreign(path: str, fd: int, magic: bytes, error: type[KvmlogError]) -> None:
    """`error` for a file with something else in it: a wrong --ring must destroy nothing."""
    start = os.pread(fd, len(magic), 0)
    if start not in (b"", magic):
        raise error(
            f"{path}: holds something else (it begins {start!r}, not {magic!r}); "
            "remove it or choose another place (--ring)"
        )
