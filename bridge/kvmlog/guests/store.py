# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of guests on disk: loaded at the bridge's start, replaced by each save."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final

from kvmlog.guests import model
from kvmlog.guests.model import Guest, GuestError
from kvmlog.util import permissions
from kvmlog.util.log import log

_MODE: Final = 0o640


def load(path: str, boot_id: bytes) -> list[Guest] | None:
    """Return the guests of an existing file of this boot; None where there is no usable one.

    The log says why a file cannot be used.
    """
    try:
        fd = model.open_file(path)
    except FileNotFoundError:
        return None
    except GuestError as error:
        log(f"{error}; its guests are forgotten")
        return None
    try:
        of_boot, guests = model.decode(path, model.read_file(path, fd))
    except (GuestError, OSError) as error:
        log(f"{error}; its guests are forgotten")
        return None
    finally:
        os.close(fd)
    # Pids and starts of another boot name other processes.
    return guests if of_boot == boot_id else None


def save(path: str, boot_id: bytes, guests: Iterable[Guest]) -> None:
    """Replace the file, so that readers see either the old or the new one. OSError."""
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, _MODE)
            permissions.hand_to_group(fd)
            file.write(model.encode(boot_id, guests, time.monotonic_ns()))
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
