# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests and tools that other tests compare with are what they say they are."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from kvmlog.exits.reasons import svm
from tests.vm.inside import host, libvirt, perf, slow_guests
from tests.vm.inside.payload import KINDS, Orders
from tests.vm.inside.processes import until
from tests.vm.inside.qemu import qemu_guest

CODES: Final = {name: code for code, name in svm.NAMES.items()}
CPUID, HLT, IO, MSR = (CODES[name] for name in ("cpuid", "hlt", "io", "msr"))
UUID: Final = "5d5a2c4e-3d6c-4f3c-9f4f-0d9d5c7d2f10"
TURNS: Final = 53
# Long enough for a running guest to make hundreds of exits.
QUIET_S: Final = 0.5


def wait_for(threads: host.ThreadHistogram, tids: tuple[int, ...], reason: int, over: int) -> None:
    """Wait until these threads together made more exits than that for the reason."""
    until(lambda: threads.of(*tids)[reason] > over, f"more than {over} exits of {tids}")


def arguments(pid: int) -> list[str]:
    """The process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def after(words: list[str], option: str) -> str:
    """The word that follows the option."""
    return words[words.index(option) + 1]


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_a_qemu_guest_makes_the_exits_it_was_told(
    threads: host.ThreadHistogram, machine: str
) -> None:
    """Each vCPU on its thread, to the last one; none before it is let run."""
    orders = Orders(",".join(KINDS), TURNS)
    with qemu_guest("web-1", orders, uuid=UUID, vcpus=2, machine=machine, paused=True) as guest:
        words = arguments(guest.pid)
        assert after(words, "-name") == "guest=web-1,debug-threads=on"
        assert after(words, "-uuid") == UUID
        assert len(set(guest.vcpu_tids) - {guest.pid}) == 2
        assert threads.of(*guest.vcpu_tids) == Counter()
        guest.cont()
        guest.wait_until_parked()
        for vcpu, tid in enumerate(guest.vcpu_tids):
            comm = Path(f"/proc/{guest.pid}/task/{tid}/comm").read_text()
            assert comm == f"CPU {vcpu}/KVM\n"
            assert guest.done(vcpu) == {**dict.fromkeys(KINDS, TURNS), "parked": 1}
            wait_for(threads, (tid,), HLT, TURNS)
            counts = threads.of(tid)
            assert counts[CPUID] == counts[IO] == TURNS
            assert counts[HLT] == TURNS + 1
            assert counts[MSR] == 2 * TURNS + 1


def test_a_stopped_qemu_guest_makes_no_exits(threads: host.ThreadHistogram) -> None:
    """And goes on when it is let; what it says it did is what the kernel counted."""
    with qemu_guest("halted", Orders("cpuid")) as guest:
        (tid,) = guest.vcpu_tids
        wait_for(threads, (tid,), CPUID, 0)
        guest.stop()
        stopped = threads.of(tid)
        # It may have been stopped between an exit and the instruction that counts it.
        assert stopped[CPUID] - guest.done()["cpuid"] in (0, 1)
        time.sleep(QUIET_S)
        assert threads.of(tid) == stopped
        guest.cont()
        wait_for(threads, (tid,), CPUID, stopped[CPUID])


def test_perf_counts_what_the_kernel_counts(threads: host.ThreadHistogram) -> None:
    """Every reason of every exit, but for each vCPU's last, which no entry follows."""
    orders = Orders("cpuid,pio,hlt,rdmsr", 20 * TURNS)
    with (
        qemu_guest("seen", orders, vcpus=2, paused=True) as guest,
        qemu_guest("beside", Orders("cpuid", TURNS), paused=True) as other,
    ):
        with perf.record() as recording:
            for each in (guest, other):
                each.cont()
            for each in (guest, other):
                each.wait_until_parked()
            wait_for(threads, guest.vcpu_tids, HLT, 40 * TURNS + 1)
        expected = threads.of(*guest.vcpu_tids)
        rows = recording.report(guest.pid)
        everybody = recording.report()
    expected[HLT] -= 2
    assert {CODES[name]: row.samples for name, row in rows.items()} == expected
    assert rows["cpuid"].samples == 40 * TURNS
    assert everybody["cpuid"].samples == 41 * TURNS
    assert recording.lost() == 0
    for row in rows.values():
        assert row.min_us <= row.avg_us <= row.max_us


def test_perf_says_when_it_lost_something() -> None:
    """perf reports losses when it cannot run and has buffers of one page."""
    with perf.record(buffer_pages=1) as recording:
        os.kill(recording.pid, signal.SIGSTOP)
        host.guest("--turns", str(10 * TURNS))
        os.kill(recording.pid, signal.SIGCONT)
    assert recording.lost() > 0


@pytest.mark.usefixtures("libvirt_daemon")
def test_a_domain_of_libvirt_runs_stands_still_and_runs(threads: host.ThreadHistogram) -> None:
    """Named on its command line, known to libvirt; suspended, it makes no exits."""
    with libvirt.domain("db-1", Orders("cpuid,pio"), uuid=UUID, vcpus=2, paused=True) as domain:
        assert domain.state() == "paused"
        words = arguments(domain.pid)
        assert after(words, "-name").split(",")[0] == "guest=db-1"
        assert after(words, "-uuid") == UUID
        assert libvirt.virsh("domuuid", "db-1").strip() == UUID
        assert "/machine/qemu-" in Path(f"/proc/{domain.pid}/cgroup").read_text()
        assert len(set(domain.vcpu_tids) - {domain.pid}) == 2
        assert threads.of(*domain.vcpu_tids) == Counter()
        domain.resume()
        assert domain.state() == "running"
        for tid in domain.vcpu_tids:
            wait_for(threads, (tid,), CPUID, 0)
        domain.suspend()
        stopped = threads.of(*domain.vcpu_tids)
        done = sum(domain.done(vcpu)["cpuid"] for vcpu in range(2))
        assert stopped[CPUID] - done in (0, 1, 2)
        time.sleep(QUIET_S)
        assert threads.of(*domain.vcpu_tids) == stopped
        domain.resume()
        wait_for(threads, domain.vcpu_tids, CPUID, stopped[CPUID])
    assert libvirt.virsh("list", "--all").strip() == ""


def test_a_slow_device_returns_to_user_space_each_turn(threads: host.ThreadHistogram) -> None:
    """A slow device causes as many exits as turns, and one that ends it."""
    with slow_guests.slow_device(turns=TURNS, pause_ms=1) as slow_guest:
        (tid,) = slow_guest.vcpu_tids()
        assert slow_guest.finish()["user_exits"] == {"KVM_EXIT_IO": TURNS + 1}
        assert threads.of(tid)[IO] == TURNS + 1


def test_a_starved_guest_is_taken_its_cpu(threads: host.ThreadHistogram) -> None:
    """It never leaves it of its own, and is made to."""
    with slow_guests.starved(turns=20_000) as slow_guest:
        (tid,) = slow_guest.vcpu_tids()
        report = slow_guest.finish()
        assert report["user_exits"] == {"KVM_EXIT_IO": 1}
        assert threads.of(tid)[CPUID] == 20_000
        assert os.sched_getaffinity(tid) == {slow_guests.STARVED_ON}
        status = Path(f"/proc/{slow_guest.pid}/task/{tid}/status").read_text()
        switches = dict(line.split(":\t") for line in status.splitlines() if "ctxt" in line)
        assert int(switches["nonvoluntary_ctxt_switches"]) > 0


def test_a_halting_guest_sleeps_in_the_kernel(threads: host.ThreadHistogram) -> None:
    """One hlt each turn, and no return to user space but the last."""
    with slow_guests.halting(turns=TURNS, halt_us=1000) as slow_guest:
        (tid,) = slow_guest.vcpu_tids()
        assert slow_guest.finish()["user_exits"] == {"KVM_EXIT_IO": 1}
        assert threads.of(tid)[HLT] == TURNS


def test_a_culprit_without_turns_goes_on_until_the_end(threads: host.ThreadHistogram) -> None:
    """And is gone after it."""
    with slow_guests.halting() as slow_guest:
        (tid,) = slow_guest.vcpu_tids()
        wait_for(threads, (tid,), HLT, 1)
    assert not Path(f"/proc/{slow_guest.pid}").exists()


def test_a_paused_guest_ran_before_and_runs_after(threads: host.ThreadHistogram) -> None:
    """QEMU says so, and it makes exits again."""
    with slow_guests.paused(pause_s=QUIET_S) as guest:
        assert guest.qmp.execute("query-status")["status"] == "running"
        assert guest.qmp.events == ["RESUME", "STOP", "RESUME"]
        before = threads.of(*guest.vcpu_tids)[CPUID]
        wait_for(threads, guest.vcpu_tids, CPUID, before)
