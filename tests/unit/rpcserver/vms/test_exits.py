# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of VMs for engines, of real statistics: who they are, counters, rates, losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.ring.statistics.reader import Fold
from kvmlog.rpcserver.methods import exits as methods
from kvmlog.rpcserver.vms.exits import Counted, Earlier, VmExits
from kvmlog.vmstats.file import encode
from kvmlog.vmstats.moment import Moment
from tests.support import vmstats_samples as samples
from tests.support.statistics_feed import Counting, exits, note
from tests.support.traced_vm import IO, MSR, PID, ask, feed, named, traced_vm

# No process has it.
ENDED = 4_000_002


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """The statistics of a host with web1, about which nobody has asked before."""
    monkeypatch.setattr(methods, "_earlier", Earlier())
    with traced_vm(tmp_path) as made:
        yield made


def test_counters(counting: Counting, tmp_path: Path) -> None:
    """Halts apart; the parts sum up to the whole; without a collector names are the bridge's."""
    found = ask(tmp_path)
    (vm,) = found["vms"]
    assert (vm["id"], vm["uuid"], vm["name"], vm["pid"]) == (
        samples.WEB1,
        samples.WEB1,
        "instance-00000001",
        PID,
    )
    assert (vm["exits"], vm["halts"]) == (6, 2)
    assert [(one["name"], one["exits"], one["ns"]) for one in vm["reasons"]] == [
        ("io", 3, 3_000),
        ("msr", 1, 500),
    ]
    assert sum(named(vm["time"], "ns").values()) == 3_000 + 500 + 18_000
    assert named(vm["time"], "ns")["vmm"] == 1_200
    assert "project_id" not in vm
    assert "rate" not in vm
    (host,) = found["hosts"]
    assert host["exits"] == 6
    assert named(host["losses"], "count") == dict.fromkeys(
        ("unplaced", "dropped", "records", "messages"), 0
    )


def test_who_a_vm_is(counting: Counting, tmp_path: Path) -> None:
    """libvirt's name, and the owner of Nova's metadata, by process or UUID."""
    vm = samples.vm(pid=PID)
    made = replace(
        samples.snapshot(vm), collector=replace(samples.collector(), written=Moment.now())
    )
    (tmp_path / "vms").write_bytes(encode(made))
    (found,) = ask(tmp_path)["vms"]
    instance = vm.sample.definition.instance
    assert instance is not None
    assert (found["name"], found["display_name"]) == (vm.sample.name, instance.name)
    assert (found["project_id"], found["user_id"]) == (instance.project_id, instance.user_id)


def test_one_that_has_ended_is_not_told(counting: Counting, tmp_path: Path) -> None:
    """Its counters go with it; the host's stay."""
    counting.feed(note(2, ENDED))
    counting.feed(exits(5, guest=2, reason=IO, exit_ns=10**9, total_ns=10))
    counting.writer.flush()
    found = ask(tmp_path)
    assert [vm["pid"] for vm in found["vms"]] == [PID]
    assert found["hosts"][0]["exits"] == 11


def moment(seconds: float, **more: int) -> Counted:
    """The count of one VM at a time."""
    fold = Fold("one", more.get("since_ns", 0), round(seconds * 1e9))
    return Counted(fold, {(PID, 1): VmExits()})


def test_what_rates_compare_with() -> None:
    """The newest count of at least ten seconds ago; none too old, or of other statistics."""
    earlier = Earlier()
    first = moment(0)
    assert earlier.before(first) is None
    assert earlier.before(moment(9.9)) is None
    assert earlier.before(moment(10)) is first
    later = [moment(15 * step) for step in range(1, 8)]
    for before, now in zip([first, *later], later, strict=False):
        assert earlier.before(now) is before or now is later[0]
    assert earlier.before(moment(1_000)) is None
    assert earlier.before(moment(1_010, since_ns=5)) is None
    assert earlier.before(moment(1_020, since_ns=5)) is not None


def test_rates(counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has grown since then, and which reason took most of it."""
    ask(tmp_path)
    feed(counting, MSR, 50, total_ns=2_000)
    feed(counting, IO, 50, total_ns=1_000)
    # No copy of before, and rates of however short a time.
    monkeypatch.setattr("kvmlog.rpcserver.methods.shared_snapshot._LEAST_NS", 0)
    monkeypatch.setattr("kvmlog.rpcserver.vms.exits._LEAST_NS", 1)
    (vm,) = ask(tmp_path)["vms"]
    rate = vm["rate"]
    assert rate["exits_per_s"] == pytest.approx(100 / rate["over_s"])
    assert named(rate["time"], "percent")["kvm"] == pytest.approx(
        100 * 150_000 / (rate["over_s"] * 1e9)
    )
    assert (rate["largest_reason"], rate["largest_share"]) == ("msr", pytest.approx(2 / 3))
