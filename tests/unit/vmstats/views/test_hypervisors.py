# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's hypervisor detail against the samples that Nova publishes.

openstack/nova 00a03040, doc/api_samples/os-hypervisors/{v2.53,v2.88}/hypervisors-detail-resp.json;
how capacities are added up: nova/compute/resource_tracker.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import hypervisor_253, hypervisor_288
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import GIB, MIB, NOW, at, host, snapshot

OTHER = "qemu+tls://kvm2/system"


def published(**changed: Any) -> Any:
    """The host of the published sample, which has no VM."""
    whole = host()
    assert whole.disk is not None
    return replace(
        whole,
        hostname="host2",
        uuid="1BB62A04-C576-402C-8147-9E89757A09E3",
        address="1.1.1.1",
        hypervisor_type="fake",
        hypervisor_version=1000,
        cpu=replace(
            whole.cpu,
            count=2,
            model="Nehalem",
            vendor="Intel",
            features=("pge", "clflush"),
            nodes=None,
            sockets=4,
            cores=1,
            threads=1,
        ),
        memory=replace(whole.memory, total_bytes=8192 * MIB),
        disk=replace(whole.disk, total_bytes=1028 * GIB, available_bytes=0),
        uri=OTHER,
        **changed,
    )


def test_253_is_as_published() -> None:
    """But the workload, Nova's own tasks, which a host cannot know; the service's id is ours."""
    one = published()
    detail = hypervisor_253.document(one, snapshot(hosts=(one,)), NOW)
    service = detail.pop("service")
    assert service.pop("id") != detail["id"]
    assert service == {"host": "host2", "disabled_reason": None}
    assert detail == {
        "cpu_info": {
            "arch": "x86_64",
            "model": "Nehalem",
            "vendor": "Intel",
            "features": ["pge", "clflush"],
            "topology": {"cores": 1, "threads": 1, "sockets": 4},
        },
        "current_workload": None,
        "status": "enabled",
        "state": "up",
        "disk_available_least": 0,
        "host_ip": "1.1.1.1",
        "free_disk_gb": 1028,
        "free_ram_mb": 7680,
        "hypervisor_hostname": "host2",
        "hypervisor_type": "fake",
        "hypervisor_version": 1000,
        "id": "1bb62a04-c576-402c-8147-9e89757a09e3",
        "local_gb": 1028,
        "local_gb_used": 0,
        "memory_mb": 8192,
        "memory_mb_used": 512,
        "running_vms": 0,
        "vcpus": 2,
        "vcpus_used": 0,
    }


def test_288_is_as_published() -> None:
    """No capacities; the uptime of another host is not known."""
    one = published(uptime_s=None)
    detail = hypervisor_288.document(one, snapshot(hosts=(one,)), NOW)
    detail["service"].pop("id")
    assert detail == {
        "host_ip": "1.1.1.1",
        "hypervisor_hostname": "host2",
        "hypervisor_type": "fake",
        "hypervisor_version": 1000,
        "id": "1bb62a04-c576-402c-8147-9e89757a09e3",
        "service": {"disabled_reason": None, "host": "host2"},
        "state": "up",
        "status": "enabled",
        "uptime": None,
    }


def used(*vms: Vm) -> dict[str, Any]:
    """What the detail says of a host with these VMs."""
    return hypervisor_253.document(host(), snapshot(*vms), NOW, with_servers=True)


def test_used_is_reserved_and_the_flavors_of_all_vms() -> None:
    """web1's flavor: 2 CPUs, 4096 MiB, 40 + 7 GiB and 512 MiB of swap; one off counts the same."""
    off = examples.off_vm(definition=examples.definition(vcpus=1, disks=()), name="off")
    elsewhere = examples.vm(uri=OTHER, uuid="11111111-2222-4333-8444-555555555555")
    detail = used(examples.vm(), off, elsewhere)
    assert detail["running_vms"] == 2
    assert (detail["vcpus"], detail["vcpus_used"]) == (8, 4)
    assert (detail["memory_mb"], detail["memory_mb_used"]) == (65536, 512 + 2 * 4096)
    assert detail["free_ram_mb"] == 65536 - 512 - 2 * 4096
    assert (detail["local_gb"], detail["local_gb_used"], detail["free_disk_gb"]) == (500, 95, 405)
    assert [server["name"] for server in detail["servers"]] == ["web1", "off"]


def test_a_vm_without_a_flavor() -> None:
    """Its own virtual CPUs, maximum memory, and images in files: vda, not the network's vdb."""
    detail = used(examples.vm(definition=examples.definition(instance=None, vcpus=3)))
    assert detail["vcpus_used"] == 3
    assert detail["memory_mb_used"] == 512 + 4096
    assert detail["local_gb_used"] == 40
    # 28 GiB that vda has yet to write.
    assert detail["disk_available_least"] == 350 - 28


def test_overcommitted_is_negative() -> None:
    """As in Nova, where these figures take no allocation ratio into account."""
    small = host(memory=replace(host().memory, total_bytes=1024 * MIB))
    detail = hypervisor_253.document(small, snapshot(examples.vm(), hosts=(small,)), NOW)
    assert detail["free_ram_mb"] == 1024 - 512 - 4096


def test_state() -> None:
    """Up for a minute after the last answer, or for two intervals where these are longer."""

    def state(age_s: float, interval_s: float = 10.0) -> str:
        collector = examples.collector(effective_interval_s=interval_s)
        whole = snapshot(collector=collector)
        found = hypervisor_288.document(host(), whole, at(1000 + age_s))
        assert found["state"] == hypervisor_253.document(host(), whole, at(1000 + age_s))["state"]
        return str(found["state"])

    assert [state(60), state(60.1)] == ["up", "down"]
    assert [state(600, 300.0), state(601, 300.0)] == ["up", "down"]


def test_uptime() -> None:
    """A line as uptime(1) prints it; nobody knows how many users there are."""

    def line(uptime_s: float) -> Any:
        return hypervisor_288.document(host(uptime_s=uptime_s), snapshot(), NOW)["uptime"]

    load = ",  load average: 1.25, 2.50, 3.75"
    assert line(59) == f" 20:02:42 up 0 min{load}"
    assert line(3600 * 2 + 180) == f" 20:02:42 up  2:03{load}"
    assert line(86400 + 60) == f" 20:02:42 up 1 day, 1 min{load}"
    assert line(86400 * 93 + 3600 * 18 + 1500) == f" 20:02:42 up 93 days, 18:25{load}"


def test_identity_without_a_uuid_is_stable() -> None:
    """Made of the name: the same at each call, and another for another host."""

    def identity(name: str) -> Any:
        return hypervisor_288.document(host(uuid=None, hostname=name), snapshot(), NOW)["id"]

    assert identity("a") == identity("a")
    assert identity("a") != identity("b")
