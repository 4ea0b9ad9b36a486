# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of fixed size as their one writer has them: created whole or not at all, ours alone."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from kvmlog.ring.mapped_file import FileKind, file_key
from kvmlog.util import ownership, permissions
from kvmlog.util.errors import KvmlogError

REMEDY: Final = "remove it or choose another place (--ring)"
_FILE_MODE: Final = 0o640
_NO_ROOM: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def open_own(kind: FileKind, path: str) -> int:
    """Return a descriptor to go on with a file, which has to be ours alone (util.ownership).

    The errors are those of its kind.
    """
    try:
        fd = os.open(path, os.O_RDWR | ownership.OPEN_FLAGS)
    except OSError as failure:
        raise kind.failed(path, failure, ownership.open_words(failure), REMEDY) from None
    try:
        kind.expect_regular(path, fd)
        ownership.check(path, fd, kind.unusable, remedy=REMEDY)
    except BaseException:
        os.close(fd)
        raise
    return fd


def make(
    path: str, size: int, fill: Callable[[int], None], error: type[KvmlogError], remedy: str
) -> int:
    """Create the file under another name, fill it and rename it to `path`; return its descriptor.

    All blocks are allocated at once: a hole on a full tmpfs would be SIGBUS later. `error` with
    `remedy` where there is no room for `size` bytes.
    """
    try:
        fd, temporary = ownership.create_temporary(path, os.O_RDWR, _FILE_MODE)
    except OSError as failure:
        raise error(f"{path}.new: cannot be made: {failure.strerror}; {REMEDY}") from None
    try:
        os.fchmod(fd, _FILE_MODE)
        permissions.hand_to_group(fd)
        _allocate(path, fd, size, error, remedy)
        fill(fd)
        _rename(temporary, path, error)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return fd


def _rename(temporary: str, path: str, error: type[KvmlogError]) -> None:
    try:
        os.rename(temporary, path)
    except OSError as failure:
        raise error(f"{path}: cannot be replaced: {failure.strerror}; {REMEDY}") from None


def _allocate(path: str, fd: int, size: int, error: type[KvmlogError], remedy: str) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as failure:
        if failure.errno in _NO_ROOM:
            raise error(
                f"{path}: no room for {size} bytes ({failure.strerror}); {remedy}"
            ) from None
        raise error(f"{path}: cannot be made: {failure.strerror}") from None


def has_name(path: str, fd: int) -> bool:
    """Return whether `path` itself, not through a link, is the name of the open file."""
    try:
        named = os.lstat(path)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == file_key(fd)


def refuse_foreign(path: str, fd: int, magic: bytes, error: type[KvmlogError]) -> None:
    """Raise `error` for a file of another kind: a wrong --ring must destroy nothing."""
    start = os.pread(fd, len(magic), 0)
    if start not in (b"", magic):
        raise error(f"{path}: holds something else (it begins {start!r}, not {magic!r}); {REMEDY}")
