# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost of the BPF programs by the kernel's statistics, which are on in short windows only."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.bpf_host import needs_returns
from tests.support.bpf_process import Traced, guest
from tests.support.bridge_process import HANG_S

pytestmark = needs_returns


def has_statistics_on(pid: int) -> bool:
    """Return whether the process has the kernel count run times, for all programs of the host."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "bpf-stats" in os.readlink(entry):
                return True
    return False


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Looks often: a window is a tenth of a second."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_programs_cost_is_told_and_windows_end(traced: Traced) -> None:
    """The cost is told while a guest runs; nobody pays for the statistics after the window."""
    pid = traced.bridge.process.pid
    with guest("--turns", "0", "--kinds", "pio"):
        assert not has_statistics_on(pid)
        traced.switch.switch(on=True)
        wait_for(lambda: traced.status()["budget"]["probes_percent"] > 0, "a cost")
        wait_for(lambda: not has_statistics_on(pid), "the end of the window")
        told = traced.status()
        assert told["budget"]["since_on"]["probe_ns"] > 0
        assert told["budget"]["since_on"]["exits"] > 0
        assert len(told["source"]["notes"]) == 2  # no trouble
        traced.switch.switch(on=False)
        assert traced.status()["budget"]["probes_percent"] == 0


def test_off_ends_a_window(traced: Traced) -> None:
    """Tracing that is over at once leaves no statistics on behind it."""
    pid = traced.bridge.process.pid
    for _ in range(5):
        traced.switch.switch(on=True)
        traced.switch.switch(on=False)
        assert not has_statistics_on(pid)
