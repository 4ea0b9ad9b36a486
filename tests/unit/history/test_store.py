# SPDX-License-Identifier: GPL-2.0-or-later
"""The file: begun, continued, refused, moved aside, full; and its readers meanwhile."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from kvmlog.history import journal, schema
from kvmlog.history.model import ChangeKind
from kvmlog.history.reader import HistoryReader
from kvmlog.history.store import Store
from kvmlog.util.errors import HistoryError, HistoryMissingError
from tests.support.history_book import IDENTITY, NEXT_BOOT, Book
from tests.support.users import NOBODY, as_root, run_as


def note(book: Book, number: int) -> None:
    """Append an entry to the journal."""
    with book.store.transaction(book.stamp(number)) as transaction:
        journal.add(transaction, ChangeKind.GAP, transaction.now, {"events": number})


def fail(book: Book) -> None:
    """Append an entry, and fail before the end of the transaction."""
    with book.store.transaction(book.stamp(1)) as transaction:
        journal.add(transaction, ChangeKind.GAP, transaction.now, {"events": 1})
        raise ZeroDivisionError


def fill(book: Book, count: int) -> None:
    """Append so many entries at once."""
    with book.store.transaction(book.stamp(2)) as transaction:
        for number in range(count):
            journal.add(transaction, ChangeKind.GAP, transaction.now, {"events": number})


def noted(book: Book) -> list[int]:
    """Return the entries' numbers."""
    return [one.body["events"] for one in book.reader.changes(0)]


def test_a_file_goes_on(book: Book) -> None:
    """The next process continues its numbers, under another version."""
    note(book, 1)
    book.store.close()
    book.boot = NEXT_BOOT
    later = IDENTITY.__class__("host2", IDENTITY.host_uuid, "0.2.0")
    book.store = Store(book.path, later, book.stamp(5))
    note(book, 2)
    assert noted(book) == [1, 2]
    status = book.reader.status()
    assert (status.host, status.version) == ("host2", "0.2.0")
    assert status.observed_since.boot_id != NEXT_BOOT
    assert (status.oldest_sequence, status.newest_sequence) == (1, 2)


def test_a_transaction_is_whole(book: Book) -> None:
    """What raises leaves nothing behind."""
    with pytest.raises(ZeroDivisionError):
        fail(book)
    note(book, 2)
    assert noted(book) == [2]


def test_one_writer(book: Book) -> None:
    """Another one is told."""
    with pytest.raises(HistoryError, match="another kvmlog history writes it"):
        Store(book.path, IDENTITY, book.stamp(1))


def test_readers_wait_for_nobody(book: Book) -> None:
    """They see what was there before a transaction that is under way, and never hold it up."""
    note(book, 1)
    with book.store.transaction(book.stamp(2)) as transaction:
        journal.add(transaction, ChangeKind.GAP, transaction.now, {"events": 2})
        assert noted(book) == [1]
    reading = sqlite3.connect(f"file:{book.path}?mode=ro", uri=True, isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT * FROM journal").fetchall()
    for number in range(3, 50):
        note(book, number)
    assert noted(book) == [1, 2, *range(3, 50)]
    assert len(reading.execute("SELECT * FROM journal").fetchall()) == 2
    reading.close()


@as_root
def test_readers_are_other_users(book: Book, tmp_path: Path) -> None:
    """Who may read the file, and nothing else, reads it: beside its writer, and without one."""
    note(book, 1)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            os.chmod(path, path.stat().st_mode | 0o055)
    for ending in ("", "-wal", "-shm"):
        assert os.stat(book.path + ending).st_mode & 0o777 == 0o640
        os.chown(book.path + ending, -1, NOBODY)
    program = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro' + sys.argv[2], uri=True)\n"
        "print(c.execute('SELECT count(*) FROM journal').fetchall())\n"
    )
    assert run_as(NOBODY, program, book.path, "") == "[(1,)]\n"
    note(book, 2)
    assert run_as(NOBODY, program, book.path, "") == "[(2,)]\n"
    book.store.close()
    assert run_as(NOBODY, program, book.path, "&immutable=1") == "[(2,)]\n"
    assert noted(book) == [1, 2]


@pytest.mark.parametrize("where", ["head", "middle", "all"])
def test_a_damaged_file(book: Book, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is moved aside, which is told, and another begun; readers are told meanwhile."""
    for number in range(200):
        note(book, number)
    book.store.close()
    size = os.path.getsize(book.path)
    first, last = {"head": (0, 64), "middle": (4096, size), "all": (0, size)}[where]
    with open(book.path, "r+b") as file:
        file.seek(first)
        file.write(b"\x5a" * (last - first))
    with pytest.raises(HistoryError, match="restart kvmlog history"):
        noted(book)
    book.store = Store(book.path, IDENTITY, book.stamp(9))
    assert "was damaged" in capsys.readouterr().err
    assert len([name for name in os.listdir(Path(book.path).parent) if "damaged" in name]) == 1
    note(book, 7)
    assert noted(book) == [7]


def test_damage_that_shows_later(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    """While it is written: the transaction fails, and the next one goes into another file."""
    for number in range(200):
        note(book, number)
    book.store.close()
    book.store = Store(book.path, IDENTITY, book.stamp(9))
    with open(book.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * (os.path.getsize(book.path) - 4096))
    connection = book.store._connection
    assert connection is not None
    connection.execute("PRAGMA shrink_memory")  # what it has read is good
    with pytest.raises(HistoryError, match="is damaged"):
        note(book, 1)
    book.store.open_again(book.stamp(10))
    note(book, 2)
    assert noted(book) == [2]
    assert "was damaged" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"long enough" * 400, b"x"], ids=["long", "short"])
def test_no_database(tmp_path: Path, content: bytes) -> None:
    """A foreign file is moved aside as well: nothing is overwritten."""
    path = tmp_path / "history.db"
    path.write_bytes(content)
    path.chmod(0o640)
    with Book(tmp_path) as book:
        note(book, 1)
    (aside,) = tmp_path.glob("history.db.damaged-*")
    assert aside.read_bytes() == content


def test_another_programs_database(tmp_path: Path) -> None:
    """It is left alone."""
    path = tmp_path / "history.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE shopping (what)")
    other.commit()
    other.close()
    path.chmod(0o640)
    for open_it in (lambda: Book(tmp_path), HistoryReader(str(path)).status):
        with pytest.raises(HistoryError, match="is no history of kvmlog's"):
            open_it()


def test_a_newer_format(book: Book) -> None:
    """A sentence for its writer and its readers."""
    book.store.close()
    newer = sqlite3.connect(book.path)
    newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    with pytest.raises(HistoryError, match="format 2, this kvmlog knows 1; upgrade kvmlog"):
        book.reader.status()
    with pytest.raises(HistoryError, match="format 2, this kvmlog knows 1"):
        Store(book.path, IDENTITY, book.stamp(1))


def test_a_full_disk(book: Book) -> None:
    """A sentence; what was there stays, and it goes on once there is room."""
    note(book, 1)
    connection = book.store._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(HistoryError, match="the disk is full; make room: it is tried again"):
        fill(book, 2_000)
    assert noted(book) == [1]
    connection.execute("PRAGMA max_page_count = 1000000")
    note(book, 2)
    assert noted(book) == [1, 2]


def test_a_read_only_file(book: Book) -> None:
    """A sentence, as long as it is so."""
    connection = book.store._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(HistoryError, match="it is read-only; make it writable"):
        note(book, 1)
    connection.execute("PRAGMA query_only = OFF")
    note(book, 2)
    assert noted(book) == [2]


def test_a_file_that_is_moved_away(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    """The next transaction goes into another, which readers find."""
    note(book, 1)
    shutil.move(book.path, f"{book.path}.old")
    with pytest.raises(HistoryMissingError, match="start it"):
        noted(book)
    note(book, 2)
    assert noted(book) == [2]
    assert "has been moved or removed" in capsys.readouterr().err


def test_readers_while_it_is_written(book: Book) -> None:
    """Each sees whole transactions: ten entries each."""
    ended = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not ended.is_set():
            seen.append(len(noted(book)))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(50):
        fill(book, 10)
    ended.set()
    thread.join()
    assert seen
    assert seen == sorted(seen)
    assert {count % 10 for count in seen} == {0}


@as_root
def test_a_planted_file(tmp_path: Path) -> None:
    """Somebody else's is refused."""
    path = tmp_path / "history.db"
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(HistoryError, match="belongs to nobody"):
        Book(tmp_path)
