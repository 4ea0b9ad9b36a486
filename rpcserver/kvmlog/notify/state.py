# SPDX-License-Identifier: GPL-2.0-or-later
"""Which audit period each target has got, over restarts: a small file, replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Final

from kvmlog.util.errors import KvmlogError

_BYTES: Final = 4_096


class AuditState:
    """The file at a path; a file that cannot be read counts as none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._ends: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            with open(path, encoding="utf-8") as file:
                found = json.loads(file.read(_BYTES))
            self._ends = {str(name): int(ns) for name, ns in found.items()}

    def end_ns(self, target: str) -> int | None:
        """Return the end of the last period that a target has got; None: it has got none."""
        return self._ends.get(target)

    def got(self, target: str, end_ns: int) -> None:
        """Note that a target has got a period; KvmlogError where that cannot be kept."""
        self._ends[target] = end_ns
        temporary = f"{self.path}.new"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self._ends, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except OSError as error:
            raise KvmlogError(
                f"{self.path}: cannot be written ({error.strerror}); a restart will send the last "
                "instance.exists again"
            ) from None
