# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's lists and sums of hypervisors, and a host's resources, against Nova's samples.

openstack/nova 00a03040, doc/api_samples/os-hypervisors/v2.53/hypervisors-{search,with-servers}-
resp.json, doc/api_samples/os-hypervisors/hypervisors-statistics-resp.json and
doc/api_samples/os-hosts/host-get-resp.json; which are summed: nova/db/main/api.py,
compute_node_statistics().
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.views import (
    host_resources,
    hypervisor_253,
    hypervisor_288,
    hypervisor_statistics,
    hypervisors,
)
from kvmlog.vmstats.views.errors import NoHypervisorError
from kvmlog.vmstats.views.hypervisor import Service
from tests.support import vmstats_samples as examples
from tests.support.schemas import validate
from tests.support.vmstats_samples import GIB, MIB, NOW, host, snapshot

ID = "b1e43b5f-eec1-44e0-9f10-7b4945c0226d"
OUT_OF_USE = Service("e81d66a4-ddd3-4aba-8a84-171d1cb4d339", True, "maintenance", False)


def published(**changed: Any) -> Host:
    """A host of the samples: 2 CPUs, 8192 MiB, 1028 GiB."""
    whole = host()
    assert whole.disk is not None
    values: dict[str, Any] = {
        "hostname": "fake-mini",
        "uuid": ID.upper(),
        "uri": "qemu+tls://fake-mini/system",
        "cpu": replace(whole.cpu, count=2),
        "memory": replace(whole.memory, total_bytes=8192 * MIB),
        "disk": replace(whole.disk, total_bytes=1028 * GIB, available_bytes=0),
    }
    return replace(whole, **{**values, **changed})


def test_the_list_is_as_published() -> None:
    """Four members; with servers, when they are asked for, a fifth."""
    one = published()
    uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
    vm = examples.vm(uri=one.uri, name="test_server1", uuid=uuid)
    whole = snapshot(vm, hosts=(one,))
    listed = {"hypervisor_hostname": "fake-mini", "id": ID, "state": "up", "status": "enabled"}
    assert hypervisors.document(whole.hosts, whole, NOW) == [listed]
    (found,) = hypervisors.document(whole.hosts, whole, NOW, with_servers=True)
    validate(found, "hypervisor-listed")
    assert found == {**listed, "servers": [{"name": "test_server1", "uuid": uuid}]}


def test_a_service_takes_its_host_out_of_use() -> None:
    """The status, the reason, and the service's own id; forced down it is not up either."""
    one = published()
    whole = snapshot(hosts=(one,))
    services = {one.hostname: replace(OUT_OF_USE, forced_down=True)}
    (listed,) = hypervisors.document(whole.hosts, whole, NOW, services=services)
    assert (listed["status"], listed["state"]) == ("disabled", "down")
    for view in (hypervisor_253, hypervisor_288):
        detail = view.document(one, whole, NOW, service=OUT_OF_USE)
        assert (detail["status"], detail["state"]) == ("disabled", "up")
        assert detail["service"] == {
            "host": "fake-mini",
            "id": OUT_OF_USE.id,
            "disabled_reason": "maintenance",
        }


@pytest.mark.parametrize("pattern", ["fake-mini", "mini", "-", "f"])
def test_search_takes_any_part_of_a_name(pattern: str) -> None:
    """SQL's LIKE %part% does so in Nova."""
    one, other = published(), published(hostname="ost")
    assert hypervisors.matching((one, other), pattern) == [one]


@pytest.mark.parametrize("pattern", ["maxi", "FAKE", "fake%", "%"])
def test_nothing_found_is_refused(pattern: str) -> None:
    """The sentence has the names that there are."""
    with pytest.raises(NoHypervisorError) as caught:
        hypervisors.matching((published(),), pattern)
    assert str(caught.value) == (
        f"no hypervisor matching '{pattern}' could be found; there are: fake-mini"
    )


def statistics(*hosts: Host, services: dict[str, Service] | None = None) -> dict[str, Any]:
    """The sums over these hosts."""
    whole = snapshot(hosts=hosts)
    found = hypervisor_statistics.document(
        hypervisor_253.document(one, whole, NOW, service=(services or {}).get(one.hostname))
        for one in hosts
    )
    validate(found, "hypervisor-statistics")
    return found


def test_statistics_are_as_published() -> None:
    """Only the workload, Nova's own tasks, is not known."""
    assert statistics(published()) == {
        "count": 1,
        "current_workload": None,
        "disk_available_least": 0,
        "free_disk_gb": 1028,
        "free_ram_mb": 7680,
        "local_gb": 1028,
        "local_gb_used": 0,
        "memory_mb": 8192,
        "memory_mb_used": 512,
        "running_vms": 0,
        "vcpus": 2,
        "vcpus_used": 0,
    }


def test_statistics_sum_what_is_enabled_up_or_down() -> None:
    """One that has not answered for long counts, one that is disabled does not."""
    down = published(hostname="down", taken=examples.at(1))
    out = published(hostname="out")
    found = statistics(published(), down, out, services={"out": OUT_OF_USE})
    assert (found["count"], found["vcpus"], found["memory_mb"]) == (2, 4, 16384)


def test_a_sum_with_something_unknown_is_unknown() -> None:
    """The disk of a host that is not this one."""
    found = statistics(published(), published(hostname="far", disk=None))
    assert (found["local_gb"], found["free_disk_gb"], found["vcpus"]) == (None, None, 4)


def test_no_host_at_all() -> None:
    """Sums of nothing."""
    found = statistics()
    assert (found["count"], found["vcpus"], found["local_gb"]) == (0, 0, 0)


def test_resources_are_as_published() -> None:
    """A host without VMs: in total, used now, and by its instances."""
    one = published()
    found = host_resources.document(one, snapshot(hosts=(one,)))
    for resource in found:
        validate(resource, "host-resource")
    assert [resource["resource"] for resource in found] == [
        {
            "cpu": 2,
            "disk_gb": 1028,
            "host": "fake-mini",
            "memory_mb": 8192,
            "project": "(total)",
        },
        {
            "cpu": 0,
            "disk_gb": 0,
            "host": "fake-mini",
            "memory_mb": 512,
            "project": "(used_now)",
        },
        {"cpu": 0, "disk_gb": 0, "host": "fake-mini", "memory_mb": 0, "project": "(used_max)"},
    ]


def test_resources_by_project() -> None:
    """web1 of its owner, and db1 of nobody."""
    found = [one["resource"] for one in host_resources.document(host(), snapshot())]
    assert [one["project"] for one in found] == [
        "(total)",
        "(used_now)",
        "(used_max)",
        examples.instance().project_id,
        None,
    ]
    assert [(one["cpu"], one["memory_mb"]) for one in found] == [
        (8, 65536),
        (3, 512 + 2 * 4096),
        (3, 2 * 4096),
        (2, 4096),
        (1, 4096),
    ]
