# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults from exits: found in a real ring, once, with the guest's UUID; losses are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.guests import store as guest_store
from kvmlog.guests.model import Guest
from kvmlog.history.exits import ExitFaults
from kvmlog.history.model import FaultKind, Source
from kvmlog.native import lib
from kvmlog.ring.writer import RingWriter
from tests.support import records
from tests.support.history_book import UUID, Book

SLOTS = 1_024
NUMBER, STRANGER = 3, 4
INTERNAL_ERROR, SHUTDOWN, FAIL_ENTRY, IO = 17, 8, 9, 2


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    """A ring with its file of guests: web1, and a process without a UUID."""
    with RingWriter(str(tmp_path / "ring"), SLOTS) as made:
        guests = [
            Guest(100, 1, "qemu", "qemu", "web1", True, uuid=UUID, numbers=((NUMBER, 0),)),
            Guest(101, 1, "vmm", "other", "vmm:101", False, numbers=((STRANGER, 0),)),
        ]
        guest_store.save(str(tmp_path / "ring.guests"), bytes(16), guests)
        yield made


@pytest.fixture
def exits(tmp_path: Path, ring: RingWriter) -> Iterator[ExitFaults]:
    """What looks for faults in it; there is no bridge."""
    made = ExitFaults(ring.path, SwitchClient(str(tmp_path / "switch"), timeout_s=1))
    made.look()
    yield made
    made.close()


def returned(reason: int, at: int, guest: int = NUMBER, **fields: int) -> bytes:
    """Return an exit after which KVM_RUN returned for this reason."""
    return records.exit_bytes(
        flags=lib.KVMLOG_F_USER_REASON | lib.KVMLOG_F_RIP_VALID,
        user_reason=reason,
        exit_ns=at * 10**9,
        total_ns=1_000,
        guest=guest,
        reason=0x7F,
        rip=0x7C00,
        **fields,
    )


def look(book: Book, exits: ExitFaults, seconds: float = 50) -> bool:
    """Look once, and take what was found."""
    if not exits.look():
        return False
    with book.store.transaction(book.stamp(seconds)) as transaction:
        exits.take(transaction, book.boot)
    exits.committed()
    return True


def test_three_kinds(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """Each with vCPU, reason and time of the exit; other returns are none."""
    book.started()
    book.poll(5, book.sample(5))
    ring.append(
        returned(INTERNAL_ERROR, 10, vcpu=1)
        + returned(IO, 11)
        + returned(FAIL_ENTRY, 12)
        + returned(SHUTDOWN, 13)
        + returned(SHUTDOWN, 14, guest=STRANGER)
    )
    assert look(book, exits)
    found = book.faults()
    assert [(one.kind, one.details["vcpu"]) for one in found] == [
        (FaultKind.INTERNAL_ERROR, 1),
        (FaultKind.FAILED_ENTRY, 0),
        (FaultKind.TRIPLE_FAULT, 0),
    ]
    assert [one.created for one in found] == [book.stamp(10), book.stamp(12), book.stamp(13)]
    assert {(one.uuid, one.name, one.source) for one in found} == {(UUID, "web1", Source.EXITS)}
    assert found[0].project_id is not None
    assert found[2].details == {"vcpu": 0, "isa": "svm", "reason": "shutdown", "rip": "0x7c00"}
    assert found[2].message == "The guest's vCPU 0 met a triple fault"
    assert not look(book, exits)


def test_a_transaction_that_fails(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """Loses nothing: it is written with the next one, once."""
    ring.append(returned(SHUTDOWN, 10))
    assert exits.look()
    with pytest.raises(ZeroDivisionError):
        fail(book, exits)
    assert book.faults() == []
    assert look(book, exits)
    assert not look(book, exits)
    assert len(book.faults()) == 1


def fail(book: Book, exits: ExitFaults) -> None:
    """Take what was found in a transaction that is undone."""
    with book.store.transaction(book.stamp(50)) as transaction:
        exits.take(transaction, book.boot)
        raise ZeroDivisionError


def test_the_next_history_goes_on(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """Where this one stopped: what came meanwhile is found, what was found is not again."""
    ring.append(returned(SHUTDOWN, 10))
    look(book, exits)
    ring.append(returned(FAIL_ENTRY, 20))
    later = ExitFaults(ring.path, SwitchClient("/nonexistent", timeout_s=1))
    with book.store.transaction(book.stamp(60)) as transaction:
        later.load(transaction)
    assert look(book, later)
    later.close()
    assert [one.kind for one in book.faults()] == [FaultKind.TRIPLE_FAULT, FaultKind.FAILED_ENTRY]


def test_an_exit_that_was_under_way(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """And comes again as a record is one fault; also to the history after this one."""
    exits._keep(returned(INTERNAL_ERROR, 10))
    assert look(book, exits)
    ring.append(returned(INTERNAL_ERROR, 10))
    assert not look(book, exits)
    later = ExitFaults(ring.path, SwitchClient("/nonexistent", timeout_s=1))
    later._keep(returned(INTERNAL_ERROR, 10))
    look(book, later)
    later.close()
    (fault,) = book.faults()
    assert fault.count == 1


def test_a_loop_of_resets_is_counted(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """The same fault, within five seconds, is one with a count."""
    ring.append(b"".join(returned(SHUTDOWN, at) for at in (10, 11, 12, 40)))
    look(book, exits)
    assert [(one.created, one.count) for one in book.faults()] == [
        (book.stamp(10), 3),
        (book.stamp(40), 1),
    ]


def test_lost_records_are_told(book: Book, ring: RingWriter, exits: ExitFaults) -> None:
    """Those that were overwritten before anybody looked."""
    for _ in range(3):
        ring.append(b"".join(returned(IO, 10) for _ in range(SLOTS)))
    ring.append(returned(SHUTDOWN, 20))
    look(book, exits)
    assert book.reader.status().lost_records == 2 * SLOTS + 1
    assert len(book.faults()) == 1


def test_another_ring(book: Book, ring: RingWriter, exits: ExitFaults, tmp_path: Path) -> None:
    """One of another size is read from its beginning."""
    ring.append(returned(SHUTDOWN, 10))
    look(book, exits)
    ring.close()
    with RingWriter(ring.path, 2 * SLOTS) as fresh:
        fresh.append(returned(FAIL_ENTRY, 20))
        while not look(book, exits):
            pass
    assert [one.kind for one in book.faults()] == [FaultKind.TRIPLE_FAULT, FaultKind.FAILED_ENTRY]


def test_no_ring(book: Book, tmp_path: Path) -> None:
    """Nothing is found, and nothing fails."""
    none = ExitFaults(str(tmp_path / "none"), SwitchClient("/nonexistent", timeout_s=1))
    none.ask()
    assert not look(book, none)
    none.close()
