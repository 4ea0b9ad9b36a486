# SPDX-License-Identifier: GPL-2.0-or-later
"""The test guest on a real kvm_amd: what it says it did is what the kernel counted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.vm.inside import host

# arch/x86/include/uapi/asm/svm.h
SVM = {"cpuid": 0x72, "hlt": 0x78, "io": 0x7B, "msr": 0x7C, "npf": 0x400}
TURNS = 211


def run_guest(*options: str) -> dict[str, dict[str, int]]:
    """The guest's report."""
    done = subprocess.run(
        [host.GUEST, "--json", *options], capture_output=True, text=True, check=True, timeout=120
    )
    report: dict[str, dict[str, int]] = json.loads(done.stdout)
    return report


def test_every_kind_is_done_as_often_as_asked(histogram: host.Histogram) -> None:
    """Two vCPUs, all kinds, halts ended by user space."""
    report = run_guest("--turns", str(TURNS), "--vcpus", "2", "--kinds", "cpuid,pio,mmio,hlt,msr")

    kinds = ("cpuid", "pio", "mmio", "hlt", "rdmsr", "wrmsr")
    assert report["done"] == dict.fromkeys(kinds, 2 * TURNS)
    counts = histogram.counts()
    assert counts[SVM["cpuid"]] == 2 * TURNS
    assert counts[SVM["hlt"]] == 2 * TURNS
    assert counts[SVM["io"]] == 2 * (TURNS + 1)
    assert counts[SVM["msr"]] == 4 * TURNS
    assert report["user_exits"] == {
        "KVM_EXIT_IO": 2 * (TURNS + 1),
        "KVM_EXIT_MMIO": 2 * TURNS,
        "KVM_EXIT_HLT": 2 * TURNS,
    }


def test_no_two_cpus_make_the_same_row_of_the_kernels_count(histogram: host.Histogram) -> None:
    """Each has rows of its own, and their sum is the count: see host._Trigger."""
    for cpu in (0, 1):
        host.run("taskset", "-c", str(cpu), str(host.GUEST), "--turns", str(TURNS))
    rows = histogram.rows("common_cpu", "exit_reason")
    cpuid = {cpu: count for (cpu, reason), count in rows.items() if reason == SVM["cpuid"]}
    assert cpuid == {0: TURNS, 1: TURNS}
    assert histogram.counts()[SVM["cpuid"]] == 2 * TURNS


def test_a_halt_ended_by_the_guests_timer_stays_in_the_kernel(histogram: host.Histogram) -> None:
    """No KVM_EXIT_HLT, and still one hlt exit each turn."""
    report = run_guest("--turns", str(TURNS), "--kinds", "hlt", "--hlt", "timer")

    assert report["done"] == {"hlt": TURNS}
    assert report["user_exits"] == {"KVM_EXIT_IO": 1}
    assert histogram.counts()[SVM["hlt"]] == TURNS


def test_a_held_guest_stays_in_its_last_exit() -> None:
    """It reports, then waits until its stdin closes."""
    with subprocess.Popen(
        [host.GUEST, "--json", "--turns", "3", "--hold", "--name", "held"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as guest:
        assert guest.stdin is not None
        assert guest.stdout is not None
        report = json.loads(guest.stdout.readline())
        assert report["finished"] == 1
        assert Path(f"/proc/{guest.pid}/comm").read_text() == "held\n"
        assert guest.poll() is None
        guest.stdin.close()
        assert guest.wait(timeout=60) == 0


def test_an_endless_guest_ends_at_sigterm() -> None:
    """An endless guest ends at SIGTERM with its report, and status 0."""
    with subprocess.Popen(
        [host.GUEST, "--json", "--turns", "0", "--pause-ms", "20"],
        stdout=subprocess.PIPE,
        text=True,
    ) as guest:
        with pytest.raises(subprocess.TimeoutExpired):
            guest.wait(timeout=1)
        guest.terminate()
        output, _ = guest.communicate(timeout=60)
        assert guest.returncode == 0
        assert json.loads(output)["finished"] == 0
