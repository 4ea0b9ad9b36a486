# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as real processes of this machine: real QEMUs, and where there is KVM, real VMs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kvmlog.guests.names import GuestNames
from kvmlog.guests.proc import read_process, vm_processes
from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.guests.uevents import VmEvents
from kvmlog.ring.records import GuestRecord, decode_record
from kvmlog.util.process import start_ticks
from tests.support.bridge_process import HANG_S, until
from tests.support.records import guest_bytes

QEMU: Final = "qemu-system-x86_64"
UUID: Final = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
KVM_CREATE_VM: Final = 0xAE01  # linux/kvm.h


def without_kvm() -> str | None:
    """Why no VM can be made here."""
    try:
        os.close(make_vm())
    except OSError as error:
        return f"/dev/kvm makes no VM ({error.strerror}); run the tests on a host with KVM, as root"
    return None


def make_vm() -> int:
    """A VM without vCPUs, of this process; its descriptor."""
    fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(fd, KVM_CREATE_VM, 0)
    finally:
        os.close(fd)


needs_kvm = pytest.mark.skipif(without_kvm() is not None, reason=str(without_kvm()))


@contextlib.contextmanager
def qemu(name: str, *more: str) -> Iterator[int]:
    """A QEMU whose guest never begins to run; its pid, from when it is QEMU."""
    program = shutil.which(QEMU)
    assert program, f"{QEMU} is not installed; run make setup"
    command = [program, "-nodefaults", "-S", "-display", "none", "-name", name, *more]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: is_qemu(process.pid))
            yield process.pid
        finally:
            process.kill()


def is_qemu(pid: int) -> bool:
    """It is, and no longer the process that was forked to become it."""
    process = read_process(pid)
    return process is not None and process.command_line[:1] == (str(shutil.which(QEMU)).encode(),)


def seen(number: int, pid: int, ns: int) -> GuestRecord:
    """The GUEST record that a source would write of this process."""
    start_ns = (start_ticks(pid) or 0) * TICK_NS
    record = decode_record(
        guest_bytes(b"qemu-system-x86", guest=number, tgid=pid, start_boottime_ns=start_ns, ns=ns)
    )
    assert isinstance(record, GuestRecord)
    return record


def test_a_real_qemu_is_named_from_its_first_record_to_its_end(tmp_path: Path) -> None:
    """The bridge's registry and the readers of the ring agree on the guest's name."""
    ring = str(tmp_path / "ring")
    registry = GuestRegistry(f"{ring}.guests")
    with qemu("guest=a,,b,debug-threads=on", "-accel", "tcg", "-uuid", UUID.upper()) as pid:
        registry.announce(seen(5, pid, ns=77))
        (guest,) = registry.running()
        assert (guest.kind, guest.name, guest.uuid, guest.pid) == ("qemu", "a,b", UUID, pid)
        assert registry.find(["a,b", UUID, str(pid)]) == {
            "a,b": [guest],
            UUID: [guest],
            str(pid): [guest],
        }
        assert registry.save()
        names = GuestNames(ring)
        assert names.of_number(5, 78) == names.of_process(pid, guest.start_ticks * TICK_NS) == guest
    registry.refresh()
    assert registry.running() == []
    assert registry.save()
    assert names.reload()
    (ended,) = names.matching([UUID])
    assert (ended.name, ended.ended_realtime_ns is not None) == ("a,b", True)


def test_a_qemu_that_emulates_all_by_itself_holds_no_vm(tmp_path: Path) -> None:
    """So that scanning takes no other process for a guest."""
    monitor = tmp_path / "qmp"
    with qemu("web1", "-accel", "tcg", "-qmp", f"unix:{monitor},server=on,wait=off") as pid:
        until(monitor.exists)
        # It greets when it has made its machine.
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(HANG_S)
            link.connect(str(monitor))
            assert link.recv(7) == b'{"QMP":'
        assert pid not in vm_processes()


@needs_kvm
def test_kvm_tells_of_a_guest_before_its_first_exit(tmp_path: Path) -> None:
    """The event of KVM alone announces a guest that has not run at all."""
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    events = VmEvents.open()
    assert events is not None
    with qemu("web1", "-accel", "kvm", "-uuid", UUID) as pid:
        appeared(registry, events, pid)
        (guest,) = [guest for guest in registry.running() if guest.pid == pid]
        assert (guest.name, guest.uuid, guest.numbers) == ("web1", UUID, ())
    events.close()


@needs_kvm
def test_a_guest_that_was_there_before_is_found(tmp_path: Path) -> None:
    """The VM that its process holds identifies the guest."""
    with qemu("web1", "-accel", "kvm") as pid:
        until(lambda: pid in vm_processes())
        registry = GuestRegistry(str(tmp_path / "ring.guests"))
        assert pid in [guest.pid for guest in registry.find(["web1"])["web1"]]


@needs_kvm
def test_the_thread_that_made_a_vm_is_not_taken_for_a_process(tmp_path: Path) -> None:
    """KVM tells of threads; all others know processes."""
    events = VmEvents.open()
    assert events is not None
    made: list[int] = []
    told = threading.Event()

    def make() -> None:
        made.append(make_vm())
        told.wait(HANG_S)

    thread = threading.Thread(target=make)
    thread.start()
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    try:
        appeared(registry, events, os.getpid())
        assert os.getpid() in vm_processes()
    finally:
        told.set()
        thread.join()
        for fd in made:
            os.close(fd)
        events.close()
    assert os.getpid() not in vm_processes()
    (guest,) = [guest for guest in registry.running() if guest.pid == os.getpid()]
    assert (guest.kind, guest.named) == ("other", False)


def appeared(registry: GuestRegistry, events: VmEvents, pid: int) -> None:
    """Takes events as the bridge does, until this process was told of."""
    poll = select.poll()
    poll.register(events, select.POLLIN)
    while True:
        assert poll.poll(HANG_S * 1000), f"KVM has not told of a VM of {pid}"
        pids = events.handle()
        for found in pids:
            registry.appeared(found)
        if pid in pids:
            return
