# SPDX-License-Identifier: GPL-2.0-or-later
"""The vCPU threads of a process: recorded ones of QEMU, made up ones, and real ones."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kvmlog.vmstats import threads
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Cpu, Vcpu

PID = 21815
TICK_NS = 10_000_000
REST = "0 0 0 94279705012472 94279710216624 94280445390848 140720581013641 140720581017149"
SCOPE = "machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt"


def cpu(vcpus: int = 2) -> Cpu:
    """CPU figures of libvirt."""
    return Cpu(
        taken=Moment(1, 1),
        time_ns=20 * TICK_NS,
        user_ns=15 * TICK_NS,
        system_ns=5 * TICK_NS,
        guest_ns=None,
        vcpus=tuple(Vcpu(number, "running", 1, 2, 3, None) for number in range(vcpus)),
    )


def add(root: Path, tid: int, comm: str, ticks: Sequence[int], cgroup: str = "/") -> None:
    """Add a thread with these ticks of utime, stime and guest_time."""
    utime, stime, guest = ticks
    folder = root / str(PID) / "task" / str(tid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(
        f"{tid} ({comm}) S 1 {PID} {PID} 0 -1 4194624 2310 0 0 0 {utime} {stime} 0 0 20 0 6 0 "
        "3066180 1020407808 59269 18446744073709551615 94279696408576 94279702520581 "
        f"140720581012352 0 0 0 0 4096 17610 0 0 0 -1 1 0 0 0 {guest} {REST}\n"
    )
    (folder / "cgroup").write_text(f"0::{cgroup}\n")


def attached(root: Path, vcpus: int = 2) -> Cpu:
    """The figures with those of the threads below a folder."""
    return threads.attach(cpu(vcpus), PID, str(root))


def test_threads_of_kvm(tmp_path: Path) -> None:
    """utime includes guest_time; the split has each once."""
    add(tmp_path, PID, "qemu-system-x86", (64, 108, 0))
    add(tmp_path, 21820, "IO mon_iothread", (10, 29, 0))
    add(tmp_path, 21822, "CPU 1/KVM", (50, 7, 50))
    add(tmp_path, 21821, "CPU 0/KVM", (975, 59, 900))
    found = attached(tmp_path)
    assert [
        (one.number, one.thread_id, one.guest_ns, one.user_ns, one.system_ns) for one in found.vcpus
    ] == [
        (0, 21821, 900 * TICK_NS, 75 * TICK_NS, 59 * TICK_NS),
        (1, 21822, 50 * TICK_NS, 0, 7 * TICK_NS),
    ]
    assert found.guest_ns == 950 * TICK_NS
    # What libvirt told stays.
    assert (found.time_ns, found.vcpus[0].delay_ns) == (20 * TICK_NS, 3)


def test_threads_of_tcg(tmp_path: Path) -> None:
    """The kernel knows no guest there: what its code takes is user time, and guest time unknown."""
    add(tmp_path, 21821, "CPU 0/TCG", (975, 59, 0))
    add(tmp_path, 21822, "CPU 1/TCG", (626, 39, 0))
    found = attached(tmp_path)
    assert [(one.guest_ns, one.user_ns) for one in found.vcpus] == [
        (None, 975 * TICK_NS),
        (None, 626 * TICK_NS),
    ]
    assert found.guest_ns is None


def test_a_guest_of_kvm_that_has_not_run_yet(tmp_path: Path) -> None:
    """Its guest time is known: none."""
    add(tmp_path, 21821, "CPU 0/KVM", (0, 1, 0))
    assert attached(tmp_path, 1).guest_ns == 0


def test_guest_time_beyond_user_time(tmp_path: Path) -> None:
    """Kernels that count guest time in ticks and scale user time: nothing is negative."""
    add(tmp_path, 21821, "CPU 0/KVM", (10, 1, 12))
    (found,) = attached(tmp_path, 1).vcpus
    assert (found.user_ns, found.guest_ns) == (0, 12 * TICK_NS)


@pytest.mark.parametrize("comm", ["qemu-system-x86", "CPU 7/K) R 1 (x", "", "CPU 0/"])
def test_without_names_the_cgroup_tells(tmp_path: Path, comm: str) -> None:
    """libvirt has put each vCPU's thread into a cgroup of its own; guest time tells KVM."""
    add(tmp_path, PID, comm, (1, 1, 0), f"/{SCOPE}/emulator")
    add(tmp_path, 21821, comm, (20, 3, 15), f"/{SCOPE}/vcpu0")
    add(tmp_path, 21822, comm, (9, 2, 0), f"/{SCOPE}/vcpu1")
    first, second = attached(tmp_path).vcpus
    assert (first.thread_id, first.guest_ns, first.user_ns) == (21821, 15 * TICK_NS, 5 * TICK_NS)
    assert (second.thread_id, second.guest_ns, second.user_ns) == (21822, None, 9 * TICK_NS)


def test_version_1_of_cgroups(tmp_path: Path) -> None:
    """There is a line for each controller, of which one is enough."""
    add(tmp_path, 21821, "qemu", (20, 3, 15), "/")
    file = tmp_path / str(PID) / "task" / "21821" / "cgroup"
    file.write_text("9:name=systemd:/machine\n2:cpu,cpuacct:/machine/qemu-1-web/vcpu0\n1:pids:/\n")
    (found,) = attached(tmp_path, 1).vcpus
    assert found.thread_id == 21821


def test_threads_that_are_nobodys(tmp_path: Path) -> None:
    """A process without vCPU threads, or none at all, changes nothing; nor do damaged files."""
    assert attached(tmp_path) == cpu()
    add(tmp_path, PID, "qemu-system-x86", (1, 1, 0))
    assert attached(tmp_path) == cpu()
    for tid, stat in ((1, ""), (2, "2 (CPU 0/KVM) S 1"), (3, ") S ("), (4, "4 (CPU 0/KVM) S x")):
        add(tmp_path, tid, "", (1, 1, 0))
        (tmp_path / str(PID) / "task" / str(tid) / "stat").write_text(stat)
    (tmp_path / str(PID) / "task" / "5").mkdir()
    assert attached(tmp_path) == cpu()


def test_a_vcpu_that_libvirt_does_not_list(tmp_path: Path) -> None:
    """Its guest time is the domain's all the same."""
    add(tmp_path, 21821, "CPU 0/KVM", (20, 0, 20))
    add(tmp_path, 21822, "CPU 5/KVM", (30, 0, 30))
    found = attached(tmp_path, 1)
    assert (len(found.vcpus), found.guest_ns) == (1, 50 * TICK_NS)


def test_a_real_thread() -> None:
    """Its user and system time are what it measures itself, but for a tick each."""
    ready, checked = threading.Event(), threading.Event()
    spent_ns = 0

    def work() -> None:
        nonlocal spent_ns
        own = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        own.write_text("CPU 1/TCG")
        while time.thread_time_ns() < 5 * TICK_NS:
            own.read_text()
        spent_ns = time.thread_time_ns()
        ready.set()
        checked.wait()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        ready.wait()
        first, second = threads.attach(cpu(), os.getpid()).vcpus
    finally:
        checked.set()
        thread.join()
    assert first.thread_id is None
    assert second.thread_id == thread.native_id
    assert second.guest_ns is None
    assert second.user_ns is not None
    assert second.system_ns is not None
    assert spent_ns - 2 * TICK_NS <= second.user_ns + second.system_ns <= spent_ns + 2 * TICK_NS
