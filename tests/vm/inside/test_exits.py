# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits as a source reports them, against the guest's own account and the kernel's counts."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import GuestRecord, Record, SwitchRecord
from tests.vm.inside import host, perf_event
from tests.vm.inside.sources import ALL, KMOD, NUMBERS, Control, Receiver, only

TURNS = 1009

SVM_CPUID = 0x72
SVM_HLT = 0x78
SVM_IOIO = 0x7B
SVM_MSR = 0x7C
SVM_NPF = 0x400

KVM_EXIT_IO = 2
KVM_EXIT_HLT = 5
KVM_EXIT_MMIO = 6
TICK_NS = 4_000_000  # HZ=250


def record_of(receiver: Receiver, reason: int) -> Record:
    """Some record of a reason, from the middle of the run."""
    found = [record for record in receiver.exits if record.reason == reason]
    return found[len(found) // 2]


@only(*ALL)
def test_counts_equal_the_kernels_own_to_the_last_one(
    control: Control, receiver: Receiver, histogram: host.Histogram
) -> None:
    """Records per reason = hist trigger per reason = what the guest says it did."""
    control.switch_on()
    report = host.guest("--turns", str(TURNS), "--kinds", "cpuid,pio,mmio,hlt,msr")
    control.switch_off()
    receiver.drain()

    assert receiver.reasons() == histogram.counts()
    assert receiver.reasons()[SVM_CPUID] == report["done"]["cpuid"] == TURNS
    counters = control.status().check_sum()
    assert counters["seen"] == counters["emitted"] == receiver.reasons().total()
    assert counters["pending"] == counters["dropped"] == 0


def test_counts_are_exact_with_several_vcpus(
    control: Control, receiver: Receiver, histogram: host.Histogram
) -> None:
    """Four vCPUs on two CPUs, migrating as they like."""
    control.switch_on()
    host.guest("--turns", "401", "--vcpus", "4", "--kinds", "cpuid,pio")
    control.switch_off()
    receiver.drain()

    assert receiver.reasons() == histogram.counts()
    assert {record.vcpu for record in receiver.exits} == {0, 1, 2, 3}
    assert len({record.guest for record in receiver.exits}) == 1
    assert len({record.tid for record in receiver.exits}) == 4
    per_vcpu = [
        sum(r.vcpu == v and r.reason == SVM_CPUID for r in receiver.exits) for v in range(4)
    ]
    assert per_vcpu == [401] * 4
    control.status().check_sum()


@only(*ALL)
def test_another_tool_on_the_event_changes_nothing(
    control: Control, receiver: Receiver, histogram: host.Histogram
) -> None:
    """perf had kvm:kvm_exit open before: each exit still has its own reason, and its times."""
    with perf_event.held_open("kvm_exit"):
        control.switch_on()
        report = host.guest("--turns", "211", "--kinds", "cpuid,pio,msr")
        control.switch_off()
    receiver.drain()
    assert receiver.reasons() == histogram.counts()
    for record in receiver.exits:
        user = bool(record.flags & (lib.KVMLOG_F_USER_REASON | lib.KVMLOG_F_USER_EINTR))
        assert user == (record.reason == SVM_IOIO), record
    assert sum(bool(r.flags & lib.KVMLOG_F_NO_REENTRY) for r in receiver.exits) <= 1
    assert receiver.reasons()[SVM_CPUID] == report["done"]["cpuid"]


@only(*ALL)
def test_every_field_of_a_port_exit(control: Control, receiver: Receiver, source: str) -> None:
    """An OUT that user space handles."""
    before_ns = time.monotonic_ns()
    control.switch_on()
    report = host.guest("--turns", "101", "--kinds", "pio", "--pause-ms", "2")
    control.switch_off()
    receiver.drain()
    after_ns = time.monotonic_ns()

    record = record_of(receiver, SVM_IOIO)
    assert (record.type, record.isa) == (lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_SVM)
    assert record.source == NUMBERS[source]
    expected = (
        lib.KVMLOG_F_INFO_VALID
        | lib.KVMLOG_F_RIP_VALID
        | lib.KVMLOG_F_DETAIL_VALID
        | lib.KVMLOG_F_USER_REASON
        | lib.KVMLOG_F_DELAY_VALID
    )
    assert record.flags & ~lib.KVMLOG_F_MIGRATED == expected
    assert (record.user_exits, record.user_reason, record.user_errno) == (1, KVM_EXIT_IO, 0)
    assert before_ns < record.exit_ns < after_ns
    assert 2_000_000 <= record.user_ns <= record.total_ns
    assert record.halt_ns == 0
    # APM vol. 2, 15.10.2: the port is in bits 31:16 of EXITINFO1, EXITINFO2 the next rIP
    assert record.detail == record.info1 >> 16 == 0x3F8
    assert record.rip < record.info2 <= record.rip + 15
    assert record.config_epoch == 1
    assert record.vcpu == 0
    assert record.cpu < (os.cpu_count() or 1)
    (guest,) = receiver.of_type(GuestRecord)
    assert isinstance(guest, GuestRecord)
    assert (guest.guest, guest.tgid) == (record.guest, report["pid"])


@only(*ALL)
def test_detail_keys(control: Control, receiver: Receiver) -> None:
    """Each kind of exit carries the key that belongs to its reason."""
    control.switch_on()
    host.guest("--turns", "101", "--kinds", "cpuid,mmio,msr")
    control.switch_off()
    receiver.drain()

    cpuid = record_of(receiver, SVM_CPUID)
    assert cpuid.detail & 0xFFFFFFFF == 0  # the guest asks for leaf 0
    assert record_of(receiver, SVM_MSR).detail == 0x1A0  # IA32_MISC_ENABLE
    mmio = record_of(receiver, SVM_NPF)
    assert mmio.detail == mmio.info2 == 0xD0000000
    assert mmio.user_reason == KVM_EXIT_MMIO
    for record in (cpuid, mmio):
        assert record.flags & lib.KVMLOG_F_DETAIL_VALID


def test_a_halt_in_the_kernel_has_its_own_time(control: Control, receiver: Receiver) -> None:
    """A halt sleeps in KVM with the in-kernel APIC: halt_ns, no user time."""
    control.switch_on()
    host.guest("--turns", "53", "--kinds", "hlt", "--hlt", "timer", "--halt-us", "3000")
    control.switch_off()
    receiver.drain()

    halts = [r for r in receiver.exits if r.reason == SVM_HLT]
    assert len(halts) >= 50
    for record in halts:
        assert record.halt_ns <= record.total_ns
        assert record.user_exits == 0
    # On a busy machine many a timer expires before its halt begins.
    slept = [r for r in halts if r.flags & lib.KVMLOG_F_HALT_SLEPT]
    assert slept
    assert all(record.halt_ns for record in slept)


def test_a_halt_in_user_space_is_user_time(control: Control, receiver: Receiver) -> None:
    """A halt is KVM_EXIT_HLT without the in-kernel APIC."""
    control.switch_on()
    host.guest("--turns", "53", "--kinds", "hlt")
    control.switch_off()
    receiver.drain()

    halts = [r for r in receiver.exits if r.reason == SVM_HLT]
    assert len(halts) == 53
    assert {(r.user_reason, r.halt_ns) for r in halts} == {(KVM_EXIT_HLT, 0)}


def test_time_without_a_cpu_is_told(control: Control, receiver: Receiver) -> None:
    """A vCPU that shares its CPU with a hog waits runnable; the records say for how long."""
    hog = subprocess.Popen(["taskset", "-c", "0", "sh", "-c", "while :; do :; done"])
    try:
        control.switch_on()
        # Never asleep: it has to give the CPU away again and again, in the kernel and outside.
        host.run(
            *("taskset", "-c", "0", str(host.GUEST), "--json"),
            *("--turns", "20011", "--kinds", "pio"),
        )
        control.switch_off()
    finally:
        hog.kill()
        hog.wait()
    receiver.drain()
    waited = [r for r in receiver.exits if r.delay_kernel_us + r.delay_user_us > 500]
    assert waited
    # The scheduler's clock is another than the records': they may be a tick apart.
    for record in waited:
        assert (record.delay_kernel_us + record.delay_user_us) * 1000 <= record.total_ns + TICK_NS
        assert record.delay_user_us * 1000 <= record.user_ns + TICK_NS
    waited_us = sum(record.delay_kernel_us + record.delay_user_us for record in waited)
    assert waited_us * 1000 <= sum(record.total_ns for record in waited) + TICK_NS


def test_an_interrupted_kvm_run_is_no_user_reason(control: Control, receiver: Receiver) -> None:
    """SIGTERM makes KVM_RUN return -EINTR: a flag of its own."""
    control.switch_on()
    guest = host.start_guest("--turns", "0", "--kinds", "cpuid")
    time.sleep(1)
    guest.terminate()
    guest.communicate(timeout=host.HANG_S)
    control.switch_off()
    receiver.drain()
    interrupted = [r for r in receiver.exits if r.flags & lib.KVMLOG_F_USER_EINTR]
    assert interrupted
    for record in interrupted:
        assert not record.flags & lib.KVMLOG_F_USER_REASON
        assert record.user_reason == 0
    control.status().check_sum()


def test_a_real_qemu_guest(control: Control, receiver: Receiver, histogram: host.Histogram) -> None:
    """QEMU with KVM runs its firmware; every exit of it is counted right."""
    control.switch_on()
    qemu = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-machine", "q35,accel=kvm", "-m", "64", "-smp", "2"),
            *("-name", "guest=firmware", "-display", "none", "-nodefaults"),
        ]
    )
    time.sleep(8)
    qemu.terminate()
    qemu.wait(timeout=host.HANG_S)
    control.switch_off()
    receiver.drain(1.0)
    assert receiver.reasons() == histogram.counts()
    assert receiver.reasons()[SVM_IOIO] > 100
    guests = receiver.of_type(GuestRecord)
    assert [guest.tgid for guest in guests if isinstance(guest, GuestRecord)] == [qemu.pid]
    counters = control.status().check_sum()
    assert counters["pending"] == 0


@only(KMOD)
def test_the_function_it_calls_is_where_the_kernel_says(control: Control) -> None:
    """svm_get_exit_info is called at its very start, which on IBT kernels is an ENDBR."""
    line = next(line for line in host.kernel_log().splitlines() if "will be called" in line)
    assert "svm_get_exit_info+0x0/" in line
    address = host.symbol_address("svm_get_exit_info")
    begins_with_endbr = host.read_kernel(address, 4) == bytes.fromhex("f30f1efa")
    assert ("it begins with ENDBR" in line) == begins_with_endbr
    config = Path(f"/boot/config-{os.uname().release}")
    if not config.exists():
        config = host.PROJECT / f"build/kernels/{os.uname().release}/boot/{config.name}"
    assert begins_with_endbr == ("CONFIG_X86_KERNEL_IBT=y" in config.read_text())


@pytest.mark.parametrize("one_in", [7])
def test_one_in_n_is_told_and_adds_up(
    control: Control, receiver: Receiver, histogram: host.Histogram, one_in: int
) -> None:
    """Gaps of 1 to 2N - 1, N on average; alternating exits do not hide from the sample."""
    control.switch_on(one_in=one_in)
    host.guest("--turns", "4001", "--kinds", "cpuid,pio")
    control.switch_off()
    receiver.drain()
    counters = control.status().check_sum()
    seen = counters["seen"]
    assert seen == histogram.counts().total()
    assert counters["emitted"] + counters["sampled"] == seen
    # Mean gap 7, variance of one gap (13^2 - 1) / 12 = 14: 8000 / 7 gaps, six standard deviations
    assert abs(counters["emitted"] - seen / one_in) < 6 * (seen / one_in * 14) ** 0.5 / one_in
    reasons = receiver.reasons()
    assert min(reasons[SVM_CPUID], reasons[SVM_IOIO]) > counters["emitted"] / 3


def test_only_the_processes_asked_for(
    control: Control, receiver: Receiver, histogram: host.Histogram
) -> None:
    """A filter by process id is applied in the kernel, and what it leaves out is counted."""
    wanted = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "5")
    other = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "5")
    try:
        control.switch_on(tgids=[1, wanted.pid, 4_000_000])
        time.sleep(1)
        control.switch_off()
    finally:
        for guest in (wanted, other):
            guest.terminate()
            guest.communicate(timeout=host.HANG_S)
    receiver.drain()
    (guest_record,) = receiver.of_type(GuestRecord)
    assert isinstance(guest_record, GuestRecord)
    assert guest_record.tgid == wanted.pid
    assert receiver.exits
    assert {record.guest for record in receiver.exits} == {guest_record.guest}
    counters = control.status().check_sum()
    assert counters["filtered"] > 50
    (switch_on, _) = receiver.of_type(SwitchRecord)
    assert isinstance(switch_on, SwitchRecord)
    assert switch_on.filter_tgids == 3


def test_the_sampling_window_keeps_the_probes(control: Control, receiver: Receiver) -> None:
    """Exits of the closed phase are seen and counted as sampled out; the probes stay."""
    guest = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "1")
    try:
        control.switch_on(window_ms=(200, 400))
        time.sleep(3)
        status = control.status()
        assert status.window_ms == (200, 400)
        assert status.attached
        control.switch_off()
    finally:
        guest.terminate()
        guest.communicate(timeout=host.HANG_S)
    receiver.drain()
    counters = control.status().check_sum()
    assert counters["sampled"] > 0
    assert counters["emitted"] > 0
    exits = [r for r in receiver.exits if not r.flags & lib.KVMLOG_F_NO_REENTRY]
    gaps_ns = [b.exit_ns - a.exit_ns for a, b in itertools.pairwise(exits)]
    assert sum(gap >= 300_000_000 for gap in gaps_ns) >= 3


def test_a_new_configuration_while_on_has_a_new_epoch(control: Control, receiver: Receiver) -> None:
    """Records tell which configuration they were taken under."""
    control.switch_on()
    host.guest("--turns", "11")
    control.switch_on(one_in=2)
    host.guest("--turns", "101")
    control.switch_off()
    receiver.drain()
    assert {record.config_epoch for record in receiver.exits} == {1, 2}
    switches = [r for r in receiver.records if isinstance(r, SwitchRecord)]
    assert [(r.on, r.one_in, r.config_epoch) for r in switches] == [(1, 1, 1), (1, 2, 2), (0, 2, 2)]
