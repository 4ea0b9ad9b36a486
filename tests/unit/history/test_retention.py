# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no longer kept: by age, by size, and what stays whatever happens."""

from __future__ import annotations

import os
import sqlite3

from kvmlog.history import faults, journal, retention
from kvmlog.history.model import ChangeKind, FaultKind, Source
from kvmlog.history.retention import Limits
from kvmlog.vmstats.events import Kind
from kvmlog.vmstats.sample import State
from tests.support import vmstats_samples as made
from tests.support.history_book import UUID, Book

DAY_S = 86_400.0
LARGE = 1 << 40


def trim(book: Book, seconds: float, days: int, size: int = LARGE) -> int:
    """Trim until nothing is left to do; return how many transactions it took."""
    for turn in range(1, 1_000):
        with book.store.transaction(book.stamp(seconds)) as transaction:
            if not retention.trim(transaction, Limits(days, size)):
                return turn
    raise AssertionError


def test_old_entries_go(book: Book) -> None:
    """Actions with their events, faults, changes of state, the journal, ended lives."""
    book.started(10)
    book.poll(20, book.sample(20, started=made.at(10)))
    book.tell(30, Kind.WATCHDOG, "none")
    book.tell(40, Kind.STOPPED, "destroyed")
    book.tell(50, Kind.UNDEFINED, "removed")
    book.tell(9 * DAY_S, Kind.DEFINED, "added")
    trim(book, 5 * DAY_S, days=30)
    assert book.names() == ["create", "start", "stop", "delete", "create"]
    trim(book, 10 * DAY_S, days=7)
    assert (book.names(), book.faults(), book.reader.states()) == (["create"], [], ())
    assert book.reader.lives() == ()
    assert [one.kind for one in book.reader.changes(0)] == [ChangeKind.ACTION]
    left = sqlite3.connect(book.path)
    for table in ("action_event", "span", "run"):
        (count,) = left.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert count == (1 if table == "action_event" else 0)
    left.close()


def test_a_life_that_goes_on_stays(book: Book) -> None:
    """Also without anything new in it; only its old runs and spans go."""
    book.started(10)
    book.poll(20, book.sample(20, started=made.at(10)))
    book.tell(30, Kind.STOPPED, "destroyed")
    book.tell(40, Kind.STARTED, "booted")
    larger = made.definition(instance=made.instance(flavor_vcpus=8))
    book.poll(50, book.sample(50, definition=larger, started=made.at(40)))
    trim(book, 100 * DAY_S, days=7)
    life = book.life()
    assert (life.began, life.ended, life.state) == (book.stamp(9), None, State.RUNNING)
    assert ([one.size.vcpus for one in life.spans], len(life.runs)) == ([8], 1)
    # Numbers of the journal are not used again.
    before = book.reader.status()
    assert before.oldest_sequence == 0
    book.tell(101 * DAY_S, Kind.REBOOT)
    assert book.reader.changes(0)[0].sequence == before.newest_sequence + 1


def test_a_large_file_shrinks(book: Book) -> None:
    """The oldest go until it fits; readers read meanwhile; the rest is whole."""
    book.started(10)
    book.poll(20, book.sample(20, started=made.at(10)))
    for turn in range(10):
        with book.store.transaction(book.stamp(100 + turn)) as transaction:
            for number in range(1_000):
                body = {"events": 1_000 * turn + number, "x": "y" * 200}
                journal.add(transaction, ChangeKind.GAP, transaction.now, body)
    most = 1 << 20
    reading = sqlite3.connect(f"file:{book.path}?mode=ro", uri=True, isolation_level=None)
    reading.execute("BEGIN")
    (before,) = reading.execute("SELECT count(*) FROM journal").fetchone()
    assert trim(book, 200, days=30, size=most) > 2
    assert reading.execute("SELECT count(*) FROM journal").fetchone() == (before,)
    reading.close()
    with book.store.transaction(book.stamp(201)) as transaction:
        pages = transaction.pragma("page_count") * transaction.pragma("page_size")
    assert pages <= most
    last = book.reader.status()
    kept = book.reader.changes(last.oldest_sequence - 1)
    assert kept[0].sequence == last.oldest_sequence > 1
    assert book.reader.changes(last.newest_sequence - 1)[0].body["events"] == 9_999
    assert book.life().uuid == UUID
    book.store.close()
    assert os.path.getsize(book.path) <= most


def test_it_stays_bounded(book: Book) -> None:
    """However much is written, the file does not grow beyond a trim's worth."""
    size, largest = 1 << 20, 0
    for turn in range(15):
        with book.store.transaction(book.stamp(turn)) as transaction:
            for number in range(300):
                faults.happened(
                    transaction,
                    FaultKind.IO_ERROR,
                    transaction.now,
                    uuid=UUID,
                    name="web1",
                    project_id=None,
                    message="x" * 255,
                    details={"n": f"{turn} {number}"},
                    source=Source.EVENT,
                )
        trim(book, turn, days=30, size=size)
        largest = max(largest, os.path.getsize(book.path))
    assert largest < size + (1 << 20)
    assert book.faults()[-1].details == {"n": "14 299"}
