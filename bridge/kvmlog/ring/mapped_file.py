# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of fixed size that readers map: created whole or not at all, opened and checked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvmlog.util import ownership, permissions
from kvmlog.util.errors import KvmlogError

FILE_MODE: Final = 0o640
REMEDY: Final = "remove it or choose another place (--ring)"
_NO_ROOM: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@dataclass(frozen=True)
class FileKind:
    """A kind of such files, and the errors for those that cannot be used."""

    absent: str  # how the message for a missing file begins: "there is no ring"
    missing: type[KvmlogError]
    unusable: type[KvmlogError]
    foreign: type[KvmlogError]  # for content that this version does not understand

    def open(self, path: str, flags: int) -> int:
        """Return a descriptor of a file that the bridge has made, or raise one of the errors.

        One that is to be written has to be ours alone (util.ownership).
        """
        reads_only = flags & os.O_ACCMODE == os.O_RDONLY
        extra = ownership.OPEN_FLAGS & ~(os.O_NOFOLLOW if reads_only else 0)
        try:
            fd = os.open(path, flags | extra)
        except FileNotFoundError:
            raise self.missing(
                f"{path}: {self.absent}; start the bridge (kvmlog bridge) or name its ring (--ring)"
            ) from None
        except PermissionError:
            raise self.unusable(
                f"{path}: no permission; be root or in the group of the file (group kvmlog)"
            ) from None
        except OSError as failure:
            remedy = "name the bridge's ring (--ring)" if reads_only else REMEDY
            words = ownership.open_words(failure)
            raise self.unusable(f"{path}: cannot be opened: {words}; {remedy}") from None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise self.foreign(f"{path}: not a regular file; name the bridge's ring (--ring)")
            if not reads_only:
                ownership.check(path, fd, self.unusable, remedy=REMEDY)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def expect(self, path: str, what: str, found: int, known: int) -> None:
        """Raise `foreign` for a version or size in a header that is not the `known` one."""
        if found != known:
            raise self.foreign(
                f"{path}: {what} {found}, this version knows {known}; "
                "restart the bridge or use the kvmlog that wrote it"
            )

    def expect_no_features(self, path: str, unknown: int) -> None:
        """Raise `foreign` for incompat_flags of a header that this version does not know."""
        if unknown:
            raise self.foreign(
                f"{path}: needs features {unknown:#x} that this version does not know; "
                "upgrade kvmlog"
            )


def make(
    path: str, size: int, fill: Callable[[int], None], error: type[KvmlogError], remedy: str
) -> int:
    """Create the file under another name, fill it and rename it to `path`; return its descriptor.

    All blocks are allocated at once: a hole on a full tmpfs would be SIGBUS later. `error` with
    `remedy` where there is no room for `size` bytes.
    """
    try:
        fd, temporary = ownership.create_temporary(path, os.O_RDWR, FILE_MODE)
    except OSError as failure:
        raise error(f"{path}.new: cannot be made: {failure.strerror}; {REMEDY}") from None
    try:
        os.fchmod(fd, FILE_MODE)
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


def file_key(fd: int) -> tuple[int, int]:
    """Return device and inode of an open file."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def has_name(path: str, fd: int) -> bool:
    """Return whether `path` itself, not through a link, is the name of the open file."""
    try:
        named = os.lstat(path)
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == file_key(fd)


def named_key(path: str) -> tuple[int, int]:
    """Return device and inode of the file that has the name now; OSError for none."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def is_replaced(path: str, key: tuple[int, int]) -> bool:
    """Return whether `path` leads to another file than that of `key`; False where there is none."""
    try:
        return named_key(path) != key
    except OSError:
        return False


def refuse_foreign(path: str, fd: int, magic: bytes, error: type[KvmlogError]) -> None:
    """Raise `error` for a file of another kind: a wrong --ring must destroy nothing."""
    start = os.pread(fd, len(magic), 0)
    if start not in (b"", magic):
        raise error(f"{path}: holds something else (it begins {start!r}, not {magic!r}); {REMEDY}")
