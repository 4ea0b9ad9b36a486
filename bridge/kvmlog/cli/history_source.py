# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened on this host, for commands: the history's file as documents."""

from __future__ import annotations

from typing import Any

from kvmlog.rpcserver.vms.errors import UnknownVmError
from kvmlog.rpcserver.vms.past import EVERYTHING, Page, Past, Period


class LocalHistory:
    """The history of a file. HistoryError where it cannot be had."""

    def __init__(self, path: str) -> None:
        self._past = Past(path, "")

    def happened(
        self, vm: str | None, count: int, since: str | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return actions and faults of a VM, or of all; UnknownVmError."""
        uuid = None if vm is None else self._past.vm(vm, _unknown)
        return (
            self._past.actions(uuid, Page(count), since),
            self._past.faults(uuid, count, since),
        )

    def services(self) -> list[dict[str, Any]]:
        """Return the services, in our own form."""
        return self._past.own_services()

    def usage(
        self, start: str | None, end: str | None, project: str | None, *, detailed: bool
    ) -> dict[str, Any]:
        """Return what owners used."""
        found = self._past.usage(Period(start, end), EVERYTHING, detailed=detailed, project=project)
        return found.document()


def _unknown(word: str) -> str:
    raise UnknownVmError(
        f"no VM of the name or UUID '{word}' has been seen; kvmlog events without --vm shows all"
    )
