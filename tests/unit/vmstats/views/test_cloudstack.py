# SPDX-License-Identifier: GPL-2.0-or-later
"""CloudStack's VmStatsEntry, field by field, and what each caller is told.

apache/cloudstack e6b43860, core/src/main/java/com/cloud/agent/api/VmStatsEntryBase.java; how the
agent fills it: LibvirtComputingResource.getVmStat.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import cloudstack
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import NOW, WEB1, at

SIZES = {
    "entityType": "vm",
    "vmId": None,
    "vmUuid": WEB1,
    "numCPUs": 2,
    "memoryKBs": 4096 * 1024,
    "targetMemoryKBs": 3072 * 1024,
    "intFreeMemoryKBs": 900 * 1024,
}
NOTHING = {
    "networkReadKBs": 0,
    "networkWriteKBs": 0,
    "diskReadKBs": 0,
    "diskWriteKBs": 0,
    "diskReadIOs": 0,
    "diskWriteIOs": 0,
}


def grown(vm: Vm, seconds: float, **accumulated: Any) -> Vm:
    """The VM so much later, with other sums."""
    return replace(
        vm,
        sample=replace(vm.sample, taken=at(1000 + seconds)),
        accumulated=replace(vm.accumulated, **accumulated),
    )


LATER = grown(
    examples.vm(),
    60,
    cpu_time_ns=200_000_000_000 + 30_000_000_000,
    rx_bytes=4_096_000 + 1024,
    tx_bytes=307_200 + 2048,
    read_bytes=30_720_000 + 3072,
    read_requests=3_024 + 4,
    write_bytes=92_160_000 + 5120,
    write_requests=11_030 + 6,
)


def test_the_first_poll_tells_no_growth() -> None:
    """The CPU's use is known all the same: that of the last interval."""
    entries, _ = cloudstack.deltas([examples.vm()], {}, NOW)
    assert entries == {"web1": {**SIZES, **NOTHING, "cpuUtilization": 45.0}}


def test_the_second_poll_tells_the_growth_since() -> None:
    """30 s of CPU time in 60 s of two virtual CPUs are a quarter."""
    _, cursor = cloudstack.deltas([examples.vm()], {}, NOW)
    entries, _ = cloudstack.deltas([LATER], cursor, at(1064))
    assert entries["web1"] == {
        **SIZES,
        "cpuUtilization": 25.0,
        "networkReadKBs": 1.0,
        "networkWriteKBs": 2.0,
        "diskReadKBs": 3.0,
        "diskWriteKBs": 5.0,
        "diskReadIOs": 4,
        "diskWriteIOs": 6,
    }


def test_two_callers_take_nothing_from_each_other() -> None:
    """Each has its cursor; asking twice within an interval tells no growth, and the latest CPU."""
    _, one = cloudstack.deltas([examples.vm()], {}, NOW)
    _, other = cloudstack.deltas([examples.vm()], {}, NOW)
    first, one = cloudstack.deltas([LATER], one, at(1064))
    again, one = cloudstack.deltas([LATER], one, at(1065))
    second, other = cloudstack.deltas([LATER], other, at(1066))
    assert first == second
    assert again["web1"] == {**SIZES, **NOTHING, "cpuUtilization": 45.0}


def test_a_collector_that_began_anew_loses_and_repeats_nothing() -> None:
    """All that it has counted is growth since the poll before; a smaller sum is no growth."""
    _, cursor = cloudstack.deltas([LATER], {}, at(1064))
    anew = grown(examples.vm(), 120, since=at(1100), rx_bytes=7 * 1024, tx_bytes=0)
    entries, cursor = cloudstack.deltas([anew], cursor, at(1124))
    assert (entries["web1"]["networkReadKBs"], entries["web1"]["networkWriteKBs"]) == (7.0, 0)
    shrunk = grown(anew, 130, rx_bytes=1)
    entries, _ = cloudstack.deltas([shrunk], cursor, at(1130))
    assert entries["web1"]["networkReadKBs"] == 0


def test_a_vm_that_cannot_be_read_is_left_out() -> None:
    """Off or hung: what it grew by is told once it answers. One that is gone is forgotten."""
    _, cursor = cloudstack.deltas([examples.vm()], {}, NOW)
    hung = examples.hung_vm()
    entries, cursor = cloudstack.deltas([hung, examples.off_vm()], cursor, NOW)
    assert entries == {}
    entries, _ = cloudstack.deltas([LATER], cursor, at(1064))
    assert entries["web1"]["networkReadKBs"] == 1.0
    _, cursor = cloudstack.deltas([], cursor, NOW)
    assert cursor == {}
    assert cloudstack.accumulated([hung, examples.off_vm()], NOW) == {}


def test_accumulated() -> None:
    """The same entry with the sums since the collector first saw the VM."""
    assert cloudstack.accumulated([examples.vm()], NOW) == {
        "web1": {
            **SIZES,
            "cpuUtilization": 45.0,
            "networkReadKBs": 4000.0,
            "networkWriteKBs": 300.0,
            "diskReadKBs": 30000.0,
            "diskWriteKBs": 90000.0,
            "diskReadIOs": 3024,
            "diskWriteIOs": 11030,
            "since": "2026-11-20T19:47:42.000000+00:00",
        }
    }


def test_what_is_unknown() -> None:
    """-1 for the guest's free memory, which is CloudStack's own word; null for all other."""
    vm = replace(examples.vm(cpu=None, memory=None, blocks=None, interfaces=None), rates=None)
    entries, _ = cloudstack.deltas([vm], {}, NOW)
    entry = entries["web1"]
    assert entry.pop("intFreeMemoryKBs") == -1
    assert {name for name, value in entry.items() if value is None} == {
        *("vmId", "cpuUtilization"),
        *NOTHING,
    }


def test_a_paused_vm_and_equal_names() -> None:
    """It can be read; names that two hosts have are keyed by UUID, so that none is lost."""
    other = "11111111-2222-4333-8444-555555555555"
    vms = [examples.vm(state=State.PAUSED), examples.vm(uuid=other, uri="qemu+tls://b/system")]
    entries, cursor = cloudstack.deltas(vms, {}, NOW)
    assert set(entries) == {WEB1, other}
    assert {uuid for _, uuid in cursor} == {WEB1, other}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("state", [State.PAUSED, State.SHUTOFF])
def test_a_vm_that_two_hosts_know(order: int, state: State) -> None:
    """One that migrates, or stayed defined where it was: the other end's sums are not mixed in."""
    end = examples.vm(uri="qemu+tls://b/system", state=state, domain_id=1)
    end = grown(end, 0, since=at(990), rx_bytes=1 << 30)
    _, cursor = cloudstack.deltas([examples.vm(), end][::order], {}, NOW)
    for growth in (1.0, 0.0):
        entries, cursor = cloudstack.deltas([LATER, end][::order], cursor, at(1064))
        assert {name: entry["networkReadKBs"] for name, entry in entries.items()} == {
            "web1": growth
        }
