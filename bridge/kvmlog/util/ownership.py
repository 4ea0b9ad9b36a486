# SPDX-License-Identifier: GPL-2.0-or-later
"""Trust in files by owner, mode and links, for processes that have more rights than others.

A file that is continued, or only created, has to be ours alone: nobody else may have planted it or
be able to change it. One that is only read (configuration) may be a link, as configuration tools
make them, but what it leads to has to be root's or ours as well. Files with secrets have a rule of
their own (util.secrets).
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from typing import Final

from kvmlog.util.errors import KvmlogError

# Not through a link, not as the process's terminal, and without waiting at a FIFO.
OPEN_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def objection(status: os.stat_result, *, links: bool = False) -> str:
    """Return why a regular file is not ours alone, in words; "" where it is.

    links: it may have more names than one.
    """
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to {_owner(status)}"
    if _writable_by_others(status):
        return f"has mode {_mode(status):04o} (owner {_owner(status)}), open for others to write"
    if status.st_nlink > 1 and not links:
        return f"has {status.st_nlink} hard links (owner {_owner(status)})"
    return ""


def check(path: str, fd: int, error: type[KvmlogError], *, remedy: str) -> None:
    """Raise `error` unless the open file is ours alone."""
    found = objection(os.fstat(fd))
    if found:
        raise error(f"{path}: {found}; {remedy}")


def name_objection(path: str) -> str:
    """Return why the file that has the name cannot be replaced: somebody else's; "" where it can.

    A name that nobody has can.
    """
    try:
        return objection(os.lstat(path))
    except FileNotFoundError:
        return ""
    except OSError as failure:
        return f"cannot be looked at ({failure.strerror})"


def check_folder(path: str, *, remedy: str) -> None:
    """Raise KvmlogError where another user could take the name `path` from us.

    Those of a sticky folder (/tmp) cannot.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        status = os.stat(folder)
    except OSError as failure:
        raise KvmlogError(f"{folder}: {failure.strerror}; {remedy}") from None
    sticky = status.st_mode & stat.S_ISVTX
    if status.st_uid not in (0, os.geteuid()) or (_writable_by_others(status) and not sticky):
        raise KvmlogError(
            f"{folder}: belongs to {_owner(status)}, mode {_mode(status):04o}: others could "
            f"replace files there; {remedy}"
        )


def create_temporary(path: str, flags: int, mode: int) -> tuple[int, str]:
    """Create PATH.new, from which the file is renamed to `path`; return descriptor and name.

    One that was left behind is removed. OSError, with the name, where that fails.
    """
    name = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    return os.open(name, flags | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, mode), name


def open_words(failure: OSError) -> str:
    """Return why open() with OPEN_FLAGS failed, in words."""
    if failure.errno == errno.ELOOP:
        return "it is a symbolic link"
    return failure.strerror or str(failure)


def _writable_by_others(status: os.stat_result) -> bool:
    """Return whether others than the owner may write; the members of root's or our own group,
    whom only root or we have made such, are none.
    """
    others = _OTHERS_WRITE
    own_group = os.geteuid() != 0 and status.st_gid == os.getegid()
    if status.st_gid == 0 or own_group:
        others = stat.S_IWOTH
    return bool(status.st_mode & others)


def name_of(uid: int) -> str:
    """Return the user's name; "uid 4711" for one without."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _owner(status: os.stat_result) -> str:
    name, uid = name_of(status.st_uid), f"uid {status.st_uid}"
    return uid if name == uid else f"{name} ({uid})"


def _mode(status: os.stat_result) -> int:
    return stat.S_IMODE(status.st_mode)
