# SPDX-License-Identifier: GPL-2.0-or-later
"""The registry of guests, over a folder that looks like /proc."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from kvmlog.guests import model
from kvmlog.guests import registry as registry_module
from kvmlog.guests.model import Guest, GuestError
from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.ring.records import GuestRecord, decode_record
from tests.support.proc_tree import FakeProc
from tests.support.records import guest_bytes

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    """A /proc without processes."""
    folder = tmp_path / "proc"
    folder.mkdir()
    return FakeProc(folder)


@pytest.fixture
def registry(tmp_path: Path, fake: FakeProc) -> GuestRegistry:
    """A registry without guests."""
    return GuestRegistry(str(tmp_path / "ring.guests"), root=fake.root)


def qemu(name: str, *more: bytes) -> list[bytes]:
    """Return the command line of a QEMU guest."""
    return [b"/usr/bin/qemu-system-x86_64", b"-name", f"guest={name}".encode(), *more]


def seen(
    number: int, pid: int, ticks: int = 0, ns: int = 0, comm: bytes = b"qemu-system-x86"
) -> GuestRecord:
    """A GUEST record; ticks 0: the source could not read the start."""
    # Anywhere within the tick.
    start_ns = ticks * TICK_NS + TICK_NS // 3 if ticks else 0
    record = decode_record(
        guest_bytes(
            comm, guest=number, tgid=pid, start_boottime_ns=start_ns, ns=ns or 1000 + number
        )
    )
    assert isinstance(record, GuestRecord)
    return record


def names(registry: GuestRegistry) -> list[str]:
    """Return the names of the running guests."""
    return [guest.name for guest in registry.running()]


def of_pid(registry: GuestRegistry, pid: int) -> list[Guest]:
    """Return all guests with this pid."""
    return [guest for guest in registry.guests() if guest.pid == pid]


def test_an_announced_guest_is_named_at_once(registry: GuestRegistry, fake: FakeProc) -> None:
    """A guest's name and UUID come from its process's command line."""
    fake.begin(7, 500, qemu("web1", b"-uuid", UUID.upper().encode()))
    before_ns = time.time_ns()
    registry.announce(seen(3, 7, 500, ns=99))
    (guest,) = registry.running()
    assert before_ns <= guest.first_seen_realtime_ns <= time.time_ns()
    assert guest == Guest(
        pid=7,
        start_ticks=500,
        comm="qemu-system-x86",
        kind="qemu",
        name="web1",
        named=True,
        uuid=UUID,
        numbers=((3, 99),),
        first_seen_realtime_ns=guest.first_seen_realtime_ns,
    )


def test_a_guest_without_a_name_is_comm_and_pid(registry: GuestRegistry, fake: FakeProc) -> None:
    """The name is made printable, and `named` is false."""
    fake.begin(7, 500, [b"./my-monitor"], comm=b"my\x1bmonitor")
    registry.announce(seen(1, 7, 500))
    (guest,) = registry.running()
    assert (guest.name, guest.named, guest.kind) == ("my\\x1bmonitor:7", False, "other")


def test_a_reused_pid_never_inherits_a_name(registry: GuestRegistry, fake: FakeProc) -> None:
    """The new process does not get the old name, nor the old record the new name."""
    fake.begin(7, 500, qemu("old"))
    registry.announce(seen(1, 7, 500))
    fake.begin(7, 900, [b"./my-monitor"], comm=b"my-monitor")
    # This record waited while the pid was reused.
    registry.announce(seen(2, 7, 700, comm=b"between"))
    registry.announce(seen(3, 7, 900))
    registry.refresh()
    assert {g.start_ticks: (g.name, g.numbers) for g in of_pid(registry, 7)} == {
        500: ("old", ((1, 1001),)),
        700: ("between:7", ((2, 1002),)),
        900: ("my-monitor:7", ((3, 1003),)),
    }
    assert names(registry) == ["my-monitor:7"]


def test_a_reused_pid_does_not_inherit_after_a_restart(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """The file has the old guest; the process with its pid is another one."""
    fake.begin(7, 500, qemu("old"))
    registry.announce(seen(1, 7, 500))
    assert registry.save()
    fake.begin(7, 900, [b"./my-monitor"], comm=b"my-monitor")
    again = GuestRegistry(registry.path, root=fake.root)
    assert names(again) == []
    again.announce(seen(1, 7, 900, ns=5000))
    assert {g.start_ticks: (g.name, g.numbers) for g in of_pid(again, 7)} == {
        500: ("old", ((1, 1001),)),
        900: ("my-monitor:7", ((1, 5000),)),
    }


def test_a_process_that_is_gone_is_comm_and_pid(registry: GuestRegistry) -> None:
    """The guest is known by the record's comm and pid."""
    registry.announce(seen(4, 7, 500, comm=b"qemu-kvm"))
    (guest,) = registry.guests()
    assert (guest.name, guest.named, guest.start_ticks) == ("qemu-kvm:7", False, 500)
    assert guest.numbers == ((4, 1004),)
    assert guest.ended_realtime_ns is not None
    assert registry.running() == []


def test_a_known_guest_keeps_its_name_when_it_is_announced_too_late(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """KVM told of it, and it was gone when its first exit was read."""
    fake.begin(7, 500, qemu("short"))
    registry.appeared(7)
    fake.become_zombie(7, 500)
    registry.announce(seen(1, 7, 500))
    (guest,) = registry.guests()
    assert (guest.name, guest.numbers) == ("short", ((1, 1001),))
    assert guest.ended_realtime_ns is not None


def test_a_process_about_to_end_keeps_its_name(registry: GuestRegistry, fake: FakeProc) -> None:
    """Its memory is gone, and with it the command line, a moment before it is a zombie."""
    fake.begin(7, 500, qemu("web1"))
    registry.appeared(7)
    fake.begin(7, 500, [])
    registry.announce(seen(1, 7, 500))
    assert names(registry) == ["web1"]


def test_without_a_start_the_process_of_that_time_is_taken(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """A source without BTF cannot read it: whoever has the pid since before the record."""
    ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // TICK_NS
    fake.begin(7, ticks - 10, qemu("web1"))
    registry.announce(seen(1, 7, ns=time.monotonic_ns()))
    assert [(g.name, g.start_ticks) for g in registry.running()] == [("web1", ticks - 10)]


def test_without_a_start_a_later_process_is_not_taken(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """It cannot have had the exit; and two that are gone are two."""
    ns = time.monotonic_ns()
    ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // TICK_NS
    fake.begin(7, ticks + 1000, qemu("later"))
    registry.announce(seen(1, 7, ns=ns, comm=b"first"))
    registry.announce(seen(2, 7, ns=ns + 1, comm=b"second"))
    assert [(g.name, g.numbers) for g in registry.guests()] == [
        ("first:7", ((1, ns),)),
        ("second:7", ((2, ns + 1),)),
    ]
    assert registry.save()
    assert GuestRegistry(registry.path, root=fake.root).guests() == registry.guests()


def test_a_guest_has_all_its_numbers(registry: GuestRegistry, fake: FakeProc) -> None:
    """Two VMs of one process, and a new one after each off and on; the newest are kept."""
    fake.begin(7, 500, qemu("web1"))
    for number in range(1, 21):
        registry.announce(seen(number, 7, 500))
    registry.announce(seen(20, 7, 500))
    (guest,) = registry.running()
    assert guest.numbers == tuple((number, 1000 + number) for number in range(5, 21))


def test_scan_finds_all_that_hold_a_vm(registry: GuestRegistry, fake: FakeProc) -> None:
    """Guests are found before they have exits."""
    fake.begin(7, 500, qemu("web1"))
    fake.begin(8, 501, qemu("no-vm"), holds_vm=False)
    fake.begin(9, 502, qemu("web2"))
    registry.scan()
    assert names(registry) == ["web1", "web2"]
    registry.announce(seen(1, 9, 502))
    assert [guest.numbers for guest in registry.running()] == [(), ((1, 1001),)]


def test_refresh_marks_those_that_ended(registry: GuestRegistry, fake: FakeProc) -> None:
    """Gone, a zombie, and one whose pid is another's."""
    for pid in (7, 8, 9, 10):
        fake.begin(pid, 500, qemu(f"web{pid}"))
    registry.scan()
    fake.end(7)
    fake.become_zombie(8, 500)
    fake.begin(9, 501, qemu("web9"))
    before_ns = time.time_ns()
    registry.refresh()
    assert names(registry) == ["web10"]
    ended = {g.name: g.ended_realtime_ns or 0 for g in registry.guests() if g.name != "web10"}
    assert list(ended) == ["web7", "web8", "web9"]
    assert min(ended.values()) >= before_ns


def test_a_process_that_only_made_a_vm_is_no_guest(registry: GuestRegistry, fake: FakeProc) -> None:
    """It becomes one with its first vCPU, or its first exit, whichever is seen first."""
    for pid in (7, 8, 9):
        fake.begin(pid, 500, qemu(f"web{pid}"), holds_vcpu=False)
        registry.appeared(pid)
    assert registry.running() == []
    assert [guest.name for guest in registry.traceable()] == ["web7", "web8", "web9"]
    fake.hold(7, vm=True, vcpu=True)
    registry.refresh()
    fake.hold(8, vm=True, vcpu=True)
    registry.announce(seen(3, 8, 500))
    assert [(guest.name, guest.numbers) for guest in registry.running()] == [
        ("web7", ()),
        ("web8", ((3, 1003),)),
    ]


def test_a_guest_ends_with_its_vm_though_its_process_lives(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """Told by KVM, by refresh(), or when its exit is read; another VM makes it run again."""
    for pid in (7, 8, 9):
        fake.begin(pid, 500, qemu(f"web{pid}"))
    fake.hold(9, vm=False, vcpu=False)
    registry.scan()
    assert names(registry) == ["web7", "web8"]
    for pid in (7, 8):
        fake.hold(pid, vm=False, vcpu=False)
    registry.closed(7)
    registry.announce(seen(1, 9, 500))
    assert names(registry) == ["web8"]
    registry.refresh()
    assert [(g.name, g.ended_realtime_ns is None) for g in registry.guests()] == [
        ("web7", False),
        ("web9", False),
        ("web8", False),
    ]
    assert registry.save()
    assert registry.has_ended(7, 500)
    fake.hold(7, vm=True, vcpu=True, first=31)
    registry.appeared(7)
    assert names(registry) == ["web7"]
    assert not registry.has_ended(7, 500)


def test_a_guest_that_cannot_be_looked_at_runs_until_its_process_ends(
    registry: GuestRegistry, fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge without the right to read descriptors knows guests by their exits alone."""
    monkeypatch.setattr(registry_module, "held_by", lambda *_: None)
    fake.begin(7, 500, qemu("web7"))
    registry.appeared(7)
    assert registry.running() == []
    registry.announce(seen(1, 7, 500))
    registry.refresh()
    assert names(registry) == ["web7"]
    fake.end(7)
    registry.refresh()
    assert names(registry) == []


def test_short_lived_guests_keep_their_names(registry: GuestRegistry, fake: FakeProc) -> None:
    """Hundreds of them, each gone before its first exit is read."""
    for pid in range(100, 400):
        fake.begin(pid, 500, qemu(f"web{pid}"), holds_vcpu=False)
        registry.appeared(pid)
        fake.end(pid)
    registry.refresh()
    assert registry.traceable() == []
    for pid in range(100, 400):
        registry.announce(seen(pid, pid, 500))
    assert [guest.name for guest in registry.guests()] == [f"web{pid}" for pid in range(100, 400)]
    assert all(guest.ended_realtime_ns is not None for guest in registry.guests())


def found_pids(registry: GuestRegistry, *words: str) -> dict[str, list[int]]:
    """The pids of the running guests that each word matches."""
    return {word: [one.pid for one in guests] for word, guests in registry.find(words).items()}


def test_find_takes_names_uuids_and_pids(registry: GuestRegistry, fake: FakeProc) -> None:
    """UUIDs match in any spelling; several guests may share a name."""
    fake.begin(7, 500, qemu("web", b"-uuid", UUID.encode()))
    fake.begin(8, 500, qemu("web"))
    fake.begin(9, 500, qemu("7"))
    registry.scan()
    squeezed = UUID.replace("-", "").upper()
    assert found_pids(registry, "web", UUID, UUID.upper(), squeezed, "8", "7") == {
        "web": [7, 8],
        UUID: [7],
        UUID.upper(): [7],
        squeezed: [7],
        "8": [8],
        "7": [7, 9],
    }
    assert found_pids(registry) == {}


def test_find_looks_for_guests_that_nobody_has_told_of(
    registry: GuestRegistry, fake: FakeProc
) -> None:
    """A guest that has ended is not found."""
    fake.begin(7, 500, qemu("web1"))
    assert found_pids(registry, "web1") == {"web1": [7]}
    fake.end(7)
    with pytest.raises(GuestError, match="no running guest has the name, UUID or pid 'web1'"):
        registry.find(["web1"])


def test_find_lists_the_guests_there_are(registry: GuestRegistry, fake: FakeProc) -> None:
    """The message lists twenty, and how many more; or that there is none at all."""
    with pytest.raises(GuestError, match=r"'a\\x1b'; there is no running guest at all"):
        registry.find(["a\x1b"])
    for pid in range(100, 125):
        fake.begin(pid, 500, qemu(f"web{pid}"))
    with pytest.raises(GuestError) as caught:
        registry.find(["web100", "web1"])
    listed = ", ".join(f"web{pid} (pid {pid})" for pid in range(100, 120))
    assert str(caught.value) == (
        f"no running guest has the name, UUID or pid 'web1'; name one of: {listed}, and 5 more"
    )


def test_of_the_ended_only_the_last_are_kept(registry: GuestRegistry, fake: FakeProc) -> None:
    """10,000 guests come and go: neither the file nor the memory grows with them.

    Most are gone before they are read, as guests that live so short mostly are.
    """

    def live(first: int, count: int) -> int:
        for pid in range(first, first + count):
            if pid % 8 == 0:
                fake.begin(7, pid, qemu(f"web{pid}"))
            registry.announce(seen(pid, 7, pid))
            registry.refresh()
        assert registry.save()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        full = live(100_000, 2_000)
        size = Path(registry.path).stat().st_size
        after = live(102_000, 8_000)
    finally:
        tracemalloc.stop()
    assert Path(registry.path).stat().st_size == size
    assert after - full < 200_000
    fake.end(7)
    registry.refresh()
    kept = [(guest.name, guest.numbers[0][0]) for guest in registry.guests()]
    last = range(110_000 - model.ENDED_MOST, 110_000)
    assert sorted(number for _, number in kept) == list(last)
    assert [name for name, number in kept if number % 8 == 0] == [f"web{n}" for n in last[::8]]


def test_who_is_forgotten_leaves_no_wrong_owner_behind(
    registry: GuestRegistry, fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source was loaded again and gave 1 anew: its owner's records are not the first one's."""
    monkeypatch.setattr(registry_module, "ENDED_MOST", 2)
    fake.begin(7, 500, qemu("first"))
    registry.announce(seen(1, 7, 500, ns=100))
    registry.announce(seen(2, 7, 500, ns=101))
    registry.announce(seen(1, 8, 600, ns=200))
    registry.announce(seen(1, 7, 500, ns=300))
    assert registry.running()[0].numbers == ((1, 100), (2, 101), (1, 300))
    for pid in (9, 10):
        registry.announce(seen(pid, pid, 600, ns=400))
    assert [guest.pid for guest in registry.guests()] == [9, 10, 7]
    assert registry.running()[0].numbers == ((2, 101), (1, 300))


def test_the_number_of_running_guests_is_bounded(
    registry: GuestRegistry,
    fake: FakeProc,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The oldest are kept as ended, and the log says so once."""
    monkeypatch.setattr(registry_module, "RUNNING_MOST", 2)
    for pid in (7, 8, 9, 10):
        fake.begin(pid, 500, qemu(f"web{pid}"))
    registry.scan()
    assert names(registry) == ["web9", "web10"]
    assert [guest.name for guest in registry.guests()] == ["web7", "web8", "web9", "web10"]
    assert capfd.readouterr().err.count("more than 2 guests run") == 1
