# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's usage against the samples that Nova publishes, and by hand.

openstack/nova 00a03040, doc/api_samples/os-simple-tenant-usage/v2.40; which hours count:
nova/api/openstack/compute/simple_tenant_usage.py, _hours_for().
"""

from __future__ import annotations

from typing import Any

import pytest

from kvmlog.history.model import Life, Owner
from kvmlog.history.moment import Stamp
from kvmlog.history.views import usage
from tests.support.history_model import PROJECT, at, life, span
from tests.support.schemas import validate
from tests.support.vmstats_samples import GIB, MIB

START, STOP = "2012-10-08T20:10:44.587336", "2012-10-08T21:10:44.587336"
NOW = at("2012-10-09T20:10:44.587336")


def window(start: str = START, stop: str = STOP) -> usage.Window:
    """The period of the published sample."""
    return usage.Window(at(start).realtime_ns, at(stop).realtime_ns)


def tenants(
    *lives: Life,
    within: usage.Window | None = None,
    now: Stamp = NOW,
    detailed: bool = True,
) -> list[dict[str, Any]]:
    """The documents of all owners."""
    within = within or window()
    found = usage.document(usage.servers(lives, within), within, now, detailed=detailed)
    for one in found:
        validate(one, "tenant-usage-2.40")
    return found


def test_one_tenant_is_as_published() -> None:
    """Each server is there; only `observed_since` is ours."""
    one = life(span("2012-10-08T20:10:44.541277"))
    (found,) = tenants(one, now=at("2012-10-08T21:10:44.587336"))
    (server,) = found["server_usages"]
    assert server.pop("observed_since") is None
    assert found == {
        "server_usages": [
            {
                "ended_at": None,
                "flavor": "m1.tiny",
                "hours": 1.0,
                "instance_id": "1f1deceb-17b5-4c04-84c7-e0d4499c8fe0",
                "local_gb": 1,
                "memory_mb": 512,
                "name": "instance-2",
                "started_at": "2012-10-08T20:10:44.541277",
                "state": "active",
                "tenant_id": PROJECT,
                "uptime": 3600,
                "vcpus": 1,
            }
        ],
        "start": START,
        "stop": STOP,
        "tenant_id": PROJECT,
        "total_hours": 1.0,
        "total_local_gb_usage": 1.0,
        "total_memory_mb_usage": 512.0,
        "total_vcpus_usage": 1.0,
    }


def test_all_tenants_are_as_published() -> None:
    """Two of one owner, one of another, as simple-tenant-usage-get-all.json; each owner once."""
    other = Owner("0000000e737461636b20342065000000", None, None, None)
    lives = [
        life(span(START), number=1, uuid="1f1deceb-17b5-4c04-84c7-e0d4499c8f00"),
        life(span(START, owner=other), number=2, uuid="1f1deceb-17b5-4c04-84c7-e0d4499c8f06"),
        life(span(START), number=3, uuid="1f1deceb-17b5-4c04-84c7-e0d4499c8f03"),
    ]
    found = tenants(*lives, detailed=False)
    assert [(one["tenant_id"], one["total_hours"]) for one in found] == [
        (PROJECT, 2.0),
        (other.project_id, 1.0),
    ]
    assert (found[0]["total_memory_mb_usage"], found[0]["total_vcpus_usage"]) == (1024.0, 2.0)
    assert "server_usages" not in found[0]


@pytest.mark.parametrize(
    ("began", "ended", "hours"),
    [
        ("2012-10-08T19:00:00", None, 1.0),
        ("2012-10-08T20:40:44.587336", None, 0.5),
        ("2012-10-08T19:00:00", "2012-10-08T20:25:44.587336", 0.25),
        ("2012-10-08T20:20:44.587336", "2012-10-08T20:50:44.587336", 0.5),
        ("2012-10-08T19:00:00", "2012-10-08T23:00:00", 1.0),
    ],
)
def test_hours_are_those_within_the_period(began: str, ended: str | None, hours: float) -> None:
    """The uptime is that of the whole life."""
    (found,) = tenants(life(span(began, ended)))
    (server,) = found["server_usages"]
    assert server["hours"] == found["total_hours"] == hours
    whole = at(began).until(NOW if ended is None else at(ended))
    assert server["uptime"] == whole // 10**9
    assert (server["state"], server["ended_at"] is None) == (
        ("active", True) if ended is None else ("terminated", False)
    )


@pytest.mark.parametrize(
    ("began", "ended"),
    [("2012-10-08T18:00:00", "2012-10-08T19:00:00"), ("2012-10-08T22:00:00", None)],
)
def test_a_life_outside_of_the_period_is_not_there(began: str, ended: str | None) -> None:
    """Neither one that ended before it, nor one that begins after it."""
    assert tenants(life(span(began, ended))) == []


def test_a_resize_counts_each_size_for_its_time() -> None:
    """Half an hour with 1 CPU, half an hour with 4; the server shows what it had in the end."""
    middle = "2012-10-08T20:40:44.587336"
    one = life(
        span("2012-10-08T19:00:00", middle),
        span(middle, vcpus=4, memory_bytes=4096 * MIB, disk_bytes=10 * GIB),
    )
    (found,) = tenants(one)
    assert found["total_vcpus_usage"] == 0.5 * 1 + 0.5 * 4
    assert found["total_memory_mb_usage"] == 0.5 * 512 + 0.5 * 4096
    assert found["total_local_gb_usage"] == 0.5 * 1 + 0.5 * 10
    (server,) = found["server_usages"]
    assert (server["vcpus"], server["hours"]) == (4, 1.0)


def test_what_is_not_known_is_null() -> None:
    """The owner of a VM without metadata, its flavor, its disk, and when it began."""
    one = life(
        span("2012-10-08T19:00:00", owner=None, flavor_name=None, disk_bytes=None),
        witnessed=False,
        state=5,
    )
    (found,) = tenants(one)
    assert (found["tenant_id"], found["total_local_gb_usage"]) == (None, 0)
    (server,) = found["server_usages"]
    assert (server["tenant_id"], server["flavor"], server["local_gb"]) == (None, None, None)
    assert server["observed_since"] == server["started_at"] == "2012-10-08T19:00:00.000000"
    assert server["state"] == "stopped"


def test_the_future_is_not_used() -> None:
    """A period that ends tomorrow ends now."""
    ahead = usage.until(window(stop="2030-01-01"), NOW)
    assert ahead.stop_ns == NOW.realtime_ns
    (found,) = tenants(life(span(START)), within=ahead)
    assert found["total_hours"] == 24.0
