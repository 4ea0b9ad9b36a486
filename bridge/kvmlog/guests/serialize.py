# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as JSON-ready objects, with their exits from the statistics."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from kvmlog.guests.names import Guest
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsGuest, StatisticsReader
from kvmlog.util import units
from kvmlog.util.errors import StatisticsMissingError

Process: TypeAlias = tuple[int, int]  # pid, start in clock ticks since boot


def exits_by_process(ring: str) -> Counter[Process] | None:
    """Return the number of exits of each process; None where there are no statistics.

    StatisticsError where there are some that cannot be read.
    """
    try:
        with StatisticsReader(ring + SUFFIX) as reader:
            guests = reader.snapshot().guests.values()
    except StatisticsMissingError:
        return None
    return exits_of(guests)


def exits_of(guests: Iterable[StatisticsGuest]) -> Counter[Process]:
    """Return the number of exits of each process among the guests of statistics."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found: Counter[Process] = Counter()
    for one in guests:
        found[one.tgid, one.start_boottime_ns * ticks_per_s // units.NS_PER_S] += one.exits
    return found


def guest_object(
    guest: Guest, exits: Mapping[Process, int] | None, clocks: Clocks
) -> dict[str, Any]:
    """Return a guest's object; `exits` is null without statistics, `uuid` without a UUID."""
    ended = guest.ended_realtime_ns
    return {
        "name": guest.name,
        "named": guest.named,
        "uuid": guest.uuid,
        "pid": guest.pid,
        "kind": guest.kind,
        "comm": guest.comm,
        "running": ended is None,
        "since": units.iso_time(*clocks.of(guest.first_seen_realtime_ns)),
        "ended": None if ended is None else units.iso_time(*clocks.of(ended)),
        "exits": None if exits is None else exits.get((guest.pid, guest.start_ticks), 0),
        "numbers": [number for number, _ in guest.numbers],
        "aliases": list(guest.aliases),
        "pod": guest.pod,
        "container": guest.container,
        "cgroup": guest.cgroup,
        "start_ticks": guest.start_ticks,
        "first_seen_realtime_ns": guest.first_seen_realtime_ns,
        "ended_realtime_ns": ended,
    }
