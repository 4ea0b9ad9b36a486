# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt_domain_*: names, labels and figures of inovex' exporter, and never two equal series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric

from kvmlog.metrics import domains
from kvmlog.metrics.series import Room
from kvmlog.vmstats.snapshot import Snapshot, Vm
from tests.support import vmstats_samples as make
from tests.support import vmstats_strategies as strategies

ROOMY = 100_000
# Names and labels that its README shows, as far as the collector knows them.
INOVEX = {
    "libvirt_up": set(),
    "libvirt_domains": set(),
    "libvirt_domain_timed_out": {"domain"},
    "libvirt_domain_openstack_info": {
        *("domain", "instance_name", "instance_id", "flavor_name"),
        *("user_name", "user_id", "project_name", "project_id"),
    },
    "libvirt_domain_info": {"domain", "os_type", "os_type_arch", "os_type_machine"},
    "libvirt_domain_info_state": {"domain", "state_desc"},
    "libvirt_domain_info_maximum_memory_bytes": {"domain"},
    "libvirt_domain_info_memory_usage_bytes": {"domain"},
    "libvirt_domain_info_virtual_cpus": {"domain"},
    "libvirt_domain_info_cpu_time_seconds_total": {"domain"},
    **{
        f"libvirt_domain_memory_stats_{name}": {"domain"}
        for name in (
            *("swap_in_bytes", "swap_out_bytes", "unused_bytes", "available_bytes", "rss_bytes"),
            *("usable_bytes", "used_percent", "current_balloon_bytes", "major_fault_total"),
            *("minor_fault_total", "disk_caches_bytes", "hugetlb_pgalloc_total", "maximum_bytes"),
            *("hugetlb_pgfail_total", "last_update_timestamp_seconds"),
        )
    },
    **{
        f"libvirt_domain_block_stats_{name}": {"domain", "target_device"}
        for name in (
            *("read_bytes_total", "read_requests_total", "write_bytes_total"),
            *("write_requests_total", "read_time_seconds_total", "write_time_seconds_total"),
            *("flush_requests_total", "flush_time_seconds_total", "capacity_bytes"),
        )
    },
    **{
        f"libvirt_domain_interface_stats_{way}_{name}_total": {"domain", "target_device"}
        for way in ("receive", "transmit")
        for name in ("bytes", "packets", "errors", "drops")
    },
    "libvirt_domain_vcpu_current": {"domain"},
    "libvirt_domain_vcpu_maximum": {"domain"},
    "libvirt_domain_vcpu_state": {"domain", "vcpu"},
    "libvirt_domain_vcpu_time_seconds_total": {"domain", "vcpu"},
    "libvirt_domain_vcpu_wait_seconds_total": {"domain", "vcpu"},
    "libvirt_domain_vcpu_delay_seconds_total": {"domain", "vcpu"},
}


def samples(metrics: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels, of which no two are the same."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for metric in metrics:
        for one in metric.samples:
            key = (one.name, frozenset(one.labels.items()))
            assert key not in found, key
            found[key] = one.value
    return found


def of(*vms: Vm, most: int = ROOMY, late: bool = False) -> dict[tuple[str, str], float]:
    """Samples of a snapshot of these VMs, by name and labels in text."""
    snapshot = replace(make.snapshot(), vms=vms)
    metrics = domains.families(snapshot, late, make.NOW, Room(most))
    return {
        (name, ",".join(f"{key}={value}" for key, value in sorted(labels))): value
        for (name, labels), value in samples(metrics).items()
    }


def test_the_dialect_is_inovex() -> None:
    """A running VM that tells everything has each of its metrics, with its labels."""
    metrics = domains.families(make.snapshot(), False, make.NOW, Room(ROOMY))
    found = {one.name: set(one.labels) for metric in metrics for one in metric.samples}
    assert {name: found.get(name) for name in INOVEX} == INOVEX
    ours = {name for name in found if not name.startswith("kvmlog_")} - INOVEX.keys()
    assert ours == {"libvirt_domain_block_stats_allocation_bytes"}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("info_cpu_time_seconds_total", "", 100.000000001),
        ("info_memory_usage_bytes", "", 3 << 30),
        ("info_state", "state_desc=the domain is running", 1),
        ("vcpu_delay_seconds_total", "vcpu=1", 0.700000013),
        ("vcpu_state", "vcpu=1", 2),
        ("block_stats_write_time_seconds_total", "target_device=vdb", 0.070000026),
        ("interface_stats_receive_bytes_total", "target_device=vnet3", 2_070_139),
        ("interface_stats_transmit_bytes_total", "target_device=vnet3", 140_208),
        ("memory_stats_used_percent", "", 60),
        ("memory_stats_major_fault_total", "", 333),
    ],
)
def test_figures(name: str, labels: str, value: float) -> None:
    """Each is in base units, as the guest sees it."""
    full = ",".join(["domain=web1", *filter(None, [labels])])
    assert of(make.vm())[f"libvirt_domain_{name}", full] == pytest.approx(value, rel=1e-12)


def test_a_domain_that_does_not_run_has_its_state_only() -> None:
    """No CPU, no disks, no interfaces, no memory of the guest."""
    found = {name for name, labels in of(make.off_vm()) if "domain=" in labels}
    assert found == {
        "kvmlog_domain_info",
        "libvirt_domain_info",
        "libvirt_domain_info_state",
        "libvirt_domain_info_maximum_memory_bytes",
        "libvirt_domain_info_memory_usage_bytes",
        "libvirt_domain_info_virtual_cpus",
        "libvirt_domain_timed_out",
    }


def test_a_cdrom_has_no_series() -> None:
    """Nor has a floppy drive."""
    assert not any("target_device=sda" in labels for _, labels in of(make.vm()))


def test_a_vm_that_does_not_answer_says_so() -> None:
    """It keeps the figures that were known last."""
    found = of(make.hung_vm())
    assert found["libvirt_domain_timed_out", "domain=web1"] == 1
    assert ("libvirt_domain_info_cpu_time_seconds_total", "domain=web1") in found


@pytest.mark.parametrize("gone", [True, False])
def test_without_a_collector_there_are_no_figures(gone: bool) -> None:
    """libvirt_up is 0; figures of long ago would look like an idle VM's."""
    snapshot = None if gone else make.snapshot()
    metrics = domains.families(snapshot, not gone, make.NOW, Room(ROOMY))
    found = {(one.name, one.value) for metric in metrics for one in metric.samples}
    assert ("libvirt_up", 0) in found
    assert not [name for name, _ in found if name.startswith("libvirt_domain")]


def test_equal_names_are_told_apart() -> None:
    """Two domains of one name, by their UUIDs: the first by UUID keeps it, in any order."""
    other = make.vm(uuid=make.DB1)
    for vms in ((make.vm(), other), (other, make.vm())):
        found = {labels for name, labels in of(*vms) if name == "kvmlog_domain_info"}
        assert found == {
            f"domain=web1,uuid={make.WEB1}",
            f"domain=web1 ({make.DB1}),uuid={make.DB1}",
        }


def test_interfaces_without_a_device_of_the_host_have_their_alias() -> None:
    """SR-IOV, and two with the same device: MAC or alias tells them apart."""
    several = (
        make.interface(target=None, alias="hostdev0"),
        make.interface(target="vnet3"),
        make.interface(target="vnet3", mac="52:54:00:aa:bb:02"),
        make.interface(target=None, alias=None, mac="52:54:00:aa:bb:03"),
    )
    found = {
        labels.removeprefix("domain=web1,target_device=")
        for name, labels in of(make.vm(interfaces=several))
        if name.endswith("_receive_bytes_total")
    }
    assert found == {"hostdev0", "vnet3", "vnet3 (52:54:00:aa:bb:02)", "52:54:00:aa:bb:03"}


def test_several_connections_are_a_label() -> None:
    """A VM that migrates is on two hosts for a while; one connection has no such label."""
    remote = "qemu+ssh://host2/system"
    both = make.collector(connections=(make.connection(), make.connection(uri=remote)))
    snapshot = replace(
        make.snapshot(), collector=both, vms=(make.vm(), make.vm(uri=remote, pid=None))
    )
    found = samples(domains.families(snapshot, False, make.NOW, Room(ROOMY)))
    name = "libvirt_domain_info_virtual_cpus"
    assert {dict(labels)["uri"] for one, labels in found if one == name} == {make.URI, remote}


def test_vms_beyond_the_limit_are_left_out_whole() -> None:
    """Each has all its series, or none, and those left out are counted."""
    vms = [make.vm(uuid=f"{make.WEB1[:-2]}{number:02}", name=f"w{number}") for number in range(9)]
    whole = len([labels for _, labels in of(vms[0]) if "domain=" in labels])
    room = Room(3 * 80)
    metrics = domains.families(replace(make.snapshot(), vms=tuple(vms)), False, make.NOW, room)
    by_vm: dict[str, int] = {}
    for _, labels in samples(metrics):
        if "domain" in dict(labels):
            by_vm[dict(labels)["domain"]] = by_vm.get(dict(labels)["domain"], 0) + 1
    assert by_vm == dict.fromkeys(list(by_vm), whole)
    assert list(by_vm) == [f"w{number}" for number in range(len(by_vm))]
    assert len(by_vm) + room.left_out == 9
    assert 1 <= len(by_vm) <= 3


HOSTILE = st.text(max_size=300) | st.sampled_from(
    ["", "\ud800", 'a"b\\', "a\nb", "\x00", "é" * 300]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(strategies.vms(), HOSTILE), max_size=4))
def test_whatever_is_missing_and_whatever_names_there_are(found: list[tuple[Vm, str]]) -> None:
    """No two series are equal, no label breaks the text, and no figure was made up."""
    vms = tuple(replace(vm, sample=replace(vm.sample, name=name)) for vm, name in found)
    snapshot: Snapshot = replace(make.snapshot(), vms=vms)
    for (name, labels), value in samples(
        domains.families(snapshot, False, strategies.NOW, Room(ROOMY))
    ).items():
        for _, text in labels:
            text.encode("utf-8")
            assert text.isprintable()
        assert value == value
        if name.endswith(("_bytes", "_seconds_total")) and name.startswith("libvirt_domain"):
            assert value > 0, name
