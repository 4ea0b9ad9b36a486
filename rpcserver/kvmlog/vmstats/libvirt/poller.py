# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that polls one libvirt, independent of all others."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import log
from kvmlog.vmstats.events import Kind, Occurrence
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.libvirt import calls, uri
from kvmlog.vmstats.libvirt.balloon import BalloonPeriod
from kvmlog.vmstats.libvirt.cpu_time import DaemonCpu
from kvmlog.vmstats.libvirt.domains import Domains
from kvmlog.vmstats.libvirt.events import Changes
from kvmlog.vmstats.libvirt.host import HostSampler
from kvmlog.vmstats.libvirt.host_facts import HostFacts
from kvmlog.vmstats.libvirt.session import CALL_S, Session, UnreachableError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Connection, Vm

_RETRY_S: Final = 1.0
_RETRY_MOST_S: Final = 5.0
# Definitions read in one call, all within CALL_S.
_DEFINITIONS: Final = 100
# One kind of error, whatever the numbers in it are, is logged no more often.
_ERROR_S: Final = 60.0
_ERRORS_MOST: Final = 64
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Report:
    """One libvirt after a poll."""

    connection: Connection
    host: Host | None
    vms: tuple[Vm, ...]
    daemon_cpu_ns: int | None  # of libvirtd, in all polls so far


class Poller:
    """A thread that polls one libvirt every interval_s, and reports each time.

    reported: called in the thread after each poll; note: called, in libvirt's or this thread, for
    what happens in between. report: the newest one.
    """

    def __init__(
        self,
        connection_uri: str,
        *,
        interval_s: float,
        history_s: float,
        balloon_period_s: int,
        images: str,
        reported: Callable[[], None],
        note: Callable[[Occurrence], None],
    ) -> None:
        self.uri = connection_uri
        self.interval_s = interval_s
        self.busy = True  # a poll is under way, or about to begin
        self.failure: BaseException | None = None  # the thread ended by it
        self._reported = reported
        self._ended = False
        self._lost = False
        self._wake = threading.Event()
        self._changes = Changes(self._on_lost, note, connection_uri)
        self._session = Session(
            connection_uri, remote=not uri.is_local(connection_uri), changes=self._changes
        )
        self._domains = Domains(connection_uri, history_s, self._changes)
        self._facts = HostFacts(connection_uri)
        self._host_sampler = HostSampler(connection_uri, images)
        self._balloon = BalloonPeriod(connection_uri, balloon_period_s, self._changes.redefine)
        self._daemon = DaemonCpu(connection_uri)
        self._host: Host | None = None
        self._error: str | None = None
        self._errors: dict[str, float] = {}  # kinds logged since it failed first, and when last
        self._since: Moment | None = None
        self._polls = 0
        self._last_poll_ns: int | None = None
        self._connections = 0  # of the session, when the definitions were read last
        self._hung: frozenset[str] = frozenset()  # as the log has them
        self._failed = 0  # polls in a row
        self._log = LogLimiter(log)
        self.report = self._new_report((), Moment.now())
        self._thread = threading.Thread(
            target=self._run, name=f"poll {connection_uri}", daemon=True
        )

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end after the poll that it is in; join() waits for it."""
        self._ended = True
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread and its connections, but not for calls that hang."""
        self._thread.join(timeout_s)
        self._session.join(timeout_s)
        self._facts.join(timeout_s)

    @property
    def ended(self) -> bool:
        """Return whether the thread has ended, or was never started."""
        return not self._thread.is_alive()

    def _on_lost(self) -> None:
        self._lost = True
        self._wake.set()

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._ended:
                self._poll()
                self.busy = False
                self._reported()
                due = self._next(due)
                if self._wake.wait(max(0.0, due - time.monotonic())):
                    self._wake.clear()
                    due = time.monotonic()
                self.busy = True
        except BaseException as error:  # noqa: BLE001  # the main thread ends the process with it
            self.failure = error
            self._reported()
        finally:
            self._session.close()
            self._facts.close()

    def _next(self, due: float) -> float:
        """Return when to poll again after a poll that was due then."""
        now = time.monotonic()
        if self._failed:
            most_s = max(_RETRY_MOST_S, self.interval_s)
            return now + min(most_s, _RETRY_S * (1 << min(self._failed - 1, 12)))
        # What is late is not made up for.
        return max(due + self.interval_s, now)

    def _poll(self) -> None:
        began = time.monotonic_ns()
        try:
            with self._daemon:
                vms = self._sampled()
        except UnreachableError as error:
            self._enter(str(error))
            vms = self._domains.stale(Moment.now())
        else:
            self._enter(None)
            self._polls += 1
            self._last_poll_ns = time.monotonic_ns() - began
            self._balloon.apply(vm.sample for vm in vms)
        self.report = self._new_report(vms, Moment.now())

    def _sampled(self) -> tuple[Vm, ...]:
        if self._lost:
            self._lost = False
            self._session.close()
        session, domains = self._session, self._domains
        domains.redefine(self._changes.take_redefined())
        answer = session.figures(max(CALL_S, 0.8 * self.interval_s))
        if session.connections != self._connections:
            # What happened in between no event told.
            domains.redefine()
            self._facts.renew()
            self._daemon.find()
            if self._connections and self._error is None:
                # Lost and there again, within one poll.
                self._changes.happened(Kind.CONNECTED)
            self._connections = session.connections
        elif not session.has_events:
            domains.redefine()
        self._facts.begin()
        unsampled = domains.unsampled(session.hung)
        self._define([*domains.undefined(answer), *unsampled])
        told: tuple[calls.Bare, ...] = ()
        if unsampled:
            told = session.watch(lambda connection: calls.bare(connection, unsampled))
        facts = self._facts.get()
        vms = domains.take(answer, session.hung, told, None if facts is None else facts[1].cpus)
        self._host = None if facts is None else self._host_sampler.sample(*facts, vms)
        self._tell_hung(vms)
        return vms

    def _tell_hung(self, vms: tuple[Vm, ...]) -> None:
        """Log which domains have begun to hang, and which no longer do."""
        hung = self._session.hung
        if hung == self._hung:
            return
        names = {vm.sample.uuid: vm.sample.name for vm in vms}
        for changed, words in (
            (hung - self._hung, "does not answer libvirt: its QEMU hangs"),
            (self._hung - hung, "answers again"),
        ):
            for uuid in sorted(changed & names.keys()):
                self._log(f"{self.uri}: {names[uuid]} {words}")
        self._hung = hung

    def _define(self, uuids: list[str]) -> None:
        for at in range(0, len(uuids), _DEFINITIONS):
            some = uuids[at : at + _DEFINITIONS]
            self._domains.define(
                self._session.watch(lambda connection: calls.definitions(connection, some))  # noqa: B023
            )

    def _enter(self, error: str | None) -> None:
        """Note how libvirt was found."""
        self._failed = 0 if error is None else self._failed + 1
        if self._since is None or (error is None) != (self._error is None):
            self._since = Moment.now()
            self._errors.clear()
            if error is None:
                self._log(f"{self.uri}: connected")
                self._changes.happened(Kind.CONNECTED)
            else:
                self._changes.happened(Kind.DISCONNECTED, None, error)
        self._error = error
        if error is not None:
            self._tell_error(error)

    def _tell_error(self, error: str) -> None:
        """Log why there is no connection, whenever that is another reason than before."""
        kind, now = _NUMBER.sub("", error), time.monotonic()
        last = next(reversed(self._errors), None)
        if kind == last or now - self._errors.get(kind, -_ERROR_S) < _ERROR_S:
            return
        self._errors.pop(kind, None)  # the one logged last is the last of them
        if len(self._errors) < _ERRORS_MOST:
            self._errors[kind] = now
            self._log(f"{self.uri}: {error}")

    def _new_report(self, vms: tuple[Vm, ...], now: Moment) -> Report:
        return Report(
            connection=Connection(
                uri=self.uri,
                connected=self._since is not None and self._error is None,
                since=self._since or now,
                error=self._error,
                polls=self._polls,
                last_poll_ns=self._last_poll_ns,
                hung=tuple(sorted(self._session.hung)),
                stuck_threads=self._session.stuck_threads + self._facts.stuck_threads,
            ),
            host=self._host,
            vms=vms,
            daemon_cpu_ns=self._daemon.spent_ns,
        )
