# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of rules: when each one speaks up, where its mark is from, and what to try.

Shares are of the time in which the guest had something to do: halts and pauses are no part of it.
"""

from __future__ import annotations

from typing import Final

from kvmlog.why.rules import cpu, disks, exits, memory, network, state
from kvmlog.why.rules.model import Rule

_STEAL: Final = (
    "VMware KB 2002181 (ready time: 10 % of a vCPU hurts); awesome-prometheus-alerts, "
    "HostCpuStealNoisyNeighbor: 10 %"
)
_EXITS: Final = (
    "twice the mark of cpu-wait, since some of it is work that the guest asked for; a guest "
    "that only computes spends a few percent on a host that is itself emulated"
)
_PSI: Final = "the kernel's Documentation/accounting/psi.rst, whose example is 150 ms in a second"
_SPACE: Final = "awesome-prometheus-alerts, HostOutOfMemory: 10 %"
_ALWAYS: Final = "none is normal"

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "hung",
        "run",
        "QEMU does not answer libvirt",
        0,
        _ALWAYS,
        (),
        state.hung,
    ),
    Rule(
        "paused",
        "run exits",
        "the VM is paused, or its vCPUs are held {} % of the time",
        10,
        "as cpu-wait: time in which it cannot run",
        ("virsh resume, once whoever paused it agrees (the cloud's agent, a backup, an operator)",),
        state.paused,
        # A VM that stands still has no figures that mean anything.
        hides=("hung", "stuck-vcpu", "cpu-wait", "slow-device"),
    ),
    Rule(
        "fault",
        "exits run",
        "a crash, or an exit after which a guest cannot go on, {} time or more",
        1,
        _ALWAYS,
        (
            "look at the guest's console, and at QEMU's log (/var/log/libvirt/qemu) and the host's "
            "(dmesg)",
        ),
        state.faults,
    ),
    Rule(
        "stuck-vcpu",
        "exits",
        "a vCPU is in one exit for {} s or more, neither halted nor paused",
        1,
        "a guest's soft lockup detector warns after 2 × watchdog_thresh = 20 s; nothing emulated "
        "takes a second",
        (),
        state.stuck,
        hides=("hung",),
    ),
    Rule(
        "io-errors",
        "disks",
        "{} I/O error or more",
        1,
        _ALWAYS,
        ("look at the storage, at QEMU's log (/var/log/libvirt/qemu), and at the host's (dmesg)",),
        disks.errors,
    ),
    Rule(
        "cpu-quota",
        "cpu",
        "a quota holds its vCPUs back {} % of the time or more",
        5,
        "half the mark of cpu-wait: it is somebody's decision, and easily changed",
        (),
        cpu.throttled,
        hides=("cpu-wait",),
    ),
    Rule(
        "cpu-wait",
        "exits cpu",
        "ready to run without a CPU {} % of the time or more, or one vCPU twice as much",
        10,
        _STEAL,
        (
            "move it, or its neighbours, to CPUs of their own: virsh vcpupin, or another host",
            "have fewer vCPUs on this host than it has CPUs",
        ),
        cpu.waits,
    ),
    Rule(
        "slow-device",
        "exits",
        "{} % or more of its time in QEMU, waiting in exits of 1 ms and more",
        10,
        "as cpu-wait; 1 ms: the tick of a guest with HZ=1000 (the kernel's Kconfig.hz)",
        (
            "virtio instead of that device, or vhost and an iothread for it; see what QEMU waits "
            "for: its storage, its network, a full pipe behind a console",
        ),
        exits.slow_device,
        hides=("stuck-vcpu",),
    ),
    Rule(
        "port-io",
        "exits",
        "{} % or more of its time in quick accesses to I/O ports",
        20,
        _EXITS,
        (),
        exits.port_polling,
    ),
    Rule(
        "emulated-device",
        "exits",
        "{} % or more of its time in quick accesses to the memory of devices",
        20,
        _EXITS,
        (),
        exits.emulated_device,
    ),
    Rule(
        "timer-storm",
        "exits",
        "{} % or more of its time in programming its timer, and the timer's ends",
        20,
        _EXITS,
        (
            "in the guest: fewer timers: look for programs that wake up all the time (powertop, "
            "/proc/timer_list), nohz=on, a lower HZ; Windows: hv-stimer in the VM's definition",
        ),
        exits.timers,
    ),
    Rule(
        "ipi-storm",
        "exits",
        "{} % or more of its time in interrupts from vCPU to vCPU",
        20,
        _EXITS,
        (
            "in the guest: keep threads that talk to each other on one vCPU (taskset), or fewer "
            "vCPUs",
            "on the host: APICv or AVIC, which deliver them without exits (modinfo kvm_intel, "
            "kvm_amd), and x2APIC for the guest",
        ),
        exits.ipis,
    ),
    Rule(
        "msr-storm",
        "exits",
        "{} % or more of its time in accesses to registers (MSRs) that KVM emulates",
        20,
        _EXITS,
        (
            "in the guest: find who does it (perf top in the guest): performance counters, power "
            "management, and monitoring agents that poll them",
        ),
        exits.msrs,
    ),
    Rule(
        "host-memory-faults",
        "exits",
        "{} % or more of its time until the host provides a page",
        20,
        _EXITS,
        (
            "once, after its start: nothing. Again and again: look for swapping, ballooning, KSM, "
            "or a migration that logs its writes; huge pages make them fewer",
        ),
        exits.memory,
    ),
    Rule(
        "lock-spinning",
        "exits",
        "{} % or more of its time in spinning for locks",
        10,
        "as cpu-wait: it is time in which it waits",
        (
            "fewer vCPUs, or CPUs of their own: a vCPU that holds a lock has lost its CPU",
            "in the guest: paravirtual spinlocks (kvm-pv-unhalt)",
        ),
        exits.spinning,
    ),
    Rule(
        "nested",
        "exits",
        "{} % or more of its time in exits of guests within it",
        20,
        _EXITS,
        (
            "each exit of an inner guest costs several here: run those VMs beside it, or reduce "
            "their exits (kvmlog stat --vm shows them)",
        ),
        exits.nested,
    ),
    Rule(
        "exits",
        "exits",
        "{} % or more of its time in exits of any other one kind",
        20,
        _EXITS,
        ("kvmlog explain says what it is, and what helps",),
        exits.others,
    ),
    Rule(
        "disk-limit",
        "disks",
        "{} % or more of a limit of a disk (iotune)",
        90,
        "QEMU's throttling, which lets no more through than the limit (docs/throttle.txt); the "
        "rest for the edges of the interval",
        (),
        disks.throttled,
    ),
    Rule(
        "disk-slow",
        "disks",
        "{} ms or more per request, with no limit reached",
        25,
        "VMware KB 1008205: a latency above 25 ms is storage in trouble",
        (
            "look at the storage below: iostat -x on the host, the array, the network to it; other "
            "VMs on the same storage (kvmlog vms)",
        ),
        disks.slow,
    ),
    Rule(
        "packet-loss",
        "nics",
        "{} % or more of the packets of an interface dropped or bad",
        1,
        "awesome-prometheus-alerts, HostNetworkReceiveErrors: 1 %",
        (),
        network.drops,
    ),
    Rule(
        "guest-swaps",
        "memory",
        "the guest swaps {} MiB/s or more",
        1,
        "256 pages a second: a guest that has what it needs swaps nothing in and out",
        (),
        memory.guest_swaps,
        hides=("guest-memory",),
    ),
    Rule(
        "guest-memory",
        "memory",
        "less than {} % of the guest's memory can be used",
        5,
        f"half the mark of {_SPACE}",
        ("give it more memory, or have it do less",),
        memory.guest_short,
    ),
    Rule(
        "swapped-by-host",
        "memory",
        "{} or more pages a second read back from the host's swap",
        10,
        "each takes a vCPU milliseconds: at 10 a second, a tick or more in a hundred",
        (
            "free memory on the host: move a VM away, smaller balloons, memory locked "
            "(<memoryBacking><locked/>) for VMs that must not wait",
        ),
        memory.host_swaps_it,
        hides=("host-memory",),
    ),
    Rule(
        "host-memory-pressure",
        "host",
        "tasks of the host wait for memory {} % of the time or more",
        15,
        _PSI,
        (
            "free memory on the host: move a VM away, or find what takes it (kvmlog vms --sort "
            "memory; ps --sort -rss)",
        ),
        memory.host_pressure,
        hides=("host-memory", "host-memory-faults"),
    ),
    Rule(
        "host-memory",
        "host",
        "less than {} % of the host's memory available",
        5,
        f"half the mark of {_SPACE}, since huge pages and VMs fill hosts on purpose",
        ("move a VM away before the host begins to swap",),
        memory.host_short,
    ),
    Rule(
        "ksm",
        "host",
        "ksmd uses {} % of a CPU or more",
        50,
        "half a CPU that no VM has; ksmtuned's defaults keep it far below",
        (
            "fewer pages a second: /sys/kernel/mm/ksm/pages_to_scan, or no KSM for this VM "
            "(<memoryBacking><nosharepages/>)",
        ),
        memory.ksm,
    ),
)


def rule(name: str) -> Rule:
    """Return the rule of a name."""
    return next(one for one in RULES if one.name == name)
