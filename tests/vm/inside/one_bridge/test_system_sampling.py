# SPDX-License-Identifier: GPL-2.0-or-later
"""Sampling and the cap of the switch, asked for over RPC, with real exits of both sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvmlog.client import Client
from kvmlog.control.sampling import Sampling
from kvmlog.ring.records import Record, SwitchRecord
from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query
from tests.vm.inside import host
from tests.vm.inside.processes import HANG_S, Bridge, Rpc, check_sum, load, until


@pytest.fixture
def remote(bridge: Bridge, rpc: Rpc) -> Iterator[Client]:
    """The typed client of the RPC server beside the bridge."""
    with Client(rpc.says(r"serving (http://\S+) from ring")[1], timeout_s=HANG_S) as client:
        yield client


def account(remote: Client) -> dict[str, int]:
    """The ring's counters."""
    ring = remote.status().ring
    assert ring is not None
    return ring.counters


def test_one_in_ten_is_recorded_and_the_rest_is_accounted_for(remote: Client) -> None:
    """One exit in ten is recorded, on average and by chance.

    The others are `sampled`, nothing is lost.
    """
    before = account(remote)
    remote.switch(True, sampling=Sampling(one_in=10))
    first = remote.status().ring
    assert first is not None
    host.guest("--turns", "1000", "--kinds", "cpuid,pio")
    remote.switch(False)
    after = account(remote)
    came = {name: after[name] - before[name] for name in after}
    check_sum(came)
    assert came["seen"] > 2_000
    assert came["dropped"] == 0
    # Six standard deviations of 2,000 draws are 80.
    assert abs(came["emitted"] - came["seen"] / 10) < 100
    page = remote.records(65_536, (first.ring_id, first.head))
    exits = [one for one in page.decoded() if isinstance(one, Record)]
    assert len(exits) == came["emitted"]
    switches = [one for one in page.decoded() if isinstance(one, SwitchRecord)]
    assert [(one.on, one.one_in) for one in switches if one.on] in ([], [(1, 10)])
    report, _ = remote.statistics(Query(By.REASON), fresh=True)
    assert sum(line.row.count for line in report.lines + report.halts) >= came["emitted"]


def test_a_cap_raises_one_in_and_lowers_it_again(bridge: Bridge, remote: Client) -> None:
    """The cap raises one_in while a guest exits far more often than it allows.

    Lowers it after that.
    """
    asked = remote.switch(True, sampling=Sampling(max_per_s=50))
    assert asked.sampling.max_per_s == 50

    def now() -> int:
        status = remote.status().bridge
        assert status is not None
        return int(status["sampling"]["one_in_now"])

    assert now() == 1
    with load("--kinds", "cpuid,pio"):
        until(lambda: now() >= 8, "a raised one_in")
    high = now()
    until(lambda: now() < high, "a lowered one_in")
    check_sum(account(remote))
    remote.switch(False)
    assert "one exit in " in bridge.log()
