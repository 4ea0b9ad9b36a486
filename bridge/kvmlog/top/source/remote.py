# SPDX-License-Identifier: GPL-2.0-or-later
"""Another host, through its `kvmlog rpc`: the server counts for the interval, one call a report."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kvmlog.client import Client
from kvmlog.client.connection import RpcFaultError
from kvmlog.client.statistics import MOST_TOP_OCTAVES
from kvmlog.control.sampling import Sampling
from kvmlog.guests.model import Guest
from kvmlog.stat.report import Report
from kvmlog.top.model.health import Status
from kvmlog.top.model.scope import Wanted
from kvmlog.util.errors import KvmlogError

# The bridge there looks for guests each time it is asked.
_ROSTER_EVERY_S: Final = 10.0
LEAST_INTERVAL_S: Final = 0.1
MOST_INTERVAL_S: Final = 60.0


@dataclasses.dataclass(frozen=True)
class RemoteSample:
    """The reports that were asked for."""

    reports: Mapping[Wanted, Report]
    status: Status
    roster: Sequence[Guest]
    from_start: bool

    def report(self, wanted: Wanted) -> Report | None:
        """Return the report, if it was asked for."""
        return self.reports.get(wanted)


class RemoteSource:
    """A server. connect: makes clients; words: the guests to show; reword: as Words."""

    def __init__(
        self,
        connect: Callable[[], Client],
        host: str,
        words: Sequence[str] = (),
        reword: Callable[[str], str] = str,
    ) -> None:
        self.host = host
        self._connect = connect
        self._words = tuple(words)
        self._reword = reword
        # A call that waits holds its connection: one for each report, one for all else.
        self._clients: list[Client] = []
        self._asking = connect()
        self._roster: Sequence[Guest] = ()
        self._roster_at: float | None = None
        self._lock = threading.Lock()  # covers the two below
        self._busy = self._closed = False

    def close(self) -> None:
        """Close all connections, or have the sample under way close them at its end."""
        with self._lock:
            self._closed = True
            if not self._busy:
                self._close_all()

    def _close_all(self) -> None:
        for client in (self._asking, *self._clients):
            client.close()

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> RemoteSample:
        """Ask for all of these reports at once, and for the status."""
        with self._lock:
            if self._closed:
                raise KvmlogError(f"{self.host}: its connection has been closed")
            self._busy = True
        try:
            return self._sample(list(dict.fromkeys(wanted)), interval_s)
        finally:
            with self._lock:
                self._busy = False
                if self._closed:
                    self._close_all()

    def _sample(self, asked: Sequence[Wanted], interval_s: float | None) -> RemoteSample:
        while len(self._clients) < len(asked):
            self._clients.append(self._connect())
        try:
            reports = self._reports(asked, interval_s)
            status = self._status()
            return RemoteSample(reports, status, self._running(), interval_s is None)
        except RpcFaultError as error:
            raise KvmlogError(self._reword(str(error))) from None

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Switch tracing there."""
        # The screen's thread asks, while the other one may wait for a reply.
        with self._connect() as client:
            try:
                client.switch(on, vm, for_s, sampling)
            except RpcFaultError as error:
                raise KvmlogError(self._reword(str(error))) from None

    def _reports(self, asked: Sequence[Wanted], interval_s: float | None) -> dict[Wanted, Report]:
        """Ask in a thread for each; those of this module's users end with the process."""
        found: dict[Wanted, Report] = {}
        failed: list[KvmlogError] = []

        def ask(client: Client, one: Wanted) -> None:
            try:
                found[one] = self._ask(client, one, interval_s)
            except KvmlogError as error:
                failed.append(error)

        threads = [
            threading.Thread(target=ask, args=pair, daemon=True)
            for pair in zip(self._clients, asked, strict=False)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return found

    def _ask(self, client: Client, wanted: Wanted, interval_s: float | None) -> Report:
        query = dataclasses.replace(wanted.query, top=MOST_TOP_OCTAVES)
        vm = self._words if wanted.guest is None else (str(wanted.guest.pid),)
        return client.statistics(query, vm, interval_s)[0]

    def _status(self) -> Status:
        found = self._asking.status()
        return Status(
            found.bridge,
            self._reword(found.bridge_error) if found.bridge_error else None,
            found.ring,
            self._reword(found.ring_error) if found.ring_error else None,
        )

    def _running(self) -> Sequence[Guest]:
        now = time.monotonic()
        if self._roster_at is None or now - self._roster_at >= _ROSTER_EVERY_S:
            self._roster = [] if self._words else self._asking.guests().guests
            self._roster_at = now
        return self._roster
