# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's limits, as honest as a host can be.

openstack/nova 00a03040, doc/api_samples/limits/v2.57/limit-get-resp.json.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvmlog.config.owner_limits import OwnerLimits
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Snapshot
from kvmlog.vmstats.views import limits
from kvmlog.vmstats.views.limits import Rules
from tests.support import vmstats_samples as examples
from tests.support.schemas import validate
from tests.support.vmstats_samples import NOW, at, host, snapshot

SHOP = examples.instance().project_id
# The names of Nova's sample that a host can know.
KNOWN = {
    "maxTotalCores",
    "maxTotalInstances",
    "maxTotalRAMSize",
    "totalCoresUsed",
    "totalInstancesUsed",
    "totalRAMUsed",
}


def found(
    whole: Snapshot | None = None,
    project: str | None = SHOP,
    rules: Rules | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The limits of a project."""
    document = limits.document(whole or snapshot(), project, rules or Rules(**more), NOW)
    validate(document, "limits")
    return document


def test_configured_limits_and_what_is_used() -> None:
    """All that Nova's sample has and a host can know, whose it is, and where it comes from."""
    document = found(rules=Rules({str(SHOP): OwnerLimits(20, 51200, 10)}))
    assert document["absolute"].keys() == KNOWN
    assert document == {
        "absolute": {
            "maxTotalCores": 20,
            "maxTotalRAMSize": 51200,
            "maxTotalInstances": 10,
            "totalCoresUsed": 2,
            "totalRAMUsed": 4096,
            "totalInstancesUsed": 1,
        },
        "rate": [],
        "scope": "host",
        "project_id": SHOP,
        "source": "configured",
        # Whose db1 is, nobody knows.
        "complete": False,
    }


def test_limits_of_any_other_owner() -> None:
    """Those of "*", where an owner has none of its own; not those that an owner does not have."""
    rules = Rules({"*": OwnerLimits(cores=4), str(SHOP): OwnerLimits(instances=3)})
    other = found(project="other", rules=rules)
    assert other["absolute"] == {
        "maxTotalCores": 4,
        "totalCoresUsed": 0,
        "totalRAMUsed": 0,
        "totalInstancesUsed": 0,
    }
    shop = found(rules=rules)["absolute"]
    assert (shop["maxTotalInstances"], "maxTotalCores" in shop) == (3, False)


def test_capacity_times_ratio_less_what_is_reserved() -> None:
    """8 CPUs and 64 GiB make a limit for all together, which says so."""
    document = found(cpu_ratio=4.0, ram_ratio=1.5, reserved_cpus=2, reserved_ram_mib=512)
    assert document["source"] == "host capacity × ratio − reserved"
    assert document["absolute"]["maxTotalCores"] == 8 * 4 - 2
    assert document["absolute"]["maxTotalRAMSize"] == 65536 * 3 // 2 - 512
    assert "maxTotalInstances" not in document["absolute"]


@pytest.mark.parametrize(
    ("hosts", "ratio"), [((host(),), 0.0), ((), 4.0)], ids=["no ratio", "no host yet"]
)
def test_without_any_there_is_none(hosts: tuple[Host, ...], ratio: float) -> None:
    """Absent, never -1: what a tenant's quota is, is not known here."""
    document = found(snapshot(examples.vm(), hosts=hosts), cpu_ratio=ratio)
    assert document["source"] == "none"
    assert document["absolute"] == {
        "totalCoresUsed": 2,
        "totalRAMUsed": 4096,
        "totalInstancesUsed": 1,
    }


def test_all_vms_together_without_a_project() -> None:
    """No owner's limits hold for them."""
    document = found(project=None, rules=Rules({"*": OwnerLimits(cores=4)}, cpu_ratio=1.0))
    assert (document["project_id"], document["source"]) == (
        None,
        "host capacity × ratio − reserved",
    )
    assert document["absolute"]["totalInstancesUsed"] == 2
    assert document["complete"]


def test_complete_is_said_of_what_is_all_there() -> None:
    """Every connection answers, in time, and each VM has an owner."""
    owned = snapshot(examples.vm())
    assert found(owned)["complete"]
    late = replace(owned, collector=replace(owned.collector, written=at(900)))
    assert not found(late)["complete"]
    broken = examples.connection(connected=False, error="refused")
    silent = replace(owned, collector=replace(owned.collector, connections=(broken,)))
    assert not found(silent)["complete"]


def test_a_vm_that_migrates_counts_once() -> None:
    """It is known at both ends."""
    both = snapshot(examples.vm(), examples.vm(uri="qemu+tls://kvm2/system"))
    assert found(both)["absolute"]["totalInstancesUsed"] == 1
