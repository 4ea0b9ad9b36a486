# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence of a VM's process, its control groups, the host, and the collector."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvmlog.vmstats.definition import Limits
from kvmlog.vmstats.host import Pressure
from kvmlog.vmstats.host_local import LocalFigures
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.why.evidence import Rival, VcpuTime
from kvmlog.why.gather import quota, threads, vm
from kvmlog.why.gather.host import host_of
from tests.support import vmstats_samples as samples

SECOND = 1_000_000_000
TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")
PID, HOG = 4242, 99


class Proc:
    """A /proc with a QEMU of two vCPUs, and a hog."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)
        self._folder = folder
        self.process(PID, "qemu-system-x86", ticks=700)
        self.thread(PID, PID, "qemu-system-x86", 5, 5)
        self.thread(PID, 4300, "CPU 0/KVM", 100, 10)
        self.thread(PID, 4301, "CPU 1/KVM", 200, 20)
        self.process(HOG, "hog", ticks=100)
        self.thread(HOG, HOG, "hog", 0, 0, cpu=1)

    def process(self, pid: int, comm: str, ticks: int, faults: int = 0, cpu: int = 0) -> None:
        """A process that has used so many ticks, and had so many major faults."""
        folder = self._folder / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "comm").write_text(f"{comm}\n")
        (folder / "stat").write_text(self._stat(pid, comm, ticks, faults, cpu))

    def thread(
        self, pid: int, tid: int, comm: str, on_cpu: int, wait: int, cpu: int = 0, cpus: str = "1"
    ) -> None:
        """A thread with its schedstat."""
        folder = self._folder / str(pid) / "task" / str(tid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comm").write_text(f"{comm}\n")
        (folder / "schedstat").write_text(f"{on_cpu} {wait} 3\n")
        (folder / "stat").write_text(self._stat(tid, comm, 1, 0, cpu))
        (folder / "status").write_text(f"Name:\t{comm}\nCpus_allowed_list:\t{cpus}\n")

    @staticmethod
    def _stat(pid: int, comm: str, ticks: int, faults: int, cpu: int) -> str:
        fields = ["0"] * 50
        fields[0] = "S"
        fields[12 - 3], fields[14 - 3], fields[39 - 3] = str(faults), str(ticks), str(cpu)
        return f"{pid} ({comm}) {' '.join(fields)}\n"


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    """One moment of it."""
    return Proc(tmp_path)


def test_threads_of_vcpus_are_told_by_their_names(proc: Proc) -> None:
    """What each has run and waited between two readings."""
    before = threads.read(PID, 0, proc.root)
    proc.thread(PID, 4300, "CPU 0/KVM", 150, 60)
    after = threads.read(PID, SECOND, proc.root)
    assert threads.between(before, after) == (VcpuTime(0, 50, 50), VcpuTime(1, 0, 0))


def test_a_thread_without_schedstat_has_run_but_waits_unknown(proc: Proc, tmp_path: Path) -> None:
    """The kernel was built without it."""
    before = threads.read(PID, 0, proc.root)
    (tmp_path / str(PID) / "task" / "4300" / "schedstat").unlink()
    after = threads.read(PID, SECOND, proc.root)
    assert threads.between(before, after)[0].wait_ns is None


def test_the_rival_is_who_used_the_same_cpus_most(proc: Proc) -> None:
    """A process elsewhere, or one that hardly ran, is none; nor is the VM itself."""
    before = threads.read(PID, 0, proc.root)
    proc.process(HOG, "hog", ticks=100 + SECOND // 2 // TICK_NS)
    proc.process(PID, "qemu-system-x86", ticks=700 + SECOND // TICK_NS)
    after = threads.read(PID, SECOND, proc.root)
    cpus = threads.allowed_cpus(PID, after, proc.root)
    assert cpus == {1}
    assert threads.rival(PID, before, after, cpus, proc.root) == Rival(HOG, "hog", 1, SECOND // 2)
    assert threads.rival(PID, before, after, frozenset((0,)), proc.root) is None
    proc.process(HOG, "hog", ticks=100 + SECOND // 10 // TICK_NS)
    little = threads.read(PID, SECOND, proc.root)
    assert threads.rival(PID, before, little, cpus, proc.root) is None


def test_what_a_process_has_swapped_and_read_back(proc: Proc, tmp_path: Path) -> None:
    """Major faults of /proc/PID/stat, VmSwap of /proc/PID/status; nothing of one that is gone."""
    proc.process(PID, "qemu) (x", ticks=1, faults=17)
    (tmp_path / str(PID) / "status").write_text("Name:\tq\nVmSwap:\t    2048 kB\n")
    assert threads.major_faults(PID, proc.root) == 17
    assert threads.swapped_bytes(PID, proc.root) == 2 << 20
    assert threads.major_faults(1, proc.root) is None
    assert threads.swapped_bytes(1, proc.root) is None
    assert threads.read(1, 0, proc.root).threads == ()


def test_a_quota_is_found_wherever_it_is_set(tmp_path: Path) -> None:
    """Of each vCPU's group, beside the emulator's, and of those above it."""
    scope = tmp_path / "sys/fs/cgroup/machine.slice/machine-qemu.scope"
    for name, us in (
        ("libvirt/emulator", 0),
        ("libvirt/vcpu0", 300),
        ("libvirt/vcpu1", 20),
        ("", 1),
    ):
        folder = scope / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.stat").write_text(f"usage_usec 7\nnr_throttled 2\nthrottled_usec {us}\n")
    cgroup = tmp_path / "proc" / str(PID) / "cgroup"
    cgroup.parent.mkdir(parents=True)
    cgroup.write_text("0::/machine.slice/machine-qemu.scope/libvirt/emulator\n")
    assert quota.throttled_ns(PID, str(tmp_path)) == 321_000
    cgroup.write_text("0::/../../etc\n")
    assert quota.throttled_ns(PID, str(tmp_path)) is None
    assert quota.throttled_ns(1, str(tmp_path)) is None


def local(total_us: int) -> LocalFigures:
    """This host with so much pressure on its memory."""
    pressure = (Pressure("memory", "some", 0.0, 0.0, 0.0, total_us),)
    return LocalFigures(None, None, None, None, None, pressure, (1.5, 1.0, 0.5), None)


def test_pressure_is_that_of_the_watch() -> None:
    """From the kernel's total, not its averages of ten seconds and more."""
    found = host_of(local(1_000_000), local(1_500_000), 2 * SECOND)
    assert found is not None
    assert found.pressure == {"memory some": 25.0}
    nothing = LocalFigures(None, None, None, None, None, None, None, None)
    assert host_of(nothing, nothing, SECOND) is None


def later(vm_before: Vm, seconds: float, **fields: Any) -> Vm:
    """The VM some seconds later."""
    sample = vm_before.sample
    taken = Moment(
        sample.taken.monotonic_ns + round(seconds * SECOND),
        sample.taken.realtime_ns + round(seconds * SECOND),
    )
    assert sample.memory is not None
    return replace(
        vm_before,
        rates=None,
        sample=replace(
            sample,
            taken=taken,
            blocks_taken=taken,
            interfaces_taken=taken,
            memory=replace(sample.memory, taken=taken),
            **fields,
        ),
    )


def test_rates_are_those_between_two_polls() -> None:
    """Or, where there was only one, those of the interval before it."""
    before = samples.vm()
    blocks = before.sample.blocks
    assert blocks
    read = blocks[0].read_requests or 0
    grown = (replace(blocks[0], read_requests=read + 40), *blocks[1:])
    rates = vm.rates_between(before, later(before, 4, blocks=grown))
    assert rates is not None
    assert rates.blocks is not None
    assert rates.blocks[0].read_requests_per_s == 10
    assert vm.rates_between(before, before) is before.rates


def test_disks_have_their_limits_and_the_errors_of_the_watch() -> None:
    """Those before it, and CD-ROM drives, are left out."""
    before = samples.vm()
    definition = before.sample.definition
    limited = replace(definition.disks[0], limits=Limits(read_requests_per_s=50))
    blocks = before.sample.blocks
    assert blocks
    failed = (replace(blocks[0], io_errors=(blocks[0].io_errors or 0) + 2), *blocks[1:])
    after = later(
        before,
        1,
        blocks=failed,
        definition=replace(definition, disks=(limited, *definition.disks[1:])),
    )
    rates = vm.rates_between(before, after)
    disks = vm.disks_of(before.sample, after.sample, rates)
    assert disks is not None
    assert {disk.target for disk in disks} <= {"vda", "vdb"}
    (vda,) = (disk for disk in disks if disk.target == "vda")
    assert vda.errors == 2
    (reads,) = (one for one in vda.operations if one.kind == "read")
    assert reads.limit_requests_per_s == 50


def test_the_reason_of_a_pause_in_words() -> None:
    """virDomainPausedReason; a user's has none, it is the manager's."""
    paused = later(samples.vm(), 1, state=State.PAUSED, state_reason=5)
    assert vm.run_of(paused, samples.NOW, hung=False).reason == "an I/O error"
    by_user = later(samples.vm(), 1, state=State.PAUSED, state_reason=1)
    run = vm.run_of(by_user, samples.NOW, hung=True)
    assert (run.state, run.reason, run.hung) == ("paused", None, True)
