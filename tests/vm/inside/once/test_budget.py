# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracing tells what it costs, and ends itself above its budget, with both sources.

How near the figures are to the truth is measured by `make bench` (docs/support-matrix.md).
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.native import lib
from kvmlog.util.errors import BudgetError
from tests.vm.inside import conftest, ring_bytes, sources
from tests.vm.inside.processes import Bridge, Rpc, ended, folder, kvmlog, load, probes, until

# Enough for several looks.
EXITS = 30_000
# As many are enough for a median.
SOME = 10_000
# Of the time from an exit to the next of a vCPU that does nothing else, as found in emulation.
PROBES_SHARE = {sources.KMOD: 0.06, sources.BPF: 0.2}

# So little that tracing any guest takes more.
TINY_PERCENT = 0.001


class Limited:
    """A bridge whose budget is changed while it runs."""

    def __init__(self, place: Path, source: str) -> None:
        self._config = place.with_name("kvmlog.toml")
        self._write(0)
        # Half a minute of exits at full rate, none overwritten.
        options = ("--slots", str(1 << 20), "--source", source, "--config", str(self._config))
        self.bridge = Bridge(place, *options)

    def limit(self, percent: float) -> None:
        """Set the limit from now on."""
        self._write(percent)
        self.bridge.process.send_signal(signal.SIGHUP)
        until(lambda: self.cost()["limit_percent"] == percent, "the new limit")

    def cost(self) -> dict[str, Any]:
        """Return the bridge's account of its cost and budget."""
        told: dict[str, Any] = self.bridge.status()["budget"]
        return told

    def _write(self, percent: float) -> None:
        self._config.write_text(f"[budget]\ncpu_percent = {percent}\n")


@pytest.fixture
def limited(source: str) -> Iterator[Limited]:
    """Yield a bridge without a limit yet, with its module."""
    if source == sources.KMOD:
        conftest.load_module()
    try:
        with folder() as place:
            started = Limited(place, source)
            with ended(started.bridge):
                started.bridge.ready()
                yield started
    finally:
        if source == sources.KMOD:
            conftest.unload_module()


def cpu_ns(pid: int) -> int:
    """CPU time of all threads that a process has now, by the scheduler's own account.

    Documentation/scheduler/sched-stats.rst.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def test_the_figures_are_of_the_right_size(limited: Limited, source: str) -> None:
    """The figures agree with the scheduler's, and with the times of exits.

    A wrong factor of 10 is noticed.

    Nobody asks the bridge anything, so all its time is its own. The probes run in the guest's
    thread, whose CPU time has what this machine's host took away as well, which the bridge leaves
    out: a median does so, too.
    """
    bridge = limited.bridge
    with load():
        assert bridge.client.switch(True) == "ok on"
        begin, bridge_ns = bridge.info().head, cpu_ns(bridge.pid)
        until(lambda: bridge.info().head - begin > EXITS, "exits")
        before = bridge.info().counters
        until(lambda: bridge.info().counters != before, "the next look")
        bridge_ns, head = cpu_ns(bridge.pid) - bridge_ns, bridge.info().head
        told = limited.cost()["since_on"]
        assert bridge.client.switch(False) == "ok off"
    assert bridge_ns / 2 < told["engine_ns"] < 2 * bridge_ns
    exits = [ns for ns, _ in ring_bytes.exits(bridge.records(head - SOME))]
    period_ns = statistics.median(after - ns for ns, after in itertools.pairwise(sorted(exits)))
    share_ns = (head - begin) * period_ns * PROBES_SHARE[source]
    assert share_ns / 3 < told["probe_ns"] < share_ns * 3


def test_too_much_ends_tracing(limited: Limited, source: str) -> None:
    """Its cost is told while a guest exits at full rate; then it is off, with nobody asking.

    Who switched it on is gone by then: the RPC server was killed.
    """
    bridge = limited.bridge
    before, begin = probes(), bridge.info().head
    off = limited.cost()
    assert (off["one_cpu_percent"], off["percent"], off["exit_ns"]) == (0.0, 0.0, None)
    parts = ["probes_percent", "engine_percent"]
    if source == sources.KMOD:
        parts.append("worker_percent")
    rpc = Rpc(bridge)
    with load(), ended(rpc):
        with rpc.client() as kvm:
            assert kvm.kvmLogSwitch("on") == "true"
        assert rpc.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: all(limited.cost()[part] > 0 for part in parts), "the cost of all parts")
        assert limited.cost()["exit_ns"] > 0
        limited.limit(TINY_PERCENT)
        # Nobody asks the bridge from here on: the ring tells.
        until(lambda: not bridge.info().switched_on, "the budget's end")
        assert probes() == before
        causes = ring_bytes.switch_causes(bridge.records(begin))
        assert causes == [(1, lib.KVMLOG_SWITCH_COMMAND), (0, lib.KVMLOG_SWITCH_BUDGET)]

        status = bridge.status()
        assert (status["state"], status["wanted"]) == ("off", "off")
        told = status["budget"]
        assert (told["one_cpu_percent"], told["percent"]) == (0.0, 0.0)
        assert f"% of the CPUs' time (limit {TINY_PERCENT} %)" in told["stopped"]

        refused = kvmlog("switch", "on", "--switch", bridge.switch, status=1)
        assert told["stopped"] in refused.stderr
        assert probes() == before
        again = bridge.info().head
        assert bridge.client.switch(True) == "ok on"
        assert ring_bytes.switch_causes(bridge.records(again))[0] == (1, lib.KVMLOG_SWITCH_COMMAND)
    # Its budget may have ended it once more.
    with contextlib.suppress(BudgetError):
        bridge.client.switch(False)
    assert probes() == before
