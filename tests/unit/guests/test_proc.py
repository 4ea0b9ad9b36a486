# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes read from folders that look like /proc, and from the real one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from kvmlog.guests import proc
from kvmlog.guests.proc import (
    NOTHING,
    Held,
    Process,
    held_by,
    read_process,
    thread_group,
    vm_processes,
)
from kvmlog.util.process import start, start_ticks
from tests.support.proc_tree import FakeProc


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    """A /proc without processes."""
    return FakeProc(tmp_path)


def test_a_process_is_read_whole(fake: FakeProc) -> None:
    """Words with anything but NUL in them, a comm with brackets and spaces."""
    words = (b"qemu-kvm", b"", b"-name", b"a b\n\xff")
    fake.begin(7, 1234, words, comm=b"a) S (b", cgroup="0::/x\n")
    assert read_process(7, fake.root) == Process(7, 1234, b"a) S (b", words, "0::/x\n")


def test_a_program_that_was_upgraded_meanwhile_keeps_its_name(fake: FakeProc) -> None:
    """The kernel says that the file is deleted; without a link there is no name."""
    fake.begin(7, 1, exe="/usr/bin/qemu-system-x86_64 (deleted)")
    fake.begin(8, 1)
    found = [read_process(pid, fake.root) for pid in (7, 8)]
    assert [one and one.exe for one in found] == [b"/usr/bin/qemu-system-x86_64", b""]


def test_none_for_what_is_gone_or_a_zombie(fake: FakeProc) -> None:
    """A process that is gone, or a zombie, has no command line."""
    fake.begin(7, 1234, [b"qemu-kvm"])
    assert read_process(8, fake.root) is None
    fake.become_zombie(7, 1234)
    assert read_process(7, fake.root) is None
    assert start_ticks(7, fake.root) == 1234


@pytest.mark.parametrize("stat", [b"", b"7 (x) S 0\n", b"7 (x", b"7 (x) S" + b" a" * 30])
def test_a_stat_without_sense_is_no_process(fake: FakeProc, stat: bytes) -> None:
    """Too short, or no numbers."""
    fake.begin(7, 1234)
    Path(fake.root, "7", "stat").write_bytes(stat)
    assert start(7, fake.root) is None
    assert read_process(7, fake.root) is None


@pytest.mark.parametrize("missing", ["cmdline", "comm", "cgroup"])
def test_a_process_that_ends_while_it_is_read_is_none(fake: FakeProc, missing: str) -> None:
    """Its stat was there, and then no more."""
    fake.begin(7, 1234)
    Path(fake.root, "7", missing).unlink()
    assert read_process(7, fake.root) is None


def test_a_pid_reused_while_it_is_read_is_none(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is of one process, the command line of another: neither may have the name."""
    fake.begin(7, 1234, [b"qemu-kvm", b"-name", b"old"])
    read = proc._read

    def reuse(path: str, most: int) -> bytes:
        fake.begin(7, 5678, [b"qemu-kvm", b"-name", b"new"])
        return read(path, most)

    monkeypatch.setattr(proc, "_read", reuse)
    assert read_process(7, fake.root) is None
    monkeypatch.undo()
    found = read_process(7, fake.root)
    assert found is not None
    assert (found.start_ticks, found.command_line[-1]) == (5678, b"new")


def test_a_long_command_line_is_cut_between_words(fake: FakeProc) -> None:
    """Half a name would be another guest's."""
    fake.begin(7, 1234, [b"qemu-kvm", b"-name", b"x" * proc.COMMAND_LINE_BYTES])
    found = read_process(7, fake.root)
    assert found is not None
    assert found.command_line == (b"qemu-kvm", b"-name")


def test_only_processes_with_a_vm_are_listed(fake: FakeProc) -> None:
    """Pids are in ascending order; entries that are no readable process are skipped."""
    fake.begin(20, 1)
    fake.begin(3, 1)
    fake.begin(5, 1, holds_vm=False)
    Path(fake.root, "self").mkdir()
    Path(fake.root, "9").mkdir()
    Path(fake.root, "5", "fd", "5").write_bytes(b"no link")
    assert list(vm_processes(fake.root)) == [3, 20]
    assert vm_processes(fake.root + "/none") == {}


def test_what_a_process_holds_is_looked_at_again_cheaply(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two descriptors while they are what they were; all when one has gone."""
    fake.begin(7, 1)
    held = held_by(7, fake.root)
    assert held == Held(11, 12)
    with monkeypatch.context() as only:
        only.setattr(os, "listdir", lambda _: pytest.fail("all descriptors were listed"))
        assert held_by(7, fake.root, held) == held
    fake.hold(7, vm=False, vcpu=True)
    assert held_by(7, fake.root, held) == Held(None, 12)
    fake.hold(7, vm=True, vcpu=True, first=31)
    found = held_by(7, fake.root, held)
    assert found is not None
    assert found.runs_guest
    assert held_by(8, fake.root) is None


@pytest.mark.parametrize(
    ("link", "held"),
    [
        ("kvm-vm", Held(9, None)),
        ("kvm-vcpu:0", Held(None, 9)),
        ("kvm-vcpu:1023", Held(None, 9)),
        ("kvm-vcpu", Held(None, 9)),
        ("kvm-vm-stats", NOTHING),
        ("kvm-vcpu-stats:0", NOTHING),
        ("[eventfd]", NOTHING),
    ],
)
def test_statistics_of_a_vm_are_no_vm(fake: FakeProc, link: str, held: Held) -> None:
    """Whoever monitors a guest may hold their descriptors."""
    fake.begin(7, 1, holds_vm=False)
    Path(fake.root, "7", "fd", "9").symlink_to(f"anon_inode:{link}")
    assert held_by(7, fake.root) == held


def test_a_process_with_a_great_many_descriptors_is_looked_at_in_part(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may open a million: nobody waits for them."""
    fake.begin(7, 1, holds_vm=False)
    monkeypatch.setattr(proc, "DESCRIPTORS_MOST", 3)
    for descriptor in range(20, 40):
        Path(fake.root, "7", "fd", str(descriptor)).symlink_to("/dev/null")
    looked_at: list[str] = []
    read = os.readlink

    def noted(path: str) -> str:
        looked_at.append(path)
        return read(path)

    monkeypatch.setattr(os, "readlink", noted)
    assert held_by(7, fake.root) == NOTHING
    assert len(looked_at) == 3


def test_what_may_not_be_looked_at_is_not_known(
    fake: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge without the right to see another user's descriptors takes no guest for ended."""
    fake.begin(7, 1)

    def refuse(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(os, "readlink", refuse)
    assert held_by(7, fake.root) is None


def test_this_process_is_read_from_the_real_proc() -> None:
    """The kernel's own format."""
    words = tuple(Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1])
    found = read_process(os.getpid())
    assert found is not None
    assert found.command_line == words
    assert found.comm == Path("/proc/self/comm").read_bytes().rstrip(b"\n")
    assert found.start_ticks == start_ticks(os.getpid())
    assert os.fsdecode(found.exe) == str(Path("/proc/self/exe").readlink())
    assert os.getpid() not in vm_processes()


def test_a_thread_leads_to_its_process() -> None:
    """KVM tells of the thread that made the VM."""
    tids: list[int | None] = []

    def ask() -> None:
        tids.extend((threading.get_native_id(), thread_group(threading.get_native_id())))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert tids[0] != os.getpid()
    assert tids[1] == os.getpid()
    assert thread_group(0) is None
