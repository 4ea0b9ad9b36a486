# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that come and go while the bridge runs: into its registry, its file, and the filter."""

from __future__ import annotations

import time
from typing import Final

from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import TICK_NS
from kvmlog.guests.uevents import VmEvents
from kvmlog.ring.statistics.reader import StatisticsGuest
from kvmlog.util.log import log
from kvmlog.util.process import start

# Events may be lost, and none comes of a VM that was handed to another process.
SCAN_S: Final = 10.0
# The file is written no more often than that.
SAVE_S: Final = 1.0
# A guest whose announcement does not come is taken for ended when it has been quiet for so long.
UNKNOWN_NS: Final = 10_000_000_000


class GuestAnnouncements:
    """Guests that the source has seen for the first time, as they come through the pump."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._missed = 0

    def fileno(self) -> int:
        """For the selector."""
        return self._engine.pump.guests_fd()

    def handle(self) -> None:
        """Hands them to the engine; where too many came at once it looks around instead."""
        with self._engine.cpu_time:
            records, missed = self._engine.pump.guests()
            self._engine.announce(records)
            if missed != self._missed:
                self._missed = missed
                self._engine.registry.scan()


class GuestMonitor:
    """Keeps the engine's registry of guests up to date, and the source on those that were chosen.

    `events`: for the selector, with handle() for when it is readable; None where the kernel has
    none: then, while a filter is on, it looks around every second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = engine.registry
        self.events = VmEvents.open()
        self._scanned_s = self._saved_s = time.monotonic()
        self._registry.scan()
        self._registry.refresh()
        self._registry.save()

    def fileno(self) -> int:
        """Of the events, which have to be there."""
        assert self.events is not None
        return self.events.fileno()

    def handle(self) -> None:
        """Takes KVM's events: a guest is known before its first exit."""
        assert self.events is not None
        for pid in self.events.handle():
            self._registry.appeared(pid)
        # Whoever may use KVM can make VMs without number, traced or not: only this is for tracing.
        with self._engine.cpu_time:
            self._engine.match()
        self.save()

    def tick(self) -> None:
        """Once a second: who has ended, and, while a filter is on, who is new."""
        with self._engine.cpu_time:
            self._look()

    def _look(self) -> None:
        since_s = time.monotonic() - self._scanned_s
        if self._engine.request.guest_filter is not None and (
            self.events is None or since_s >= SCAN_S
        ):
            self._scanned_s = time.monotonic()
            self._registry.scan()
        self._registry.refresh()
        self._engine.match()
        self.save()
        self._make_room()

    def save(self) -> None:
        """Writes the file where something has changed, at once or with the next tick."""
        if time.monotonic() - self._saved_s >= SAVE_S and self._registry.save():
            self._saved_s = time.monotonic()

    def _make_room(self) -> None:
        """Statistics of guests that have ended give way to those that come."""
        statistics = self._engine.statistics
        if statistics is None:
            return
        gone = statistics.make_room(is_alive)
        if gone:
            log(f"statistics of ended guests made room for others: {gone} are forgotten")

    def close(self) -> None:
        """For the last time: what is known stays for who reads the ring."""
        if self.events is not None:
            self.events.close()
        self._registry.refresh()
        self._registry.save()


def is_alive(guest: StatisticsGuest) -> bool:
    """Whether its process is still there; one that has not been announced yet may be."""
    if not guest.tgid:
        return time.monotonic_ns() - guest.last_ns < UNKNOWN_NS
    found = start(guest.tgid)
    if found is None or not found.alive:
        return False
    return not guest.start_boottime_ns or found.ticks == guest.start_boottime_ns // TICK_NS
