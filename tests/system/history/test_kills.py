# SPDX-License-Identifier: GPL-2.0-or-later
"""A history killed while it writes: nothing that it has acknowledged is lost, and nothing twice."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from pathlib import Path

from kvmlog.history.client import HistoryClient
from kvmlog.history.model import Binary
from kvmlog.history.protocol import Update
from kvmlog.util.errors import HistoryError
from kvmlog.vmstats.event_log import EventLog
from kvmlog.vmstats.events import Kind, Occurrence, path_of
from kvmlog.vmstats.moment import Moment
from tests.support.history_process import History, history
from tests.support.scale import HISTORY_KILLS

_URI = "qemu:///system"
_PAUSE_S = 0.05
# Each of so many lives lasts until it has caught up: the file of events holds some thousand.
_CATCHES_UP = 3


class Feed:
    """Threads that give the history work all the time, and keep what it has acknowledged."""

    def __init__(self, folder: Path, boot_id: str) -> None:
        self.uuids: list[str] = []  # of the VMs that were defined
        self.consumed = -1
        self.reason = -1
        self._client = HistoryClient(str(folder / "history.socket"), timeout_s=5)
        self._events = EventLog(path_of(str(folder / "vms.json")), boot_id)
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._define, self._consume, self._disable)
        ]

    def __enter__(self) -> Feed:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._events.close()

    def _define(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            one = str(uuid.uuid4())
            self._events.note(Occurrence(Moment.now(), _URI, Kind.DEFINED, one, "vm", "added"))
            self._events.handle()
            self.uuids.append(one)

    def _consume(self) -> None:
        for number in itertools.count():
            if self._ended.is_set():
                return
            try:
                self._client.consumed("webhook", number)
            except HistoryError:
                time.sleep(_PAUSE_S)  # it was killed, and comes again
            else:
                self.consumed = number

    def _disable(self) -> None:
        for number in itertools.count():
            if self._ended.is_set():
                return
            try:
                self._client.update_service(
                    Binary.HISTORY, Update(enabled=False, disabled_reason=str(number))
                )
            except HistoryError:
                time.sleep(_PAUSE_S)
            else:
                self.reason = number


def boot_id(folder: Path) -> str:
    """Return the boot that a history writes into its file."""
    with history(folder) as kept:
        return kept.reader.status().observed_since.boot_id


def check(kept: History, feed: Feed, consumed: int, reason: int) -> None:
    """What was acknowledged before is there."""
    cursor = kept.reader.cursor("webhook")
    assert consumed <= (-1 if cursor is None else cursor)
    (service,) = kept.reader.services(binary=Binary.HISTORY)
    assert reason < 0 or (not service.enabled and int(service.disabled_reason or -1) >= reason)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """After each kill; at the end each event was taken once, and the journal has no gap."""
    dice = random.Random(15)
    with Feed(tmp_path, boot_id(tmp_path)) as feed:
        for turn in range(HISTORY_KILLS):
            consumed, reason, newest = feed.consumed, feed.reason, feed.uuids[-1:]
            with history(tmp_path) as kept:
                check(kept, feed, consumed, reason)
                if turn % _CATCHES_UP == 0 and newest:
                    kept.until(lambda reader, one=newest[0]: reader.actions(uuid=one))  # type: ignore[misc]
                time.sleep(dice.uniform(0.05, 1.3))
                kept.process.kill()
    with history(tmp_path) as kept:
        check(kept, feed, feed.consumed, feed.reason)
        assert feed.consumed > 0
        assert feed.reason > 0
        kept.until(lambda reader: reader.actions(uuid=feed.uuids[-1]))
        assert kept.reader.status().lost_events == 0
        for one in feed.uuids:
            assert kept.names(one) == ["create"]
        status, sequence = kept.reader.status(), 0
        while found := kept.reader.changes(sequence):
            numbers = [one.sequence for one in found]
            assert numbers == list(range(sequence + 1, sequence + 1 + len(found)))
            sequence = numbers[-1]
        assert sequence == status.newest_sequence
    assert list(tmp_path.glob("*damaged*")) == []
