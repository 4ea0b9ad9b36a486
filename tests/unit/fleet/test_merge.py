# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of many hosts as one: each hypervisor once, sums, limits that are said to be ours."""

from __future__ import annotations

from typing import Any

import pytest

from kvmlog.config.owner_limits import OwnerLimits
from kvmlog.fleet import merge, servers, targets, tenants
from kvmlog.fleet.hosts import FleetHost
from kvmlog.rpcserver.vms.errors import InvalidRequestError
from kvmlog.rpcserver.vms.past import Page
from kvmlog.vmstats.views.limits import CAPACITY, CONFIGURED, NONE
from tests.support.fleet_hosts import answers
from tests.support.schemas import validate

A, B = FleetHost("a", 50080, False), FleetHost("b", 50080, True, {"rack": "r1"})


def hypervisor(own: str, state: str = "up") -> dict[str, Any]:
    """As much of a hypervisor as merging looks at."""
    return {"id": own, "hypervisor_hostname": f"kvm-{own}", "state": state}


def test_a_hypervisor_that_two_tell_of_counts_once() -> None:
    """The one for which it is up; the sentence names both."""
    told = [
        (A, [hypervisor("1", "down"), hypervisor("2")]),
        (B, [hypervisor("1"), hypervisor("3")]),
    ]
    found, notes = merge.hypervisors(told)
    assert [(one["id"], one["state"]) for one in found] == [("1", "up"), ("2", "up"), ("3", "up")]
    assert notes == ["kvm-1 is told of by a, b; it counts once"]


def usage(start: str, since: str) -> dict[str, Any]:
    """A host's usage of one owner."""
    whole: dict[str, Any] = answers()["projectUsage"]
    tenants = [{**one, "start": start} for one in whole["tenant_usages"]]
    return {**whole, "observed_since": since, "tenant_usages": tenants}


def test_usage_is_summed_for_each_owner() -> None:
    """The period is that of all of them; known is since the last began to look."""
    one, two = usage("2012-10-08", "2012-10-01"), usage("2012-10-07", "2012-10-02")
    whole = merge.usage([one, two])
    (tenant,) = whole["tenant_usages"]
    assert tenant["total_hours"] == 2 * one["tenant_usages"][0]["total_hours"] == 24.0
    assert tenant["start"] == "2012-10-07"
    assert whole["observed_since"] == "2012-10-02"
    assert len(tenant["server_usages"]) == 2
    assert merge.usage([]) == {"observed_since": None, "tenant_usages": [], "next_marker": None}


def test_pages_of_usage_have_the_sums_of_their_servers() -> None:
    """Nova's clients add them up."""
    server = usage("2012-10-08", "x")["tenant_usages"][0]["server_usages"][0]
    many = [{**server, "instance_id": f"vm{number}", "hours": 1.0} for number in range(5)]
    first = {**usage("2012-10-08", "x")["tenant_usages"][0], "server_usages": many}
    whole = {"observed_since": "x", "tenant_usages": [{**first, "total_hours": 5.0}]}
    assert tenants.page(whole, Page(), detailed=False).tenants[0]["total_hours"] == 5.0
    pages = [tenants.page(whole, Page(2), detailed=True)]
    while pages[-1].next_marker is not None:
        pages.append(tenants.page(whole, Page(2, pages[-1].next_marker), detailed=True))
    assert [one.next_marker for one in pages] == ["vm1", "vm3", None]
    assert [one.tenants[0]["total_hours"] for one in pages] == [2.0, 2.0, 1.0]
    assert [one.tenants[0]["total_memory_mb_usage"] for one in pages] == [1024.0, 1024.0, 512.0]
    with pytest.raises(InvalidRequestError, match="marker none not found"):
        tenants.page(whole, Page(2, "none"), detailed=True)


def limits(source: str, cores: int | None = None, complete: bool = True) -> dict[str, Any]:
    """A host's limits."""
    most = {} if cores is None else {"maxTotalCores": cores}
    used = {"totalCoresUsed": 3, "totalRAMUsed": 4096, "totalInstancesUsed": 2}
    return {"absolute": {**most, **used}, "source": source, "complete": complete}


@pytest.mark.parametrize(
    ("told", "project", "source", "most", "complete"),
    [
        ([limits(CONFIGURED, 5)] * 2, "shop", CONFIGURED, 20, True),
        ([limits(CONFIGURED, 5)] * 2, "bank", NONE, None, True),
        ([limits(CAPACITY, 32), limits(CAPACITY, 16)], None, CAPACITY, 48, True),
        ([limits(CAPACITY, 32), limits(NONE)], None, NONE, None, True),
        ([limits(CAPACITY, 32), limits(CAPACITY, 8, False)], None, CAPACITY, 40, False),
        ([], None, NONE, None, False),
    ],
)
def test_limits_are_those_configured_here(
    told: list[dict[str, Any]], project: str | None, source: str, most: int | None, complete: bool
) -> None:
    """What is used is summed; a host's own limit of an owner is no limit of the fleet."""
    owners = {"shop": OwnerLimits(cores=20)}
    found = merge.limits(told, project, owners, complete=bool(told))
    validate(found, "limits")
    assert (found["scope"], found["source"], found["complete"]) == ("fleet", source, complete)
    assert found["absolute"].get("maxTotalCores") == most
    assert found["absolute"]["totalCoresUsed"] == 3 * len(told)


def test_a_vm_is_found_by_uuid_and_by_name() -> None:
    """Where it is on two hosts, the one that is up comes first."""
    uuid = "11111111-2222-4333-8444-555555555555"
    vm = {"uuid": uuid, "name": "web1"}
    told = [
        (A, {**hypervisor("1", "down"), "servers": [vm]}),
        (B, {**hypervisor("2"), "servers": [vm, {"uuid": "x", "name": uuid}]}),
    ]
    assert servers.find(told, "web1") == [(B, uuid), (A, uuid)]
    assert servers.find(told, uuid.upper()) == [(B, uuid), (A, uuid)]
    assert servers.find(told, "web") == []


def test_targets_have_what_a_scrape_configuration_needs() -> None:
    """The port is that of metrics, the host's name a label; https where the list says so."""
    found = targets.document([A, B], 50082, {"cloud": "north"})
    assert found == [
        {"targets": ["a:50082"], "labels": {"cloud": "north", "host": "a"}},
        {
            "targets": ["b:50082"],
            "labels": {"cloud": "north", "__scheme__": "https", "host": "b", "rack": "r1"},
        },
    ]
    assert targets.document([A], None, {})[0]["targets"] == ["a:50080"]
