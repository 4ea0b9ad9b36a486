# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of one RPC server that call without a pause, and look closely at each reply.

    python -m tests.vm.inside.rpc_clients URL SECONDS FIRST CLIENTS PID

CLIENTS threads call for SECONDS, each on its own connection; that of number n, from FIRST on,
begins with the nth method. PID: of a guest that exits meanwhile.
Prints one JSON object: for each method how long each call took, in seconds. A wrong reply is an
exit status of 1, and says on stderr what was wrong.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from kvmlog.client import Client
from kvmlog.exits.reasons import svm
from kvmlog.ring.records import RECORD_BYTES, Record
from tests.vm.inside import ring_bytes

RECORDS: Final = 1_024
# For one call; reached only when something hangs.
HANG_S: Final = 240.0
_LEGACY: Final = re.compile(r"([0-9A-F]{2})([0-5][0-9])([0-5][0-9])([0-9]{3})")
_LEGACY_CHARACTERS: Final = 9
_HOUR_MS: Final = 3_600_000
_CODES: Final = frozenset({*(f"{code:02X}" for code in svm.NAMES if code <= 0xFE), "FF"})


class Caller:
    """One client, and what it knows from earlier replies: nothing of that may go back."""

    def __init__(self, url: str, pid: int) -> None:
        self._client = Client(url, timeout_s=HANG_S)
        self._pid = pid
        self._at: tuple[str, int] | None = None
        self._most: dict[str, int] = {}
        self.took_s: dict[str, list[float]] = defaultdict(list)

    def run(self, first: int, until_s: float) -> None:
        """Calls in turn, beginning with the method of this number; once at least."""
        methods: tuple[tuple[str, Callable[[], None]], ...] = (
            ("getKvmLog", self._legacy),
            ("kvmRecords", self._records),
            ("kvmStatus", self._status),
            ("kvmStatistics", self._statistics),
            ("kvmPending", self._pending),
            ("kvmGuests", self._guests),
        )
        with self._client:
            for name, call in itertools.islice(itertools.cycle(methods), first, None):
                begin = time.monotonic()
                call()
                self.took_s[name].append(time.monotonic() - begin)
                if time.monotonic() >= until_s:
                    return

    def _grows(self, name: str, value: int) -> None:
        """A count that is never less than before."""
        assert value >= self._most.get(name, 0), (name, value, self._most[name])
        self._most[name] = value

    def _legacy(self) -> None:
        text = self._client.call("getKvmLog")
        records = _LEGACY.findall(text)
        assert len(text) == len(records) * _LEGACY_CHARACTERS, text
        assert 0 < len(records) <= RECORDS
        assert {code for code, *_ in records} <= _CODES
        times = [int(m) * 60_000 + int(s) * 1_000 + int(ms) for _, m, s, ms in records]
        # Newest first: the time of day goes back, by less than an hour in all.
        back = [(one - other) % _HOUR_MS for one, other in itertools.pairwise(times)]
        assert sum(back) < _HOUR_MS, text

    def _records(self) -> None:
        page = self._client.records(RECORDS, self._at)
        span, size = page.span, RECORD_BYTES
        assert len(page.raw) == (span.next_index - span.first_index) * size
        assert len(page.raw) <= RECORDS * size
        assert span.next_index <= span.written
        if self._at is not None:
            ring_id, since = self._at
            assert (span.ring_id, page.replaced) == (ring_id, False)
            assert span.first_index == since + span.overwritten
        self._grows("written", span.written)
        self._grows("lost", span.lost_records)
        exits = ring_bytes.exits(page.raw)
        assert {reason for _, reason in exits} <= svm.NAMES.keys()
        assert len(exits) + len(ring_bytes.notes(page.raw)) == len(page.raw) // size
        self._at = (span.ring_id, span.next_index)

    def _status(self) -> None:
        status = self._client.status()
        assert (status.bridge_error, status.ring_error) == (None, None)
        assert status.bridge is not None
        assert status.ring is not None
        assert (status.bridge["state"], status.ring.switched_on) == ("on", True)
        counts = status.ring.counters
        places = ("emitted", "filtered", "sampled", "dropped", "pending")
        assert counts["seen"] == sum(counts[place] for place in places), counts
        self._grows("written", status.ring.head)
        for name in ("seen", "emitted", "dropped", "notes"):
            self._grows(name, counts[name])

    def _statistics(self) -> None:
        report, _ = self._client.statistics()
        assert report.lines
        assert (report.torn, report.overflow) == (0, 0)
        self._grows("exits", report.exits)

    def _pending(self) -> None:
        pending = self._client.pending()
        shown = pending.records.decoded()
        assert len(shown) + pending.left_out == pending.pending
        assert all(isinstance(record, Record) for record in shown)

    def _guests(self) -> None:
        guests = self._client.guests()
        assert (guests.bridge_error, guests.guests_error) == (None, None)
        assert self._pid in [guest.pid for guest in guests.guests]


def main(url: str, seconds: str, first: str, clients: str, pid: str) -> int:
    """Runs them all; the exit status."""
    until_s = time.monotonic() + float(seconds)
    callers = [Caller(url, int(pid)) for _ in range(int(clients))]
    wrong: list[BaseException] = []

    def run(number: int, caller: Caller) -> None:
        try:
            caller.run(number, until_s)
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=run, args=one) for one in enumerate(callers, int(first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s: dict[str, list[float]] = defaultdict(list)
    for caller in callers:
        for name, times in caller.took_s.items():
            took_s[name] += times
    print(json.dumps(took_s))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
