# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold secrets: read only when nobody else can have read or written them."""

from __future__ import annotations

import os
import stat
from typing import Final

from kvmlog.bridge.errors import KvmlogError

MAX_BYTES: Final = 1 << 20
# Others: nothing; the group may read, which is how root gives a file to an unprivileged user.
_FORBIDDEN: Final = 0o037


class SecretError(KvmlogError):
    """A file with a secret is missing, open to others, or not what it should be."""


def read_secret(path: str, what: str) -> bytes:
    """The file's contents; `what` it is stands in the sentence. SecretError when it is not safe.

    It has to be a regular file of mode 0600 or 0640 (or less), of root or of our own user.
    """
    try:
        # O_NONBLOCK: a FIFO must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            _check(path, what, os.fstat(file.fileno()))
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(
            f"{path}: the {what} cannot be read ({error.strerror}); "
            "give a file that this user may read"
        ) from None
    if len(data) > MAX_BYTES:
        raise SecretError(f"{path}: the {what} has more than {MAX_BYTES} bytes; give another file")
    return data


def _check(path: str, what: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path}: the {what} is no regular file; give one of mode 0600")
    mode = stat.S_IMODE(status.st_mode)
    if mode & _FORBIDDEN:
        raise SecretError(
            f"{path}: the {what} has mode {mode:04o}, open to others; chmod 0600 (or 0640) it, "
            "and make a new secret if somebody may have read it"
        )
    if status.st_uid not in (0, os.geteuid()):
        raise SecretError(
            f"{path}: the {what} belongs to uid {status.st_uid}, who is neither root nor this "
            f"user (uid {os.geteuid()}); chown it"
        )
