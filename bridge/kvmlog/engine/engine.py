# SPDX-License-Identifier: GPL-2.0-or-later
"""The log engine: keeps a source connected to the ring and in the requested state.

All methods are called from one thread; the records flow in the pump's thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.engine.budget import Budget, Cost
from kvmlog.engine.connection import OPEN_TRIES, SourceConnection
from kvmlog.engine.cpu_time import CpuTimeMeter
from kvmlog.engine.pump import Pump
from kvmlog.engine.request import GuestFilter, TraceRequest
from kvmlog.guests.registry import GuestRegistry
from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, iter_records
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.sources.base import Source, SourceGoneError, SourceStatus, SwitchConfig, describe_status
from kvmlog.util.errors import SourceError, StatisticsError
from kvmlog.util.log import log

# How long the end of a lease is left to the source.
_LATE_NS: Final = 1_000_000_000
# The pump lets a batch gather after another (pump.c).
_COALESCE_MS: Final[int] = lib.KVMLOG_COALESCE_MS


class Engine:
    """Source, pump and ring together. `request`: the last one; `on`: whether tracing is on.

    registry: the guests by name; without one, that of the ring (`<ring>.guests`). statistics: what
    exits are counted in; None: they are not. budget: what tracing may cost; None: no limit.
    """

    def __init__(
        self,
        writer: RingWriter,
        source: Source,
        registry: GuestRegistry | None = None,
        statistics: StatisticsWriter | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.writer = writer
        self.statistics = statistics
        self.budget = budget or Budget(limit_percent=0)
        self.cpu_time = CpuTimeMeter()  # what the budget charges of the bridge: no command is
        self.registry = registry or GuestRegistry(f"{writer.path}.guests")
        self.connection = SourceConnection(writer, source, statistics)
        self.request = TraceRequest()
        self.on = False
        self.trouble: str | None = None  # why the source is not there or not on
        self._checked: tuple[bool, str | None] | None = None

    @property
    def source(self) -> Source:
        """The source of records."""
        return self.connection.source

    @property
    def pump(self) -> Pump:
        """The pump that receives from it."""
        return self.connection.pump

    @property
    def connected(self) -> bool:
        """Return whether the source is open."""
        return self.connection.connected

    def start(self) -> None:
        """Begin the heartbeat and connect; without a source, log that and wait for it."""
        self.pump.start()
        try:
            self._connect(tries=OPEN_TRIES)
        except SourceError as error:
            self._waiting(str(error))

    def stop(self) -> None:
        """Switch tracing off, bring everything that was taken into the ring, leave the source."""
        self.request = TraceRequest()
        try:
            if self.connected:
                self._switch_off()
        except SourceError as error:
            log(str(error))
            self._lost(str(error))
        finally:
            self.connection.close()

    def switch(
        self,
        on: bool,
        vm: Sequence[str] = (),
        for_s: float | None = None,
        sampling: Sampling = EVERY_EXIT,
    ) -> dict[str, list[int]]:
        """Switch tracing; return which processes each word of `vm` named.

        vm: only these guests (names, UUIDs, pids), and those that match later; for_s: for so many
        seconds; sampling: which of their exits. What was asked for before is replaced. SourceError
        when the source did not acknowledge it, GuestError when a word names no running guest: then
        all is as before.
        """
        if not on:
            self.request = TraceRequest()
            if self.connected:
                # A source that is gone traces nothing.
                with contextlib.suppress(SourceGoneError), self._noticing_loss():
                    self._switch_off()
            return {}
        guest_filter = None
        if vm:
            self.registry.scan()
            guest_filter = GuestFilter(self.registry, vm)
        matched = {} if guest_filter is None else guest_filter.matched
        if self.connected:
            # It may have gone since the last tick, and be back already.
            with contextlib.suppress(SourceGoneError):
                self._trace(guest_filter, for_s, sampling)
                return matched
        self._connect(tries=OPEN_TRIES)
        self._trace(guest_filter, for_s, sampling)
        return matched

    def _trace(
        self, guest_filter: GuestFilter | None, for_s: float | None, sampling: Sampling
    ) -> None:
        """Have the connected source trace what is requested from now on."""
        request = TraceRequest.begin(guest_filter, for_s, sampling)
        with self._noticing_loss():
            if self.on:
                # It may have switched itself off since the last tick.
                self._refresh()
            if not self.on:
                self._switch_on(request)
            elif not request.is_met_by(self.connection.status):
                self.connection.configure(request.config())
        self.request = request

    def tick(self) -> None:
        """Publish the counters, and notice a source that went or returned; once a second."""
        with self.cpu_time:
            self._tick()

    def _tick(self) -> None:
        failure = self.pump.failure()
        if failure is not None and self.connected:
            self._lost(f"reconnecting: the receiving socket failed ({failure})")
        try:
            self._expire()
            if not self.connected:
                self._connect(tries=1)
            else:
                with self._noticing_loss():
                    self._refresh()
            with self._noticing_loss():
                if self.request.on and not self.on:
                    self._switch_on(self.request)
                elif self.on and (
                    self._capped() or self.request.needs_renewal(self.connection.status)
                ):
                    self.connection.configure(self.request.config())
            self._watch_cost()
        except SourceError as error:
            self._waiting(str(error))

    def announce(self, records: bytes) -> None:
        """Register guests that the source saw for the first time: whole records, of type GUEST."""
        for record in iter_records(records):
            if isinstance(record, GuestRecord):
                self.registry.announce(record)

    def match(self) -> None:
        """Have the source trace the guests that match now: some may have come or gone."""
        guest_filter = self.request.guest_filter
        if guest_filter is None:
            return
        tgids = guest_filter.tgids()
        if set(tgids) == set(self.request.tgids):
            return
        if len(tgids) > lib.KVMLOG_MAX_TGIDS:
            log(
                f"{len(tgids)} processes match; at most {lib.KVMLOG_MAX_TGIDS} are traced; "
                "choose fewer guests, or switch on for all of them"
            )
        fresh = dataclasses.replace(self.request, tgids=tgids)
        # A source that is gone gets them when it is back.
        with contextlib.suppress(SourceGoneError):
            try:
                with self._noticing_loss():
                    if self.on:
                        # It may have switched itself off since the last tick.
                        self._refresh()
                    if self.on and not fresh.is_over():
                        self.connection.configure(fresh.config())
            except SourceGoneError:
                raise
            except SourceError as error:
                self._waiting(str(error))
                return
        if self.request.guest_filter is guest_filter:
            self.request = fresh

    def reset(self) -> None:
        """Reset the statistics to zero; StatisticsError where there are none."""
        self._kept_statistics().reset()
        log("the statistics were reset by command")

    def flush(self) -> None:
        """Bring the statistics' file up to date; StatisticsError where there are none."""
        self._kept_statistics().flush()

    def describe_flush(self) -> dict[str, Any]:
        """Return, for the answer to `flush`, of which statistics, and how late exits may come.

        late_ms: from the source into the statistics; a busy host may take longer.
        """
        statistics_id = bytes(self._kept_statistics().header().statistics_id).hex()
        status = self.connection.status if self.connected else None
        flush_ms = 0 if status is None else status.flush_ms
        return {"statistics_id": statistics_id, "late_ms": flush_ms + _COALESCE_MS}

    def _kept_statistics(self) -> StatisticsWriter:
        if self.statistics is None:
            raise StatisticsError(
                "the bridge keeps no statistics; start it without --statistics-mib 0"
            )
        return self.statistics

    def state(self) -> str:
        """Return "off", "on", or "waiting": requested, but the source is not there or refuses."""
        if self.on:
            return "on"
        return "waiting" if self.request.on else "off"

    def pending(self) -> bytes:
        """Return exits whose re-entry has not come, as whole records; none while off."""
        if not self.connected or not self.on:
            return b""
        with self._noticing_loss():
            return self.source.pending()

    def describe(self) -> dict[str, Any]:
        """Return state, source and pump in plain values, for the status answer."""
        status = self.connection.status if self.connected else None
        return {
            "state": self.state(),
            **self.request.describe(),
            "trouble": self.trouble,
            "source": {
                "name": self.source.name,
                "connected": self.connected,
                "notes": self.source.notes(),
                **({} if status is None else describe_status(status)),
            },
            "budget": self.budget.describe(),
            "guests": {"running": len(self.registry.running())},
            "statistics": None if self.statistics is None else self.statistics.describe(),
            "pump": self.pump.statistics(),
            "counters": dict(self.connection.counters.totals),
        }

    def _connect(self, tries: int) -> None:
        status = self.connection.open(tries)
        self._checked = None
        self.trouble = None
        log(f"connected to the source {self.source.name} {status.version}".rstrip())

    @contextlib.contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        """Disconnect from a source that turns out to be gone, before that is raised."""
        try:
            yield
        except SourceGoneError as error:
            self._lost(str(error))
            raise

    def _refresh(self) -> SourceStatus:
        leased = self.connection.status is not None and self.connection.status.lease_ms > 0
        status = self.connection.refresh()
        if self.on and not status.on:
            # At the end of a lease, its own or ours, that is what was wanted; else it goes on when
            # it can.
            ours = self.request.until_ns is not None
            if self.request.is_over() if ours else leased:
                self.request = TraceRequest()
            self._note_off("the source switched itself off")
        if status.on:
            self._check_prototypes(status)
        return status

    def _switch_on(self, request: TraceRequest) -> None:
        request.rate_cap.pause()
        status = self.connection.switch_on(request.config())
        self.on = True
        self.trouble = None
        self.writer.switched(True, self.source.number)
        self._checked = (status.attached, status.vendor)
        self.budget.begin(self._cost(status))
        log("tracing is on" + _waiting_words(status))

    def _capped(self) -> bool:
        """Return whether the rate cap has changed how many of the exits are recorded."""
        status, cap = self.connection.status, self.request.rate_cap
        if status is None or not cap.adjust(status.counters, time.monotonic_ns()):
            return False
        most = self.request.sampling.max_per_s
        log(f"rate cap: recording one exit in {cap.one_in}, to stay below {most} a second")
        return True

    def _expire(self) -> None:
        """End a lease that is over, where the source has not: it is away or has lost it."""
        if not self.request.is_over(by_ns=_LATE_NS if self.on else 0):
            return
        self.request = TraceRequest()
        log("tracing was switched on for a limited time, which is over")
        if self.on:
            with self._noticing_loss():
                self._switch_off()

    def _watch_cost(self) -> None:
        """Switch tracing off when it takes more CPU time than it may."""
        if not self.on or self.connection.status is None:
            return
        self.budget.add(self._cost(self.connection.status))
        if self.budget.is_over():
            sentence = self.budget.stop()
            self.request = TraceRequest()
            with self._noticing_loss():
                self._switch_off(lib.KVMLOG_SWITCH_BUDGET, sentence)

    def _cost(self, status: SourceStatus) -> Cost:
        """Return what tracing has cost until this status."""
        return Cost(
            status.cost.probe_ns,
            status.cost.worker_ns,
            self.cpu_time.ns(),
            status.counters["seen"],
        )

    def _switch_off(
        self, cause: int = lib.KVMLOG_SWITCH_COMMAND, sentence: str = "tracing is off"
    ) -> None:
        self.connection.configure(SwitchConfig(on=False, cause=cause))
        was_on, self.on = self.on, False
        try:
            self.connection.settle()
        finally:
            if was_on:
                self._note_off(sentence)

    def _note_off(self, sentence: str) -> None:
        self.on = False
        self.budget.end()
        self.writer.switched(False, self.source.number)
        log(sentence)

    def _check_prototypes(self, status: SourceStatus) -> None:
        """Have the source check a KVM that was loaded after tracing was switched on."""
        state = (status.attached, status.vendor)
        if state == self._checked:
            return
        self._checked = state
        try:
            self.connection.configure(dataclasses.replace(self.request.config(), on=True))
        except SourceGoneError:
            raise
        except SourceError as error:
            self.connection.configure(SwitchConfig(on=False))
            self.request = TraceRequest()
            self._note_off(f"tracing is off: {error}")
            self.trouble = str(error)

    def _lost(self, sentence: str) -> None:
        """Leave a source that is gone: the ring goes on, and the engine waits."""
        self.connection.lose()
        if self.on:
            self.on = False
            self.budget.end()
            self.writer.switched(False, self.source.number)
        self._waiting(sentence)

    def _waiting(self, sentence: str) -> None:
        if sentence != self.trouble:
            resumes = " (tracing resumes when the source returns)" if self.request.on else ""
            log(sentence + resumes)
        self.trouble = sentence


def _waiting_words(status: SourceStatus) -> str:
    return f", waiting for {status.waiting_for}" if status.waiting_for else ""
