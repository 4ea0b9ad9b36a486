# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's services and hosts against the samples that Nova publishes.

openstack/nova 00a03040, doc/api_samples/os-services/v2.53/services-list-get-resp.json and
doc/api_samples/os-hosts/hosts-list-resp.json.
"""

from __future__ import annotations

import pytest

from kvmlog.history.model import Binary
from kvmlog.history.views import hosts, services
from tests.support.history_model import at, service
from tests.support.schemas import validate

NOW = at("2012-10-29T13:42:30")


def test_a_service_is_as_published() -> None:
    """Second of the sample, but its name: there is no nova-compute here."""
    found = services.document(service(), NOW)
    validate(found, "service-2.53")
    assert found == {
        "id": "e81d66a4-ddd3-4aba-8a84-171d1cb4d339",
        "binary": "kvmlog-vmstats",
        "disabled_reason": "test2",
        "host": "host1",
        "state": "up",
        "status": "disabled",
        "updated_at": "2012-10-29T13:42:05.000000",
        "forced_down": False,
        "zone": "nova",
    }


def test_one_that_is_down_and_enabled() -> None:
    """Third of the sample: no reason, and a heartbeat of long ago."""
    old = at("2012-09-19T06:55:34")
    one = service(enabled=True, disabled_reason=None, last_seen=old, updated=old)
    found = services.document(one, NOW)
    assert (found["state"], found["status"], found["disabled_reason"]) == ("down", "enabled", None)
    assert found["updated_at"] == "2012-09-19T06:55:34.000000"


@pytest.mark.parametrize(
    ("now", "forced_down", "state"),
    [
        ("2012-10-29T13:43:05", False, "up"),
        ("2012-10-29T13:43:05.000001", False, "down"),
        ("2012-10-29T13:42:05", True, "down"),
    ],
)
def test_up_is_heard_of_within_a_minute(now: str, forced_down: bool, state: str) -> None:
    """One that is forced down is down, whatever the heartbeat."""
    found = services.document(service(forced_down=forced_down), at(now))
    assert (found["state"], found["forced_down"]) == (state, forced_down)


def test_our_own_form_has_the_heartbeats() -> None:
    """Nova shows them in a notification only."""
    found = services.own(service(detail="the module is not loaded"), NOW)
    validate(found, "service")
    assert found["report_count"] == 17
    assert found["last_seen_up"] == "2012-10-29T13:42:05.000000"
    assert found["detail"] == "the module is not loaded"


def test_hosts_are_as_published() -> None:
    """Hosts of VMs are `compute` in the zone nova; disabled services and hosts are left out."""
    hypervisors = [
        {"hypervisor_hostname": "host2", "status": "enabled"},
        {"hypervisor_hostname": "host3", "status": "disabled"},
    ]
    rpc = service(binary=Binary.RPC, enabled=True, zone="internal")
    found = hosts.document(hypervisors, [rpc, service()])
    for one in found:
        validate(one, "host-service")
    assert found == [
        {"host_name": "host2", "service": "compute", "zone": "nova"},
        {"host_name": "host1", "service": "rpc", "zone": "internal"},
    ]
