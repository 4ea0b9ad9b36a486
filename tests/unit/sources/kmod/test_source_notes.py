# SPDX-License-Identifier: GPL-2.0-or-later
"""Remarks of the source kmod for the operator."""

from __future__ import annotations

import dataclasses
from typing import Any

from kvmlog.sources.base import SourceStatus
from kvmlog.sources.kmod.source import KmodSource
from tests.support.scripted_source import ScriptedSource


class Control:
    """The module's family, as far as status() asks it; its table has had no room for some."""

    fields = ()

    def __init__(self, refused: int) -> None:
        status = ScriptedSource().state
        counters = {**status.counters, "dropped_table": refused}
        self._status = dataclasses.replace(status, counters=counters)

    def status(self) -> SourceStatus:
        return self._status


def notes_of(refused: int) -> list[str]:
    """The notes after a status of that module."""
    source: Any = KmodSource()
    source._control = Control(refused)
    source.status()
    return list(source.notes())


def test_exits_without_room_are_said_with_the_parameter() -> None:
    """Not while there is room for all."""
    assert notes_of(0) == []
    assert notes_of(3) == [
        "3 exits had no room in the module's table of vCPUs; load it again with a higher "
        "max_vcpus (of [bridge], where the bridge loads it)"
    ]
