# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed of a target: where it begins, what it skips, what it tells once a period."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kvmlog.history.client import HistoryClient
from kvmlog.notify.delivery import Delivery
from kvmlog.notify.feed import Feed
from kvmlog.notify.message import Message, Origin
from kvmlog.notify.periods import last_complete
from kvmlog.notify.state import AuditState
from kvmlog.vmstats.events import Kind
from tests.support.history_book import BOOT, UUID, Book


class Taker:
    """A target that takes everything."""

    name = "taker"
    where = "taker"

    def __init__(self) -> None:
        self.taken: list[Message] = []

    async def send(self, message: Message) -> None:
        """Take it."""
        self.taken.append(message)

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def events(self) -> list[str]:
        """What kinds of events it got."""
        return [one.event_type for one in self.taken]


class Client:
    """The history's socket, without one: the file itself."""

    def __init__(self, path: str) -> None:
        self._path = path

    def consumed(self, consumer: str, sequence: int) -> None:
        """Keep it; called in any thread."""
        with contextlib.closing(sqlite3.connect(self._path)) as file, file:
            file.execute(
                "INSERT OR REPLACE INTO consumer VALUES (?, ?, 0, 0, (SELECT min(id) FROM boot))",
                (consumer, sequence),
            )


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """A history in which one VM was started, and sampled."""
    with Book(tmp_path) as made:
        made.started()
        made.poll(5, made.sample(5))
        yield made


def rounds(
    book: Book, audit: AuditState, *steps: Callable[[], Any], period: str | None = None
) -> Taker:
    """Notify a new target; a step happens before each round but the first."""
    target = Taker()

    async def run() -> None:
        feed = Feed(
            book.reader,
            cast(HistoryClient, Client(book.path)),
            Origin("host1", "5b3dbe9c-95f1-4d21-9f52-2a0a4f9e6c11"),
            Delivery(target),
            audit,
            period=period,
            boot_id=BOOT,
        )
        await feed.tick()
        for step in steps:
            step()
            await feed.tick()
        # What is delivered meanwhile is kept by the next.
        await asyncio.sleep(0.05)
        await feed.tick()
        assert feed.waiting == 0
        await feed.delivery.close()

    asyncio.run(run())
    return target


def test_a_new_target_is_told_what_comes_and_a_known_one_what_is_left(
    book: Book, tmp_path: Path
) -> None:
    """Nothing of the past at first; afterwards nothing twice."""
    audit = AuditState(str(tmp_path / "audit"))
    first = rounds(book, audit, lambda: book.tell(10, Kind.SUSPENDED, "paused"))
    assert "instance.pause.end" in first.events
    assert "instance.power_on.end" not in first.events
    assert book.reader.cursor("notify-taker") == book.reader.status().newest_sequence
    book.tell(12, Kind.RESUMED, "unpaused")
    second = rounds(book, audit)
    assert "instance.unpause.end" in second.events
    assert not {one.id for one in first.taken} & {one.id for one in second.taken}


def test_what_the_journal_has_no_longer_is_told(book: Book, tmp_path: Path) -> None:
    """How many it were, before what comes after them."""
    audit = AuditState(str(tmp_path / "audit"))
    rounds(book, audit)
    known = book.reader.cursor("notify-taker")
    assert known is not None
    for second in range(10, 20):
        book.tell(
            second,
            Kind.SUSPENDED if second % 2 else Kind.RESUMED,
            "paused" if second % 2 else "unpaused",
        )
    newest = book.reader.status().newest_sequence
    with book.store.transaction(book.stamp(30)) as transaction:
        transaction.execute("DELETE FROM journal WHERE sequence <= ?", [newest - 2])
    target = rounds(book, audit)
    lost = target.taken[target.events.index("kvmlog.notifications.lost")]
    assert lost.payload == {"notifications": newest - 2 - known}
    assert len(target.taken) == 3


def test_each_period_is_told_once(book: Book, tmp_path: Path) -> None:
    """Not the one in which it was switched on; not again after a restart."""
    path = str(tmp_path / "audit")
    assert "instance.exists" not in rounds(book, AuditState(path), period="hour").events
    last = last_complete("hour", time.time_ns())
    AuditState(path).got("taker", last.begin_ns)
    told = rounds(book, AuditState(path), period="hour")
    assert told.events.count("instance.exists") == 1
    assert {one.lane for one in told.taken} <= {UUID}
    assert "instance.exists" not in rounds(book, AuditState(path), period="hour").events
