# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeats of the services that tell none: found by asking the bridge, by looking at files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.guests.sanitize import clean
from kvmlog.history.model import Binary
from kvmlog.util.errors import KvmlogError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Snapshot

_DETAIL_CHARACTERS: Final = 255


@dataclass(frozen=True)
class Found:
    """What was found of a service."""

    binary: Binary
    lives: bool
    detail: str | None


def of_bridge(switch: SwitchClient) -> list[Found]:
    """Return what the bridge says of itself, its switch and its source; nothing without one."""
    try:
        status = switch.status()
    except KvmlogError:
        return []
    found = [Found(Binary.BRIDGE, True, None), Found(Binary.SWITCH, True, None)]
    source = status.get("source")
    if isinstance(source, dict):
        trouble = status.get("trouble")
        detail = trouble if isinstance(trouble, str) else None
        found.append(
            Found(
                Binary.SOURCE,
                source.get("connected") is True,
                None if detail is None else clean(detail, _DETAIL_CHARACTERS),
            )
        )
    return found


def of_collector(snapshot: Snapshot, now: Moment) -> list[Found]:
    """Return what the collector's file says of it."""
    late = lateness(snapshot, now)
    detail = late or snapshot.collector.answering or snapshot.collector.stretched
    return [Found(Binary.VMSTATS, late is None, detail and clean(detail, _DETAIL_CHARACTERS))]
