# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeping up with guests that come and go: the registry, its file, and the guest filter."""

from __future__ import annotations

import time
from typing import Final

from kvmlog.engine.engine import Engine
from kvmlog.guests.registry import TICK_NS, GuestRegistry
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
        """Return the descriptor, for the selector."""
        return self._engine.pump.guests_fd()

    def handle(self) -> None:
        """Hand them to the engine; where too many came at once, scan all processes instead."""
        with self._engine.cpu_time:
            records, missed = self._engine.pump.guests()
            self._engine.announce(records)
            if missed != self._missed:
                self._missed = missed
                self._engine.registry.scan()


class GuestMonitor:
    """Keep the engine's registry of guests up to date, and the source on the filtered ones.

    `events`: for the selector, with handle() for when it is readable; None where the kernel has
    none: then, while a filter is on, all processes are scanned every second.
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
        """Return the descriptor of the events, which have to be there."""
        assert self.events is not None
        return self.events.fileno()

    def handle(self) -> None:
        """Take KVM's events: a guest is known before its first exit, and its end at once."""
        assert self.events is not None
        for event in self.events.handle():
            if event.created:
                self._registry.appeared(event.pid)
            else:
                self._registry.closed(event.pid)
        # Whoever may use KVM can make VMs without number, traced or not: only this is for tracing.
        with self._engine.cpu_time:
            self._engine.match()
        self.save()

    def tick(self) -> None:
        """Find, once a second, who has ended and, while a filter is on, who is new."""
        with self._engine.cpu_time:
            self._update()

    def _update(self) -> None:
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
        """Write the file where something has changed, at once or with the next tick."""
        if time.monotonic() - self._saved_s >= SAVE_S and self._registry.save():
            self._saved_s = time.monotonic()

    def _make_room(self) -> None:
        """Evict ended guests from the statistics, to have room for those that come."""
        statistics = self._engine.statistics
        if statistics is None:
            return
        gone = statistics.make_room(lambda guest: is_alive(guest, self._registry))
        if gone:
            log(f"statistics of {gone} ended guests were removed to make room for others")

    def close(self) -> None:
        """Write the file a last time: what is known stays for readers of the ring."""
        if self.events is not None:
            self.events.close()
        self._registry.refresh()
        self._registry.save()


def is_alive(guest: StatisticsGuest, registry: GuestRegistry) -> bool:
    """Return whether it has not ended, as far as is known; one not announced yet may run."""
    if not guest.tgid:
        return time.monotonic_ns() - guest.last_ns < UNKNOWN_NS
    found = start(guest.tgid)
    if found is None or not found.alive:
        return False
    if guest.start_boottime_ns and found.ticks != guest.start_boottime_ns // TICK_NS:
        return False
    # A process may outlive its VM.
    return not registry.has_ended(guest.tgid, found.ticks)
