# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of the bridge's files, looked at each tick: what was removed is made anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from kvmlog.util import ownership
from kvmlog.util.errors import DamagedFileError, KvmlogError
from kvmlog.util.log import log


class Keeper(Protocol):
    """The writer of a file with a name."""

    def keep(self) -> str:
        """Make the file anew where it was removed; return why that cannot be done, or ""."""


class Names:
    """The names of these writers' files. `problems`: a sentence for each that is not theirs now."""

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self._keepers = keepers
        self.problems: list[str] = []

    def tick(self) -> None:
        """Look at all of them; log each problem once. DamagedFileError ends the bridge."""
        found = [problem for problem in map(_keep, self._keepers) if problem]
        for problem in found:
            if problem not in self.problems:
                log(problem)
        self.problems = found


def socket_objection(path: str) -> str:
    """Return why what has a socket's name may not be replaced by ours, in words, or ""."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to {ownership.name_of(status.st_uid)}"
    return ""


def _keep(keeper: Keeper) -> str:
    try:
        return keeper.keep()
    except DamagedFileError:
        raise
    except (KvmlogError, OSError) as error:
        return str(error)
