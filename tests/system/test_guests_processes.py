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

from kvmlog.guests.names import Guest, GuestNames
from kvmlog.guests.proc import held_by, read_process, vm_processes
from kvmlog.guests.registry import TICK_NS, GuestRegistry
from kvmlog.guests.uevents import VmEvent, VmEvents
from kvmlog.ring.records import GuestRecord, decode_record
from kvmlog.util.process import start_ticks
from tests.support.bridge_process import HANG_S, until
from tests.support.records import guest_bytes

QEMU: Final = "qemu-system-x86_64"
UUID: Final = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
KVM_CREATE_VM: Final = 0xAE01  # linux/kvm.h
KVM_CREATE_VCPU: Final = 0xAE41


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


@contextlib.contextmanager
def vm_of_this_process() -> Iterator[int]:
    """A VM without vCPUs until the end; its descriptor."""
    fd = make_vm()
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def vcpu_of(vm: int) -> Iterator[None]:
    """A vCPU until the end."""
    fd = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
    try:
        yield
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


def until_it_holds_a_vcpu(pid: int) -> None:
    """Wait for QEMU to make them."""
    until(lambda: (held := held_by(pid)) is not None and held.runs_guest)


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


@needs_kvm
def test_a_real_qemu_is_named_from_its_first_record_to_its_end(tmp_path: Path) -> None:
    """The bridge's registry and the readers of the ring agree on the guest's name."""
    ring = str(tmp_path / "ring")
    registry = GuestRegistry(f"{ring}.guests")
    with qemu("guest=a,,b,debug-threads=on", "-accel", "kvm", "-uuid", UUID.upper()) as pid:
        until_it_holds_a_vcpu(pid)
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
        told(registry, events, VmEvent(pid, True))
        (guest,) = [guest for guest in registry.traceable() if guest.pid == pid]
        assert (guest.name, guest.uuid, guest.numbers) == ("web1", UUID, ())
        until_it_holds_a_vcpu(pid)
        registry.refresh()
        assert guest in registry.running()
    events.close()


@needs_kvm
def test_a_guest_that_was_there_before_is_found(tmp_path: Path) -> None:
    """The VM that its process holds identifies the guest."""
    with qemu("web1", "-accel", "kvm") as pid:
        until_it_holds_a_vcpu(pid)
        registry = GuestRegistry(str(tmp_path / "ring.guests"))
        assert pid in [guest.pid for guest in registry.find(["web1"])["web1"]]


@needs_kvm
def test_the_thread_that_made_a_vm_is_not_taken_for_a_process(tmp_path: Path) -> None:
    """KVM tells of threads; all others know processes."""
    events = VmEvents.open()
    assert events is not None
    done = threading.Event()

    def make() -> None:
        with vm_of_this_process() as vm, vcpu_of(vm):
            done.wait(HANG_S)

    thread = threading.Thread(target=make)
    thread.start()
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    try:
        told(registry, events, VmEvent(os.getpid(), True))
        assert os.getpid() in vm_processes()
        registry.refresh()
        (guest,) = [guest for guest in registry.running() if guest.pid == os.getpid()]
        assert (guest.kind, guest.named) == ("other", False)
    finally:
        done.set()
        thread.join()
        events.close()
    assert os.getpid() not in vm_processes()


@needs_kvm
def test_who_only_asks_kvm_is_a_guest_while_it_holds_a_vcpu(tmp_path: Path) -> None:
    """What libvirt does when it starts, and any check of what KVM can do: the process lives on."""
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    events = VmEvents.open()
    assert events is not None
    with vm_of_this_process() as vm:
        told(registry, events, VmEvent(os.getpid(), True))
        registry.refresh()
        assert own(registry.running()) == []
        with vcpu_of(vm):
            registry.refresh()
            (guest,) = own(registry.running())
            assert guest.ended_realtime_ns is None
    told(registry, events, VmEvent(os.getpid(), False))
    assert own(registry.running()) == []
    (ended,) = own(registry.guests())
    assert ended.ended_realtime_ns is not None
    assert registry.has_ended(ended.pid, ended.start_ticks)
    events.close()


@needs_kvm
def test_of_several_vms_the_last_one_ends_the_guest(tmp_path: Path) -> None:
    """One entry for the process, which runs as long as any VM of it; a later VM revives it."""
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    with vm_of_this_process() as first, vcpu_of(first):
        with vm_of_this_process() as second, vcpu_of(second):
            registry.scan()
            (guest,) = own(registry.running())
        registry.refresh()
        assert own(registry.running()) == [guest]
    registry.refresh()
    assert own(registry.running()) == []
    with vm_of_this_process() as third, vcpu_of(third):
        registry.scan()
        assert own(registry.running()) == [guest]


@needs_kvm
@pytest.mark.parametrize("launcher", ["argv0", "kvm-spice", "loader", "copy"])
def test_qemu_is_known_whatever_it_is_called(tmp_path: Path, launcher: str) -> None:
    """QEMU is known by the file that it runs, through the dynamic loader, and by its options."""
    program = shutil.which(QEMU)
    assert program
    command = [program, "-nodefaults", "-S", "-display", "none", "-name", "web7", "-accel", "kvm"]
    # Without its own path it does not find its firmware.
    command += ["-L", "/usr/share/seabios", "-L", "/usr/share/qemu"]
    executable = program
    if launcher == "loader":
        executable = interpreter(program)
        command.insert(0, "ld.so")
    elif launcher == "copy":
        executable = shutil.copy(program, str(tmp_path / "acme-hypervisor"))
    if launcher in ("argv0", "copy"):
        command[0] = "microvm@web7"
    elif launcher == "kvm-spice":
        command[0] = "/usr/bin/kvm-spice"
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    with subprocess.Popen(command, executable=executable, stdin=subprocess.DEVNULL) as process:
        try:
            until_it_holds_a_vcpu(process.pid)
            (guest,) = registry.find(["web7"])["web7"]
        finally:
            process.kill()
    assert (guest.pid, guest.kind, guest.named) == (process.pid, "qemu", True)


@needs_kvm
def test_a_guest_that_is_gone_when_its_first_exit_is_read_has_its_name(tmp_path: Path) -> None:
    """KVM's event names it: hundreds of guests that live for a moment have no other chance."""
    registry = GuestRegistry(str(tmp_path / "ring.guests"))
    events = VmEvents.open()
    assert events is not None
    with qemu("short", "-accel", "kvm", "-uuid", UUID) as pid:
        told(registry, events, VmEvent(pid, True))
        record = seen(5, pid, ns=77)
    registry.refresh()
    assert [guest for guest in registry.guests() if guest.pid == pid] == []
    registry.announce(record)
    (guest,) = [guest for guest in registry.guests() if guest.pid == pid]
    assert (guest.name, guest.kind, guest.uuid) == ("short", "qemu", UUID)
    assert guest.ended_realtime_ns is not None
    events.close()


def own(guests: list[Guest]) -> list[Guest]:
    """Those of this process."""
    return [guest for guest in guests if guest.pid == os.getpid()]


def interpreter(program: str) -> str:
    """The dynamic loader of a program (elf(5), PT_INTERP)."""
    raw = Path(program).read_bytes()[:4096]
    begin = raw.index(b"/lib")
    return raw[begin : raw.index(b"\0", begin)].decode()


def told(registry: GuestRegistry, events: VmEvents, expected: VmEvent) -> None:
    """Take events as the bridge does, until this one came."""
    poll = select.poll()
    poll.register(events, select.POLLIN)
    while True:
        assert poll.poll(HANG_S * 1000), f"KVM has not told of {expected}"
        found = events.handle()
        for event in found:
            (registry.appeared if event.created else registry.closed)(event.pid)
        if expected in found:
            return
