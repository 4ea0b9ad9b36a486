# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of a ring with a selection: read in pieces, and the same as if read at once."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import RECORD_BYTES, unpack_records
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.methods.paging import Page, Pager
from tests.support import records as make

SLOTS = 1 << 18
MOST = SLOTS // 4
WRITTEN = SLOTS + 5_000
CHUNK = 1 << 14
# One in so many takes its number of ns, all others none.
SLOW_EVERY = 1_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A full ring: the record of index n is of the time n."""
    ring = str(tmp_path_factory.mktemp("ring") / "ring")
    with RingWriter(ring, SLOTS) as writer:
        for first in range(0, WRITTEN, CHUNK):
            writer.append(
                b"".join(
                    make.exit_bytes(exit_ns=n, total_ns=0 if n % SLOW_EVERY else 1 + n)
                    for n in range(first, min(first + CHUNK, WRITTEN))
                )
            )
        yield ring


def slow(at_least: int = 1) -> Selection:
    """Select slow records of index at_least - 1 and above."""
    return Selection.of([], at_least)


def pager(ring: RingReader, selection: Selection, *, decoded: bool = False) -> Pager:
    """Pages of a ring whose guests have no names."""
    return Pager(ring, selection, GuestView(GuestList()), decoded=decoded)


def indices(page: Page) -> list[int]:
    """Return the indices of its records."""
    return [one.ns for one in unpack_records(page.records)]


def expected(first: int, end: int) -> list[int]:
    """Return the indices of slow records from first to end - 1."""
    return list(range(first + -first % SLOW_EVERY, end, SLOW_EVERY))


@pytest.mark.parametrize("count", [1, 2, 7, 100, 65_536])
def test_the_newest_of_a_selection(path: str, count: int) -> None:
    """A page has as many as requested, and all of the selection from its first_index on."""
    with RingReader(path) as ring:
        page = pager(ring, slow()).newest(count)
    assert indices(page) == expected(WRITTEN - SLOTS, WRITTEN)[-count:]
    assert indices(page) == expected(page.span.first_index, WRITTEN)
    assert page.span.next_index == WRITTEN
    assert page.more is False


def test_a_selection_is_paged_without_a_gap(path: str) -> None:
    """Each record after an overwritten position comes once, and the pages join."""
    found: list[int] = []
    with RingReader(path) as ring:
        at = (ring.info().ring_id, 1)
        overwritten = WRITTEN - SLOTS - 1
        while True:
            page = pager(ring, slow()).since(at, 30)
            assert page.span.overwritten == overwritten
            assert page.span.first_index == at[1] + overwritten
            assert page.span.next_index - page.span.first_index <= MOST
            found += indices(page)
            if not page.more:
                break
            at, overwritten = (at[0], page.span.next_index), 0
    assert found == expected(WRITTEN - SLOTS, WRITTEN)


def test_an_empty_page_reports_what_was_searched(path: str) -> None:
    """newest() searches the whole ring, since() as many records as a reply may have."""
    none = slow(2 * WRITTEN)
    with RingReader(path) as ring:
        newest = pager(ring, none).newest(5)
        since = pager(ring, none).since(("00" * 16, 0), 5)
    assert (newest.records, since.records) == (b"", b"")
    assert newest.span[1:3] == (WRITTEN - SLOTS, WRITTEN)
    assert since.span[1:3] == (WRITTEN - SLOTS, WRITTEN - SLOTS + MOST)
    assert (since.more, since.replaced) == (True, True)


def test_a_rare_record_is_found_in_all_of_a_large_ring(tmp_path: Path) -> None:
    """It is the oldest of half a million; of those found, none older than needed is searched."""
    slots = 1 << 19
    rare = make.exit_bytes(exit_ns=1, total_ns=9)
    common = make.exit_bytes(exit_ns=2) * CHUNK
    with RingWriter(str(tmp_path / "ring"), slots) as writer:
        writer.append(rare)
        for _ in range(slots // CHUNK - 1):
            writer.append(common)
        with RingReader(writer.path) as ring:
            page = pager(ring, slow()).newest(5)
            assert indices(page) == [1]
            assert page.span[1:3] == (0, 1 + slots - CHUNK)
            writer.append(rare)
            page = pager(ring, slow()).newest(1)
            assert indices(page) == [1]
            assert page.span[1:3] == (1 + slots - CHUNK, 2 + slots - CHUNK)


def test_an_empty_ring_has_none(tmp_path: Path) -> None:
    """Pages of an empty ring are empty, from both ends."""
    ring_path = str(tmp_path / "ring")
    with RingWriter(ring_path, 1_024), RingReader(ring_path) as ring:
        newest = pager(ring, slow()).newest(5)
        since = pager(ring, slow()).since((newest.span.ring_id, 0), 5)
    assert [page.span[1:3] for page in (newest, since)] == [(0, 0), (0, 0)]
    assert (newest.more, since.more) == (False, False)


def search_newest(path: str) -> None:
    """Search the whole ring, and find nothing."""
    with RingReader(path) as ring:
        pager(ring, slow(2 * WRITTEN)).newest(5)


def search_since(path: str) -> None:
    """Search all that a reply may have, and find nothing."""
    with RingReader(path) as ring:
        pager(ring, slow(2 * WRITTEN)).since(("00" * 16, 0), 5)


@pytest.mark.parametrize("search", [search_newest, search_since])
def test_several_at_once_take_little_memory(path: str, search: Callable[[str], None]) -> None:
    """Two searches take less memory than the ring; decoded at once it takes six times its size."""
    threads = [threading.Thread(target=search, args=(path,)) for _ in range(2)]
    tracemalloc.start()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < SLOTS * RECORD_BYTES
