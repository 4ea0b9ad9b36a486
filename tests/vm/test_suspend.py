# SPDX-License-Identifier: GPL-2.0-or-later
"""Host suspend while tracing is on: survived, and marked in the stream.

For each kernel one VM sleeps while guests run in it and all their exits are received: by turns as
the kernel's own test of suspend (pm_test=core), and for real (ACPI S3); once each, 20 times in all
in `make soak`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kvmlog.native import lib
from scripts.vm.kernels import SERIES
from tests.support.scale import SLEEPS
from tests.vm.diskless.machine import run_diskless

SCENARIO = Path(__file__).parent / "diskless" / "suspend.sh"
SLEEP_S = 3  # each time
WAYS = ["core", "deep"] * SLEEPS
KERNELS = os.environ.get("KVMLOG_KERNELS", " ".join(SERIES)).split()

Line = dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """Output of the receiver in the VM, and of the kernel there."""

    lines: list[Line]
    kernel_count: int  # exits by the hist trigger on kvm:kvm_exit
    asleep_s: tuple[float, ...]  # how long QEMU had the machine in S3
    total_s: float  # of the whole run

    def of(self, kind: str, **wanted: object) -> list[Line]:
        """The lines of one kind that have these values, in order of arrival."""
        wanted["line"] = kind
        return [line for line in self.lines if wanted.items() <= line.items()]

    @property
    def marks(self) -> list[Line]:
        return self.of("clock", event=lib.KVMLOG_CLOCK_SUSPEND)


@pytest.fixture(scope="module", params=KERNELS)
def stream(request: pytest.FixtureRequest) -> Stream:
    """One run; it fails when the VM hangs or its kernel complains, with the console shown."""
    result = run_diskless(
        request.param,
        SCENARIO,
        config={"VM_CORE_S": str(SLEEP_S), "VM_SLEEPS": str(SLEEPS)},
        sleep_s=SLEEP_S,
        timeout_s=60 + 30 * len(WAYS) / 2,
        name=f"suspend-{request.param}",
    )
    text = result.vm.stdout
    assert result.vm.exit_code == 0, text
    return Stream(
        lines=[json.loads(line) for line in text.splitlines() if line.startswith('{"')],
        kernel_count=sum(int(n) for n in re.findall(r"hitcount:\s*(\d+)", text)),
        asleep_s=result.slept_s,
        total_s=result.vm.total_s,
    )


def test_the_machine_sleeps_and_comes_back(stream: Stream) -> None:
    """Both ways; for the real one QEMU is the witness."""
    assert stream.of("slept") == [{"line": "slept", "how": how, "status": 0} for how in WAYS]
    assert len(stream.asleep_s) == SLEEPS
    assert min(stream.asleep_s) >= SLEEP_S


def test_each_sleep_is_marked_with_its_length(stream: Stream) -> None:
    """One CLOCK record each, and no step of the wall clock beside it.

    The kernel takes the length from the RTC, which counts seconds, so up to two may be missing;
    and a sleep lasts until the machine is awake again, however slowly it is emulated.
    """
    clocks = stream.of("clock")
    assert [clock["event"] for clock in clocks] == [
        lib.KVMLOG_CLOCK_ANCHOR,
        *[lib.KVMLOG_CLOCK_SUSPEND] * len(WAYS),
    ]
    for mark in stream.marks:
        assert (SLEEP_S - 2) * 1e9 <= mark["delta_ns"] <= stream.total_s * 1e9


def test_the_marks_are_all_that_monotonic_time_has_missed(stream: Stream) -> None:
    """The marks agree to the nanosecond with the records.

    With the clocks as user space reads them.
    """
    before, *marks = stream.of("clock")
    for mark in marks:
        for clock in ("realtime_ns", "boottime_ns"):
            moved_ns = (mark[clock] - mark["ns"]) - (before[clock] - before["ns"])
            assert moved_ns == mark["delta_ns"], clock
        before = mark

    (begin,), (end,) = stream.of("offset", moment="on"), stream.of("offset", moment="before off")
    slept_ns = sum(mark["delta_ns"] for mark in marks)
    assert end["lowest_ns"] - begin["highest_ns"] <= slept_ns
    assert slept_ns <= end["highest_ns"] - begin["lowest_ns"]


def test_cpus_that_are_unplugged_for_it_are_marked(stream: Stream) -> None:
    """CPU 1 goes before each sleep and comes after it."""
    changes = sorted(stream.of("cpu"), key=lambda change: int(change["ns"]))
    assert [(change["cpu"], change["online"]) for change in changes] == [(1, 0), (1, 1)] * len(WAYS)
    for mark, offline, online in zip(stream.marks, changes[::2], changes[1::2], strict=True):
        # The mark comes with the first flush after it, whether CPU 1 is back by then or not.
        assert offline["ns"] < mark["ns"]
        assert offline["ns"] < online["ns"]


def test_tracing_goes_on(stream: Stream) -> None:
    """It is still on at the end, and exits came from both CPUs after each sleep."""
    (status,) = stream.of("status", moment="before off")
    assert (status["on"], status["attached"]) == (1, 1)
    switches = stream.of("switch")
    assert [(s["on"], s["cause"]) for s in switches] == [
        (1, lib.KVMLOG_SWITCH_COMMAND),
        (0, lib.KVMLOG_SWITCH_COMMAND),
    ]
    (total,) = stream.of("sum")
    counts = [0, *(mark["exits"] for mark in stream.marks), total["exits"]]
    assert counts == sorted(set(counts))
    assert [cpu["cpu"] for cpu in stream.of("cpu sum")] == [0, 1]
    for cpu in stream.of("cpu sum"):
        assert cpu["last_exit_ns"] > stream.marks[-1]["ns"]


def test_no_exit_is_lost(stream: Stream) -> None:
    """The sum holds, and equals what arrived and the kernel's own count."""
    (status,) = stream.of("status", moment="off")
    assert status["seen"] == status["emitted"] == stream.kernel_count
    for gone in ("filtered", "sampled", "dropped", "pending"):
        assert status[gone] == 0
    (total,) = stream.of("sum")
    assert total["exits"] == status["emitted"]
    notes = [line for kind in ("clock", "switch", "cpu", "guest") for line in stream.of(kind)]
    assert len(notes) == status["notes"]
    assert all(cpu["dropped"] == 0 for cpu in stream.of("cpu sum"))
