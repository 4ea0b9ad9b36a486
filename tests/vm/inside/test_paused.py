# SPDX-License-Identifier: GPL-2.0-or-later
"""Time in which an interrupted vCPU was kept out of its guest, apart from the VMM's own time.

What the guest's process measured between two readings of its clock are bounds: each of its sleeps
lies between two of KVM's tracepoints. So are its sleeps as asked for, which are never shorter.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import Record
from tests.vm.inside import host
from tests.vm.inside.sources import ALL, Control, Receiver, only

NS_PER_MS = 1_000_000
SVM_HLT, SVM_IOIO = 0x78, 0x7B
KVM_EXIT_IO = 2
EINTR, REASON = lib.KVMLOG_F_USER_EINTR, lib.KVMLOG_F_USER_REASON


def trace_guest(control: Control, *options: str) -> dict[str, Any]:
    """Runs the test guest under tracing; returns its report."""
    control.switch_on()
    report = host.guest(*options)
    control.switch_off()
    return report


def interrupted(receiver: Receiver) -> list[Record]:
    """The exits during which KVM_RUN returned -EINTR; what is true of every record is checked."""
    receiver.drain()
    for record in receiver.exits:
        assert record.user_ns + record.halt_ns <= record.total_ns
        assert record.paused_ns <= record.user_ns
        assert record.flags & EINTR or record.paused_ns == 0
    return [record for record in receiver.exits if record.flags & EINTR]


@only(*ALL)
def test_a_vcpu_that_is_held_after_a_signal_was_paused(
    control: Control, receiver: Receiver
) -> None:
    """All of it is the pause, none of it the VMM's time."""
    options = ("--turns", "10007", "--kinds", "cpuid")
    report = trace_guest(control, *options, "--interrupt", "run", "--interrupt-ms", "70")
    paused = interrupted(receiver)
    assert sum(record.user_exits for record in paused) == report["holds"] > 0
    for record in paused:
        assert record.paused_ns >= record.user_exits * 70 * NS_PER_MS
        assert (record.vmm_ns, record.flags & REASON) == (0, 0)
    total_ns = sum(record.paused_ns for record in paused)
    assert report["held_ns"] <= total_ns <= report["elapsed_ns"]


@only(*ALL)
def test_a_slow_device_and_a_pause_in_one_exit_are_told_apart(
    control: Control, receiver: Receiver
) -> None:
    """An I/O return, the device's time, -EINTR as KVM_RUN begins again, the pause: both right."""
    options = ("--turns", "11", "--kinds", "pio", "--pause-ms", "40")
    report = trace_guest(control, *options, "--interrupt", "io", "--interrupt-ms", "90")
    both = interrupted(receiver)
    assert len(both) == report["holds"] == report["interrupted"] == 11
    for record in both:
        assert (record.reason, record.user_reason) == (SVM_IOIO, KVM_EXIT_IO)
        assert (record.user_exits, record.flags & REASON) == (2, REASON)
        assert record.vmm_ns >= 40 * NS_PER_MS
        assert record.paused_ns >= 90 * NS_PER_MS
    vmm_ns = sum(record.vmm_ns for record in both)
    paused_ns = sum(record.paused_ns for record in both)
    # What is one's cannot be the other's: what is left of the whole bounds both from above.
    assert report["device_ns"] <= vmm_ns <= report["elapsed_ns"] - report["held_ns"]
    assert report["held_ns"] <= paused_ns <= report["elapsed_ns"] - report["device_ns"]


def test_a_halt_that_goes_on_after_the_pause_is_no_part_of_it(
    control: Control, receiver: Receiver
) -> None:
    """An idle vCPU is interrupted, held, and halts again: halt and pause do not overlap."""
    options = ("--turns", "7", "--kinds", "hlt", "--hlt", "timer", "--halt-us", "400000")
    report = trace_guest(control, *options, "--interrupt", "run", "--interrupt-ms", "60")
    held = interrupted(receiver)
    halts = [record for record in held if record.reason == SVM_HLT]
    assert len(halts) >= 5
    # A signal that came late found the vCPU in another exit.
    assert sum(record.paused_ns for record in held) >= report["held_ns"] > 0
    assert {record.vmm_ns for record in halts} == {0}
    assert all(record.halt_ns for record in halts)


def wait_for_pause(control: Control) -> Record:
    """The one pending exit, once KVM_RUN was interrupted in it."""
    deadline = time.monotonic() + host.HANG_S
    while True:
        found = [record for record in control.pending() if record.flags & EINTR]
        if found:
            (record,) = found
            return record
        assert time.monotonic() < deadline, control.pending()
        time.sleep(0.05)


def end_guest(guest: subprocess.Popen[str], control: Control) -> None:
    """Its thread ends in the pause."""
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)
    control.switch_off()


def switch_off(guest: subprocess.Popen[str], control: Control) -> None:
    """The record is written by another thread than the vCPU's."""
    control.switch_off()
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)


@pytest.mark.parametrize("end", [end_guest, switch_off])
def test_a_pause_under_way_is_told_up_to_now(
    control: Control,
    receiver: Receiver,
    end: Callable[[subprocess.Popen[str], Control], None],
) -> None:
    """It grows from one look to the next, the VMM's time does not; nor is it lost in the end."""
    control.switch_on()
    guest = host.start_guest(
        *("--turns", "0", "--kinds", "pio", "--pause-ms", "30"),
        *("--interrupt", "io", "--interrupt-ms", "600000"),
    )
    first = wait_for_pause(control)
    time.sleep(0.2)
    second = wait_for_pause(control)
    assert first.exit_ns == second.exit_ns
    assert second.paused_ns >= first.paused_ns + 200 * NS_PER_MS
    assert first.vmm_ns == second.vmm_ns >= 30 * NS_PER_MS
    end(guest, control)
    (record,) = interrupted(receiver)
    assert record.flags & lib.KVMLOG_F_NO_REENTRY
    assert record.exit_ns == second.exit_ns
    assert record.paused_ns >= second.paused_ns
    assert record.vmm_ns == second.vmm_ns


def test_a_guest_that_qemu_stops_and_continues_was_paused(
    control: Control, receiver: Receiver
) -> None:
    """A stop as by `virsh suspend` is no time of QEMU's, however long it lasts."""
    command = ["qemu-system-x86_64", "-machine", "q35,accel=kvm", "-m", "64"]
    options = ["-display", "none", "-nodefaults", "-monitor", "stdio"]
    control.switch_on()
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as qemu:

        def monitor(order: str) -> None:
            """Gives an order; returns when it was carried out."""
            assert qemu.stdin is not None
            assert qemu.stdout is not None
            print(order, "\ninfo status", file=qemu.stdin, flush=True)
            for line in qemu.stdout:
                if line.startswith("VM status:"):
                    return
            raise AssertionError("QEMU has ended")

        try:
            monitor("info version")
            time.sleep(3)
            monitor("stop")
            stopped_ns = time.monotonic_ns()
            time.sleep(0.5)
            continued_ns = time.monotonic_ns()
            monitor("cont")
            time.sleep(0.5)
        finally:
            qemu.terminate()
    control.switch_off()
    held = [r for r in interrupted(receiver) if r.exit_ns < stopped_ns < r.exit_ns + r.total_ns]
    (record,) = held
    assert record.paused_ns >= continued_ns - stopped_ns
    assert record.vmm_ns < record.paused_ns
