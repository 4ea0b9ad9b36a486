# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector: a poller for each URI, and one file of what all of them found."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import VmStatsError
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import log
from kvmlog.vmstats.cost import Budget
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.libvirt.poller import Poller
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Collector as CollectorState
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.writer import SnapshotWriter

# The others, which began at the same time, are waited for so long before the file is written.
_TOGETHER_S: Final = 0.3
_LATE_S: Final = 2.0
_END_S: Final = 1.0


@dataclass(frozen=True)
class Settings:
    """What to collect, and how often."""

    uris: Sequence[str]
    interval_s: float
    history_s: float
    balloon_period_s: int  # 0: none is set
    budget_percent: float
    images: str
    version: str
    boot_id: str


class Collector(Closeable):
    """Pollers, their cost, and the writer of the file."""

    def __init__(self, settings: Settings, writer: SnapshotWriter, events: EventLog) -> None:
        self._settings = settings
        self._writer = writer
        self._started = Moment.now()
        self._written_s = time.monotonic()
        self._log = LogLimiter(log)
        self._reported = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._budget = Budget(settings.interval_s, settings.budget_percent)
        self._pollers = [
            Poller(
                uri,
                interval_s=settings.interval_s,
                history_s=settings.history_s,
                balloon_period_s=settings.balloon_period_s,
                images=settings.images,
                reported=self._report,
                note=events.note,
            )
            for uri in settings.uris
        ]

    def start(self) -> None:
        """Begin to poll."""
        for poller in self._pollers:
            poller.start()

    def fileno(self) -> int:
        """Return a descriptor that is readable once a poller has reported."""
        return self._reported

    def handle(self) -> None:
        """Write the file, after a poll; others that are under way are waited for a moment.

        What ended a poller is raised here.
        """
        limit = time.monotonic() + _TOGETHER_S
        while True:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._reported)
            self._check()
            left_s = limit - time.monotonic()
            if left_s <= 0 or not any(poller.busy for poller in self._pollers):
                break
            select.select([self._reported], [], [], left_s)
        self._account()
        self._write()

    def tick(self) -> None:
        """Write the file though no poll has ended for long: readers see that the collector lives.

        To be called about once a second.
        """
        if time.monotonic() - self._written_s > 2 * self._budget.interval_s + _LATE_S:
            self._write()

    def state(self) -> str:
        """Return what is being collected, in a line."""
        reports = [poller.report for poller in self._pollers]
        connected = sum(report.connection.connected for report in reports)
        vms = sum(len(report.vms) for report in reports)
        words = (
            f"{vms} VMs from {connected} of {len(reports)} libvirt connections every "
            f"{self._budget.interval_s:g} s, into {self._writer.path}"
        )
        return words if self._budget.stretched is None else f"{words}; {self._budget.stretched}"

    def snapshot(self) -> Snapshot:
        """Return all that is known now."""
        settings, budget = self._settings, self._budget
        reports = [poller.report for poller in self._pollers]
        return Snapshot(
            boot_id=settings.boot_id,
            collector=CollectorState(
                pid=os.getpid(),
                version=settings.version,
                started=self._started,
                written=Moment.now(),
                interval_s=settings.interval_s,
                effective_interval_s=budget.interval_s,
                stretched=budget.stretched,
                balloon_period_s=settings.balloon_period_s or None,
                cost=budget.cost,
                connections=tuple(report.connection for report in reports),
            ),
            hosts=tuple(report.host for report in reports if report.host is not None),
            vms=tuple(vm for report in reports for vm in report.vms),
        )

    def close(self) -> None:
        """End the pollers; calls that hang are left to the end of the process."""
        for poller in self._pollers:
            poller.stop()
        limit = time.monotonic() + _END_S
        for poller in self._pollers:
            poller.join(max(0.0, limit - time.monotonic()))
        # One that is still in a call will report.
        if self._reported >= 0 and all(poller.ended for poller in self._pollers):
            os.close(self._reported)
            self._reported = -1

    def _write(self) -> None:
        """Write the file. A full file system may have room for the next one; rates go on."""
        self._written_s = time.monotonic()
        try:
            self._writer.write(self.snapshot())
        except VmStatsError as error:
            self._log(str(error))

    def _report(self) -> None:
        os.eventfd_write(self._reported, 1)

    def _check(self) -> None:
        for poller in self._pollers:
            if poller.failure is not None:
                raise poller.failure

    def _account(self) -> None:
        spent = [poller.report.daemon_cpu_ns for poller in self._pollers]
        known = [one for one in spent if one is not None]
        self._budget.account(
            time.monotonic_ns(), time.process_time_ns(), sum(known) if known else None
        )
        for poller in self._pollers:
            poller.interval_s = self._budget.interval_s
