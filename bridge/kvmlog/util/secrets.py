# SPDX-License-Identifier: GPL-2.0-or-later
"""Files with secrets, read only if no other user can have read or written them."""

from __future__ import annotations

import os
import pwd
import stat
from typing import Final

from kvmlog.util.errors import KvmlogError
from kvmlog.util.ownership import name_of

MAX_BYTES: Final = 1 << 20
_OWNER_ONLY: Final = 0o077
# The group root may read: only root makes members of it. Members of any other group come and go
# for other reasons: those of the group kvmlog may use the server, but not impersonate it.
_GROUP_MAY_READ: Final = 0o037


class SecretError(KvmlogError):
    """A file with a secret is missing, open to others, or of the wrong kind."""


class UnreadableError(SecretError):
    """This user may not read `path`, which is right where it belongs to another user's service."""

    def __init__(self, path: str, what: str) -> None:
        reader = name_of(os.geteuid())
        super().__init__(
            f"{path}: the {what} cannot be read by {reader}; if it should be, chown it to {reader} "
            "and chmod 0600 it"
        )
        self.path = path


def read_secret(path: str, what: str, user: str = "") -> bytes:
    """Return the file's contents; SecretError, which calls it `what`, where it is not safe.

    It has to be a regular file of mode 0600 or less that belongs to this user or root, or to
    `user`: the one that root is going to become.
    """
    try:
        # O_NONBLOCK: a FIFO must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            check_secret(path, what, file.fileno(), user)
            data = file.read(MAX_BYTES + 1)
    except PermissionError:
        raise UnreadableError(path, what) from None
    except OSError as error:
        raise SecretError(
            f"{path}: the {what} cannot be read ({error.strerror}); "
            "give a file that this user may read"
        ) from None
    if len(data) > MAX_BYTES:
        raise SecretError(f"{path}: the {what} has more than {MAX_BYTES} bytes; give another file")
    return data


def check_secret(path: str, what: str, fd: int, user: str = "", *, links: bool = True) -> None:
    """Raise SecretError unless the open file is as read_secret() wants it.

    links: it may have more names than one, as a file that is only read may.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path}: the {what} is no regular file; give one of mode 0600")
    mode = stat.S_IMODE(status.st_mode)
    forbidden = _GROUP_MAY_READ if status.st_gid == 0 else _OWNER_ONLY
    reader = _uid(user) if os.geteuid() == 0 else None
    name = name_of(os.geteuid() if reader is None else reader)
    if mode & forbidden:
        raise SecretError(
            f"{path}: the {what} has mode {mode:04o}, open to others; chmod 0600 it and chown it "
            f"to {name}, and make a new secret if somebody may have read it"
        )
    if status.st_uid not in (0, os.geteuid(), reader):
        raise SecretError(
            f"{path}: the {what} belongs to uid {status.st_uid}, which is neither root nor "
            f"the user that reads it; chown it to {name}"
        )
    if status.st_nlink > 1 and not links:
        raise SecretError(
            f"{path}: the {what} has {status.st_nlink} hard links and would be changed under all "
            "names; copy it to a file of its own"
        )


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
