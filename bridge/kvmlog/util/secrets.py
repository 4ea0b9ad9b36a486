# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold secrets: read only when nobody else can have read or written them."""

from __future__ import annotations

import os
import pwd
import stat
from typing import Final

from kvmlog.util.errors import KvmlogError

MAX_BYTES: Final = 1 << 20
_OWNER_ONLY: Final = 0o077
# Of the group root: nobody whom root has not made its member by that. Of any other one members
# come and go for other reasons: those of the group kvmlog may use the server, not be it.
_GROUP_MAY_READ: Final = 0o037


class SecretError(KvmlogError):
    """A file with a secret is missing, open to others, or not what it should be."""


class UnreadableError(SecretError):
    """This user may not read `path`, as it should be when it is another user's."""

    def __init__(self, path: str, what: str) -> None:
        reader = _name(os.geteuid())
        super().__init__(
            f"{path}: the {what} cannot be read by {reader}; if it should be, chown it to {reader} "
            "and chmod 0600 it"
        )
        self.path = path


def read_secret(path: str, what: str, user: str = "") -> bytes:
    """The file's contents; `what` it is stands in the sentence. SecretError when it is not safe.

    It has to be a regular file of mode 0600 or less, of our own user or of root. user: whom we are
    going to become, or may be, as root: the file may be theirs.
    """
    try:
        # O_NONBLOCK: a FIFO must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            _check(path, what, os.fstat(file.fileno()), user)
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


def _check(path: str, what: str, status: os.stat_result, user: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path}: the {what} is no regular file; give one of mode 0600")
    mode = stat.S_IMODE(status.st_mode)
    forbidden = _GROUP_MAY_READ if status.st_gid == 0 else _OWNER_ONLY
    reader = _uid(user) if os.geteuid() == 0 else None
    name = _name(os.geteuid() if reader is None else reader)
    if mode & forbidden:
        raise SecretError(
            f"{path}: the {what} has mode {mode:04o}, open to others; chmod 0600 it and chown it "
            f"to {name}, and make a new secret if somebody may have read it"
        )
    if status.st_uid not in (0, os.geteuid(), reader):
        raise SecretError(
            f"{path}: the {what} belongs to uid {status.st_uid}, who is neither root nor the user "
            f"that reads it; chown it to {name}"
        )


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
