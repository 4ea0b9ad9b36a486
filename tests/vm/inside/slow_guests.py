# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are slow for a known reason: a device, the lack of a CPU, idling, a pause."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.vm.inside import host
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import HANG_S, until
from tests.vm.inside.qemu import QemuGuest, qemu_guest

# The CPU that the starved guest has to share.
STARVED_ON = 1


class SlowGuest:
    """A test guest under way."""

    def __init__(self, process: subprocess.Popen[str], turns: int) -> None:
        self._process = process
        self._turns = turns

    @property
    def pid(self) -> int:
        return self._process.pid

    def vcpu_tids(self) -> tuple[int, ...]:
        """Threads of its vCPUs, in order of creation.

        Not the first, which only waits for them; nor KVM's own, kvm-nx-lpage-recovery, which
        newer kernels (6.12 has it) make a thread of the process: it has another name.
        """
        tasks = Path(f"/proc/{self.pid}/task")

        def others() -> list[int]:
            first = (tasks / str(self.pid) / "comm").read_text()
            named = [int(e.name) for e in tasks.iterdir() if (e / "comm").read_text() == first]
            return sorted(tid for tid in named if tid != self.pid)

        until(lambda: bool(others()), f"a vCPU of {self.pid}")
        return tuple(others())

    def finish(self) -> dict[str, Any]:
        """Waits until all turns are done; the guest's report. The process is still there."""
        assert self._turns, "it has turns for ever"
        assert self._process.stdout is not None
        report: dict[str, Any] = json.loads(self._process.stdout.readline())
        return report


@contextlib.contextmanager
def _guest(turns: int, *options: str, before: Sequence[str] = ()) -> Iterator[SlowGuest]:
    """turns: of each vCPU, after which it stays in its last exit; 0: until the end."""
    hold = ["--hold"] if turns else []
    process = host.start_guest("--turns", str(turns), *options, *hold, before=before)
    try:
        yield SlowGuest(process, turns)
        process.terminate()
        process.communicate(timeout=HANG_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def slow_device(turns: int = 0, pause_ms: int = 20) -> Iterator[SlowGuest]:
    """Each turn is one OUT, answered by a device in user space that sleeps for so long."""
    with _guest(turns, "--kinds", "pio", "--pause-ms", str(pause_ms)) as slow_guest:
        yield slow_guest


@contextlib.contextmanager
def starved(turns: int = 0, hogs: int = 2) -> Iterator[SlowGuest]:
    """It wants its CPU all the time (turns of one CPUID), and shares it with so many like it."""
    assert STARVED_ON in os.sched_getaffinity(0), f"the VM needs CPU {STARVED_ON}"
    pinned = ("taskset", "-c", str(STARVED_ON))
    with contextlib.ExitStack() as ending:
        for _ in range(hogs):
            hog = subprocess.Popen([*pinned, "/bin/sh", "-c", "while :; do :; done"])
            ending.callback(hog.wait)
            ending.callback(hog.kill)
        yield ending.enter_context(_guest(turns, "--kinds", "cpuid", before=pinned))


@contextlib.contextmanager
def halting(turns: int = 0, halt_us: int = 10_000) -> Iterator[SlowGuest]:
    """It idles: each turn is one HLT that its own timer ends, in the kernel."""
    options = ("--kinds", "hlt", "--hlt", "timer", "--halt-us", str(halt_us))
    with _guest(turns, *options) as slow_guest:
        yield slow_guest


@contextlib.contextmanager
def paused(name: str = "paused", pause_s: float = 1.0) -> Iterator[QemuGuest]:
    """A QEMU guest (turns of one CPUID) that ran, was stopped for so long, and runs again."""
    with qemu_guest(name, Orders("cpuid")) as guest:
        _wait_for_turns(guest)
        pause(guest, pause_s)
        _wait_for_turns(guest)
        yield guest


def pause(guest: QemuGuest, pause_s: float = 1.0) -> None:
    """Stops a guest for at least so long."""
    guest.stop()
    time.sleep(pause_s)
    guest.cont()


def _wait_for_turns(guest: QemuGuest) -> None:
    before = guest.done()
    until(lambda: guest.done() != before, f"a turn of {guest.name}")
