# SPDX-License-Identifier: GPL-2.0-or-later
"""Reconciliation: what samples tell that no event did, and what they must not be believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvmlog.history import samples as history_samples
from kvmlog.history.model import FaultKind, Owner, Size, Source, Span
from kvmlog.history.moment import Stamp
from kvmlog.vmstats.events import Kind
from kvmlog.vmstats.sample import State
from tests.support import vmstats_samples as made
from tests.support.history_book import NEXT_BOOT, UUID, Book

OWNER = Owner(
    "c1a2b3d4e5f60718293a4b5c6d7e8f90", "shop", "5f0c9d2e8b1a4c7d9e3f6a2b4c8d0e1f", "alice"
)


def test_a_vm_that_was_there_already(book: Book) -> None:
    """Observed since the first look; its process is as old as the kernel says."""
    book.poll(1000, book.sample(1000))
    life = book.life()
    assert (life.began, life.witnessed, life.state) == (book.stamp(1000), False, State.RUNNING)
    assert (life.owner, life.size) == (
        OWNER,
        Size(2, 4 << 30, 47 << 30, "42", "m1.medium"),
    )
    (run,) = life.runs
    assert (run.began, run.witnessed) == (book.stamp(2), True)
    assert book.names() == []


def test_a_vm_without_an_engine(book: Book) -> None:
    """No owner; its definition's vCPUs and memory, and its disks' capacity once that is known."""
    plain = made.definition(instance=None)
    off = book.sample(
        10,
        definition=plain,
        state=State.SHUTOFF,
        blocks=None,
        pid=None,
        started=None,
        domain_id=None,
    )
    book.poll(10, off)
    assert book.life().owner is None
    assert book.life().size == Size(2, 4 << 30, None, None, None)
    running = book.sample(20, definition=plain, started=made.at(15))
    book.poll(20, running)
    size = book.life().size
    assert size.disk_bytes == sum(
        one.capacity_bytes or 0 for one in running.blocks or () if one.target != "sda"
    )
    assert len(book.life().spans) == 1
    book.poll(30, replace(off, taken=made.at(30)))
    assert book.life().size == size


def test_a_resize(book: Book) -> None:
    """Ends a span and begins the next; one action."""
    book.poll(10, book.sample(10))
    larger = made.definition(
        instance=made.instance(flavor_name="m1.large", flavor_vcpus=4, flavor_memory_mib=8192)
    )
    book.poll(20, book.sample(20, definition=larger))
    first, second = book.life().spans
    assert (first.ended, second.began) == (book.stamp(20), book.stamp(20))
    assert (first.size.vcpus, second.size.vcpus) == (2, 4)
    (resize,) = book.actions()
    assert (resize.action, resize.source) == ("resize", Source.SAMPLE)


@pytest.mark.parametrize(
    ("reason", "actions", "faults"),
    [(2, ["stop"], []), (5, ["suspend"], []), (6, [], [FaultKind.QEMU_DIED])],
)
def test_a_stop_that_no_event_told(
    book: Book, reason: int, actions: list[str], faults: list[FaultKind]
) -> None:
    """The state's reason says what it was."""
    book.poll(10, book.sample(10))
    book.poll(
        20, book.sample(20, state=State.SHUTOFF, state_reason=reason, pid=None, domain_id=None)
    )
    assert (book.names(), [one.kind for one in book.faults()]) == (actions, faults)
    (run,) = book.life().runs
    assert (run.ended, run.end_source) == (book.stamp(20), Source.SAMPLE)


def test_a_restart_between_two_looks(book: Book) -> None:
    """Another process: a stop and a start, which began when the kernel says."""
    book.poll(10, book.sample(10))
    book.poll(100, book.sample(100, started=made.at(50), domain_id=8))
    assert book.names() == ["stop", "start"]
    assert book.actions()[1].start == book.stamp(50)
    assert [(run.began, run.ended) for run in book.life().runs] == [
        (book.stamp(2), book.stamp(50)),
        (book.stamp(50), None),
    ]


def test_a_start_that_takes_long(book: Book) -> None:
    """Samples while libvirt prepares it say nothing; one that tells first is the same start."""
    book.defined(1)
    starting = {"state": State.PAUSED, "state_reason": 11, "started": made.at(2)}
    for seconds in (5, 8):
        book.poll(seconds, book.sample(seconds, **starting))
    assert (book.names(), book.life().state) == (["create"], State.SHUTOFF)
    book.poll(12, book.sample(12, started=made.at(2)))
    book.tell(13, Kind.RESUMED, "unpaused")
    book.tell(14, Kind.STARTED, "booted")
    assert book.names() == ["create", "start"]
    (run,) = book.life().runs
    assert (run.began, run.ended) == (book.stamp(2), None)
    # A stop that nobody saw lies between this start and the one before.
    book.tell(500, Kind.STARTED, "booted")
    assert book.names() == ["create", "start", "start"]
    assert [one.ended for one in book.life().runs] == [book.stamp(500), None]


def test_a_sample_older_than_an_event(book: Book) -> None:
    """Is not believed, nor one that is hardly younger: libvirt may have answered before it."""
    book.started()
    book.poll(5, book.sample(5))
    book.tell(20, Kind.SUSPENDED, "paused")
    for seconds in (19, 20.5, 21.9):
        book.poll(seconds, book.sample(seconds))
    assert (book.names(), book.life().state) == (["create", "start", "pause"], State.PAUSED)
    book.poll(30, book.sample(30))
    assert (book.names()[-1], book.life().state) == ("unpause", State.RUNNING)
    assert book.actions()[-1].source is Source.SAMPLE


@pytest.mark.parametrize("sampled", [True, False])
def test_a_sample_older_than_the_end(book: Book, sampled: bool) -> None:
    """Begins no life, nor does one that is hardly younger; a later one does."""
    book.started()
    if sampled:
        book.poll(5, book.sample(5))
    book.tell(10, Kind.UNDEFINED, "removed")
    book.tell(20, Kind.STOPPED, "destroyed")
    before = book.reader.status().newest_sequence
    for seconds in (19, 20.5, 21.9):
        book.poll(seconds, book.sample(seconds))
    book.poll(23)
    book.poll(24)
    assert book.reader.status().newest_sequence == before
    if sampled:
        assert (book.life().ended, book.life().end_source) == (book.stamp(20), Source.EVENT)
    else:
        assert book.reader.last_life(UUID) is None
    book.poll(30, book.sample(30))
    assert (book.life().ended, book.life().state) == (None, State.RUNNING)


def test_equal_samples_write_nothing(book: Book) -> None:
    """A host on which nothing happens makes no history."""
    book.poll(10, book.sample(10))
    before = book.reader.status().newest_sequence
    for seconds in range(20, 100, 10):
        book.poll(seconds, book.sample(seconds))
    assert book.reader.status().newest_sequence == before
    assert book.reader.states() == ()


def test_a_vm_that_vanishes(book: Book) -> None:
    """Two polls have to miss it; a transient one ended with its process."""
    book.poll(10, book.sample(10))
    book.poll(20)
    assert book.life().ended is None
    book.poll(30)
    assert (book.life().ended, book.life().end_source) == (book.stamp(30), Source.SAMPLE)
    assert book.names() == ["stop"]
    book.poll(200, book.sample(200))
    book.tell(210, Kind.STOPPED, "destroyed")
    book.poll(220)
    book.poll(230)
    assert book.life().ended == book.stamp(210)


def test_a_libvirt_that_is_away_ends_no_life(book: Book) -> None:
    """Nor does a VM that hangs change its state."""
    book.poll(10, book.sample(10))
    for seconds in (20, 30, 40):
        book.poll(seconds, connected=False)
    book.poll(50, book.sample(10, timed_out=True, state=State.PAUSED))
    book.poll(60, book.sample(60))
    assert (book.life().ended, book.names()) == (None, [])


def test_a_vm_between_define_and_the_next_poll(book: Book) -> None:
    """A poll of before, written later, does not end it."""
    book.poll(10)
    book.started(15)
    book.polls -= 1
    book.poll(16)
    book.poll(20, book.sample(20, started=made.at(14.9)))
    assert (book.life().began, book.life().ended) == (book.stamp(14), None)
    assert len(book.life().runs) == 1


def test_the_host_went_down(book: Book) -> None:
    """Runs ended when the history saw the host last; lives go on."""
    book.poll(10, book.sample(10))
    last = book.stamp(500)
    book.boot = NEXT_BOOT
    with book.store.transaction(book.stamp(20)) as transaction:
        history_samples.host_went_down(transaction, last)
    book.poll(100, book.sample(100, started=made.at(90), domain_id=1))
    life = book.life()
    assert life.ended is None
    assert [(run.ended, run.end_source) for run in life.runs] == [
        (last, Source.SAMPLE),
        (None, None),
    ]
    assert life.runs[1].began == book.stamp(90)
    assert book.names() == ["start"]


def test_figures_of_a_damaged_file(book: Book) -> None:
    """What SQLite could not hold is bounded, and nobody ends by it."""
    odd = made.definition(
        instance=made.instance(project_name="a\ud800b", flavor_memory_mib=1 << 70)
    )
    book.poll(10, book.sample(10, definition=odd, state_reason=1 << 70))
    assert book.life().size.memory_bytes == (1 << 63) - 1
    assert book.life().owner == replace(OWNER, project_name="a?b")
    book.poll(20, book.sample(20, definition=odd, state_reason=1 << 70))
    assert (len(book.life().spans), book.names()) == (1, [])


def test_a_renamed_vm(book: Book) -> None:
    """Keeps its life."""
    book.poll(10, book.sample(10))
    book.poll(20, book.sample(20, name="web2"))
    assert (book.life().name, len(book.reader.lives(uuid=UUID))) == ("web2", 1)


def test_two_clocks() -> None:
    """Within a boot the time of day may be set; durations are those that passed."""
    hour = 3_600 * 10**9
    began = Stamp(0, 10 * hour, "a")  # a host that boots in 1970
    later = Stamp(500_000 * hour, 12 * hour, "a")
    assert began.until(later) == 2 * hour
    assert began.as_seen_from(later) == (500_000 - 2) * hour
    assert later.until(began) == 0
    size = Size(1, 1 << 30, None, None, None)
    span = Span(began, None, None, size)
    assert span.within(0, 10**24, later) == 2 * hour
    assert span.within(0, (500_000 - 1) * hour, later) == hour
    assert Span(began, later, None, size).within(499_999 * hour, 10**24, later) == hour
    other = Stamp(500_003 * hour, hour, "b")
    assert later.until(other) == 3 * hour
    assert later.as_seen_from(other) == later.realtime_ns
    assert Span(began, later, None, size).within(0, 10**24, other) == 2 * hour
    assert Span(later, None, None, size).within(0, 10**24, other) == 3 * hour
