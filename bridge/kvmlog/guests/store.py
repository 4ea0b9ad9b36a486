# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of guests on disk: loaded at the bridge's start, replaced by each save."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Final

from kvmlog.guests import model
from kvmlog.guests.model import Guest, GuestError
from kvmlog.util import ownership, whole_file
from kvmlog.util.log import log

_MODE: Final = 0o640
_REMEDY: Final = "remove it or choose another place (--ring)"


class ForeignFileError(GuestError):
    """Somebody else's file at the path of the guests."""


def load(path: str, boot_id: bytes) -> list[Guest] | None:
    """Return the guests of an existing file of this boot; None where there is no usable one.

    The log says why a file cannot be used. ForeignFileError for one that is not ours alone: who
    planted it would say who the guests are.
    """
    try:
        fd = os.open(path, os.O_RDONLY | ownership.OPEN_FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ForeignFileError(f"{path}: {ownership.open_words(error)}; {_REMEDY}") from None
    try:
        ownership.check(path, fd, ForeignFileError, remedy=_REMEDY)
        of_boot, guests = model.decode(path, model.read_file(path, fd))
    except ForeignFileError:
        raise
    except (GuestError, OSError) as error:
        log(f"{error}; its guests are forgotten")
        return None
    finally:
        os.close(fd)
    # Pids and starts of another boot name other processes.
    return guests if of_boot == boot_id else None


def identity(path: str) -> tuple[int, int, int] | None:
    """Return device, inode and change time of what has the name; None for nothing.

    Nobody keeps the file open: the next one may get its inode.
    """
    try:
        named = os.lstat(path)
    except OSError:
        return None
    return named.st_dev, named.st_ino, named.st_ctime_ns


def foreign(path: str) -> str:
    """Return why what has the name is not ours to replace, in words; "" where it is."""
    return ownership.name_objection(path)


def save(path: str, boot_id: bytes, guests: Iterable[Guest]) -> None:
    """Replace the file, so that readers see either the old or the new one. OSError."""
    whole_file.replace(path, model.encode(boot_id, guests, time.monotonic_ns()), _MODE)
