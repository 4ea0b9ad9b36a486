# SPDX-License-Identifier: GPL-2.0-or-later
"""What events of libvirt's become: one action, fault or change of state for what was one."""

from __future__ import annotations

import pytest

from kvmlog.history.model import ChangeKind, FaultKind, Source
from kvmlog.vmstats.events import Kind
from kvmlog.vmstats.sample import State
from tests.support.history_book import NEXT_BOOT, UUID, Book


def test_three_reboots_are_one(book: Book) -> None:
    """Within a second; the next reset is another. Only the first one is in the journal."""
    book.started()
    for seconds in (10.0, 10.2, 10.4, 60.0, 60.1, 60.3):
        book.tell(seconds, Kind.REBOOT)
    assert book.names() == ["create", "start", "reboot", "reboot"]
    first = book.actions()[2]
    assert (first.observed, first.updated) == (book.stamp(10.0), book.stamp(10.4))
    told = [one for one in book.reader.changes(0) if one.body.get("action") == "reboot"]
    assert [one.at for one in told] == [book.stamp(10.0), book.stamp(60.0)]


def test_a_shutdown_has_a_beginning_and_an_end(book: Book) -> None:
    """SHUTDOWN begins the action that STOPPED ends, minutes later."""
    book.started()
    book.tell(100, Kind.SHUTDOWN, "guest")
    (stop,) = [one for one in book.actions() if one.action == "stop"]
    assert (stop.start, stop.events[0].finish, stop.events[0].result) == (
        book.stamp(100),
        None,
        None,
    )
    book.tell(220, Kind.STOPPED, "shutdown")
    (stop,) = [one for one in book.actions() if one.action == "stop"]
    (step,) = stop.events
    assert (step.start, step.finish, step.result) == (book.stamp(100), book.stamp(220), "Success")
    phases = [
        one.body["phase"] for one in book.reader.changes(0) if one.body.get("action") == "stop"
    ]
    assert phases == ["start", "end"]


@pytest.mark.parametrize(
    ("detail", "action", "reason"),
    [("destroyed", "stop", 2), ("saved", "suspend", 5), ("from_snapshot", "stop", 7)],
)
def test_ways_to_stop(book: Book, detail: str, action: str, reason: int) -> None:
    """Actions have Nova's names; the state's reason is libvirt's."""
    book.started()
    book.tell(10, Kind.STOPPED, detail)
    assert book.names()[-1] == action
    (change, _) = book.reader.states(uuid=UUID)
    assert (change.after, change.reason) == (State.SHUTOFF, reason)
    assert book.faults() == []


@pytest.mark.parametrize(
    ("detail", "kind"), [("failed", FaultKind.QEMU_DIED), ("crashed", FaultKind.CRASHED)]
)
def test_ways_to_die(book: Book, detail: str, kind: FaultKind) -> None:
    """A fault and no action; a panic that libvirt told before is the same fault."""
    book.started()
    if kind is FaultKind.CRASHED:
        book.tell(10, Kind.CRASHED, "panicked")
    book.tell(11, Kind.STOPPED, detail)
    assert book.names() == ["create", "start"]
    (fault,) = book.faults()
    assert fault.kind is kind


def test_a_full_disk_is_one_fault_and_one_pause(book: Book) -> None:
    """Errors of another disk are another fault."""
    book.started()
    facts = {"alias": "virtio-disk0", "path": "/a", "action": "pause"}
    book.take(
        book.event(10, Kind.IO_ERROR, "enospc", **facts),
        book.event(10.1, Kind.IO_ERROR, "enospc", **facts),
        book.event(10.1, Kind.IO_ERROR, "enospc", **{**facts, "alias": "virtio-disk1"}),
        book.event(10.2, Kind.SUSPENDED, "ioerror"),
    )
    assert [(one.details["alias"], one.count) for one in book.faults()] == [
        ("virtio-disk0", 2),
        ("virtio-disk1", 1),
    ]
    assert book.faults()[0].message == "I/O error of virtio-disk0 (enospc): the guest is paused"
    assert book.names()[2:] == ["pause"]
    assert book.reader.states()[0].reason == 5


def test_a_migration_away(book: Book) -> None:
    """Begun when the guest is paused for its last part; the VM is gone afterwards."""
    book.started()
    book.tell(10, Kind.SUSPENDED, "migrated")
    book.tell(11, Kind.STOPPED, "migrated")
    (migration,) = [one for one in book.actions() if one.action == "live-migration"]
    (step,) = migration.events
    assert (step.start, step.finish, step.result) == (book.stamp(10), book.stamp(11), "Success")


def test_a_migration_that_fails(book: Book) -> None:
    """The guest goes on here: an error, and no unpause."""
    book.started()
    book.tell(10, Kind.SUSPENDED, "migrated")
    book.tell(12, Kind.RESUMED, "migrated")
    migration = book.actions()[-1]
    assert (migration.action, migration.events[0].result) == ("live-migration", "Error")
    assert migration.message == "it goes on on this host"


def test_a_migration_that_arrives(book: Book) -> None:
    """It succeeds once the guest runs here."""
    book.tell(10, Kind.STARTED, "migrated")
    book.tell(15, Kind.RESUMED, "migrated")
    (migration,) = book.actions()
    assert (migration.action, migration.events[0].result) == ("live-migration", "Success")
    book.poll(20, book.sample(20))
    assert book.life().began == book.stamp(10)


def test_a_vm_is_undefined(book: Book) -> None:
    """While it runs, its life ends with its process; what comes back within a minute goes on."""
    book.started()
    book.poll(5, book.sample(5))
    book.tell(10, Kind.UNDEFINED, "removed")
    assert book.life().ended is None
    book.tell(20, Kind.STOPPED, "destroyed")
    assert book.life().ended == book.stamp(20)
    assert book.life().spans[-1].ended == book.stamp(20)
    book.started(30)
    again = book.life()
    assert (again.began, again.ended, len(again.spans)) == (book.stamp(1), None, 1)
    assert [run.ended for run in again.runs] == [book.stamp(20), None]
    book.tell(40, Kind.STOPPED, "destroyed")
    book.tell(41, Kind.UNDEFINED, "removed")
    book.started(200)
    book.poll(210, book.sample(210, started=None))
    assert [one.began for one in book.reader.lives()] == [book.stamp(1), book.stamp(199)]


def test_a_vm_that_was_never_sampled_has_no_life(book: Book) -> None:
    """Its size is unknown; its actions are kept."""
    book.started()
    assert book.reader.last_life(UUID) is None
    book.tell(3, Kind.UNDEFINED, "removed")
    book.tell(4, Kind.STOPPED, "destroyed")
    assert book.reader.lives() == ()
    assert book.names() == ["create", "start", "delete", "stop"]


def test_the_owner_is_named_later(book: Book) -> None:
    """Actions before the first sample are the project's, too."""
    book.started()
    assert {one.project_id for one in book.actions()} == {None}
    book.poll(5, book.sample(5))
    assert {one.project_id for one in book.actions()} == {"c1a2b3d4e5f60718293a4b5c6d7e8f90"}


def test_events_are_taken_once(book: Book) -> None:
    """However often they are read, and what is missing is told."""
    first = book.event(1, Kind.DEFINED, "added")
    second = book.event(2, Kind.STARTED, "booted")
    assert book.take(first, second) == 0
    assert book.take(first, second) == 0
    assert book.names() == ["create", "start"]
    book.sequence += 3
    assert book.take(book.event(9, Kind.REBOOT)) == 3
    assert book.reader.status().lost_events == 3
    (gap,) = [one for one in book.reader.changes(0) if one.kind is ChangeKind.GAP]
    assert gap.body == {"events": 3}


def test_another_log_counts_anew(book: Book) -> None:
    """After the host's restart."""
    book.started()
    book.boot, book.log_id, book.sequence = NEXT_BOOT, "log 2", 0
    assert book.take(book.event(5, Kind.BEGAN, uuid=None)) == 0
    book.tell(6, Kind.STOPPED, "destroyed")
    assert book.names() == ["create", "start", "stop"]


def test_devices(book: Book) -> None:
    """Disks and interfaces by their aliases; other devices are no action."""
    book.started()
    for alias in ("virtio-disk1", "net1", "rng0"):
        book.tell(10, Kind.DEVICE_ADDED, alias)
    book.tell(11, Kind.DEVICE_REMOVED, "virtio-disk1")
    assert book.names()[2:] == ["attach_volume", "attach_interface", "detach_volume"]


def test_connections(book: Book) -> None:
    """The journal tells when libvirt was lost, and when it was there again."""
    book.take(
        book.event(1, Kind.DISCONNECTED, "it has gone; it is tried again", uuid=None),
        book.event(2, Kind.CONNECTED, uuid=None),
    )
    assert [
        (one.kind, one.body["connected"], one.body["error"]) for one in book.reader.changes(0)
    ] == [
        (ChangeKind.CONNECTION, False, "it has gone; it is tried again"),
        (ChangeKind.CONNECTION, True, None),
    ]


def test_events_of_unknown_vms(book: Book) -> None:
    """One that the history has not met makes nothing up."""
    book.tell(1, Kind.REBOOT)
    book.tell(2, Kind.RESUMED, "unpaused")
    assert (book.names(), book.reader.states(), book.reader.changes(0)) == ([], (), ())


def test_sources(book: Book) -> None:
    """All of them are told to come of events."""
    book.started()
    book.tell(5, Kind.WATCHDOG, "reset")
    assert {one.source for one in book.actions()} == {Source.EVENT}
    assert {one.source for one in book.faults()} == {Source.EVENT}
