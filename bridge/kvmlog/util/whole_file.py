# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that a daemon replaces whole, and the lock by which it is the only one that does."""

from __future__ import annotations

import contextlib
import fcntl
import os

from kvmlog.util import ownership, permissions
from kvmlog.util.errors import KvmlogError


def replace(path: str, content: bytes, mode: int) -> None:
    """Put a file with this content in the place of the old one; readers see either. OSError.

    It is the group's where that exists.
    """
    fd, temporary = ownership.create_temporary(path, os.O_WRONLY, mode)
    try:
        with open(fd, "wb") as new:
            os.fchmod(fd, mode)
            permissions.hand_to_group(fd)
            new.write(content)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def lock(path: str, error: type[KvmlogError], *, writer: str, place: str) -> int:
    """Lock PATH.lock for as long as the descriptor that is returned is open.

    `error` where another process has the lock, or where it cannot be had. writer: who else would
    have it ("another collector"); place: the remedy ("choose another place (--vmstats-file)").
    """
    name = f"{path}.lock"
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | ownership.OPEN_FLAGS, 0o600)
    except OSError as failure:
        raise error(f"{name}: {ownership.open_words(failure)}; {place}") from None
    try:
        ownership.check(name, fd, error, remedy=f"remove it or {place}")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise error(f"{path}: {writer} writes it; end that one, or {place}") from None
    except BaseException:
        os.close(fd)
        raise
    return fd
