# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of fixed size that readers map: opened, checked, and told from others of their name."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from kvmlog.util.errors import KvmlogError

NAME_IT: Final = "name the bridge's ring (--ring)"


@dataclass(frozen=True)
class FileKind:
    """A kind of such files, and the errors for those that cannot be used."""

    absent: str  # how the message for a missing file begins: "there is no ring"
    missing: type[KvmlogError]
    unusable: type[KvmlogError]
    foreign: type[KvmlogError]  # for content that this version does not understand

    def open(self, path: str) -> int:
        """Return a descriptor to read a file that the bridge has made, or raise an error."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as failure:
            raise self.failed(path, failure, failure.strerror or str(failure), NAME_IT) from None
        try:
            self.expect_regular(path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def failed(self, path: str, failure: OSError, words: str, remedy: str) -> KvmlogError:
        """Return the error for a file that could not be opened; words: why, where it is rare."""
        if isinstance(failure, FileNotFoundError):
            return self.missing(
                f"{path}: {self.absent}; start the bridge (kvmlog bridge) or name its ring (--ring)"
            )
        if isinstance(failure, PermissionError):
            return self.unusable(
                f"{path}: no permission; be root or in the group of the file (group kvmlog)"
            )
        return self.unusable(f"{path}: cannot be opened: {words}; {remedy}")

    def expect_regular(self, path: str, fd: int) -> None:
        """Raise `foreign` for what is no file."""
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise self.foreign(f"{path}: not a regular file; {NAME_IT}")

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


def file_key(fd: int) -> tuple[int, int]:
    """Return device and inode of an open file."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


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
