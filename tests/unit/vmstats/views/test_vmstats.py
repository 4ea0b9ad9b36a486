# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own samples of VMs and hosts: all fields of the model, selectable, with their age."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from kvmlog.vmstats import accumulated, definition, rates, sample, snapshot
from kvmlog.vmstats import host as model
from kvmlog.vmstats.views import host, vmstats
from kvmlog.vmstats.views.errors import UnknownFormatError, UnknownGroupError
from kvmlog.vmstats.views.schemas import schema
from kvmlog.vmstats.views.table import FORMATS, SCHEMAS, diagnostics
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import MIB, NOW, at


def test_identity_and_groups() -> None:
    """Groups that were not asked for are absent; without a choice all are there."""
    document = vmstats.document(examples.vm(), NOW, ["state"])
    assert document == {
        "uuid": examples.WEB1,
        "name": "web1",
        "uri": "qemu:///system",
        "domain_id": 7,
        "pid": 4300,
        "generation": 2,
        "taken": "2026-11-20T20:02:42.000000+00:00",
        "age_s": 4.0,
        "timed_out": False,
        "state": {
            "name": "running",
            "number": 1,
            "reason": 1,
            "since": "2026-11-20T19:52:42.000000+00:00",
            "started": "2026-11-20T19:52:42.000000+00:00",
            "uptime_s": 604.0,
        },
        "absent": [],
    }
    whole = vmstats.document(examples.vm(), NOW)
    assert set(vmstats.GROUPS) <= set(whole)
    assert vmstats.document(examples.vm(), NOW, []) == {
        key: value for key, value in document.items() if key != "state"
    }


def test_an_unknown_group_is_refused() -> None:
    """With the ones there are."""
    with pytest.raises(
        UnknownGroupError, match=r"^cpus: no such group of figures; give state, cpu, "
    ):
        vmstats.document(examples.vm(), NOW, ["state", "cpus"])


def test_memory() -> None:
    """The model's fields, what is used, and how old the guest's own figures are."""
    memory = vmstats.document(examples.vm(), NOW, ["memory"])["memory"]
    assert memory["used_bytes"] == 1800 * MIB
    assert (memory["age_s"], memory["guest_age_s"]) == (4.0, 10.0)
    unknown = vmstats.document(
        examples.vm(memory=examples.memory(available_bytes=None)), NOW, ["memory"]
    )["memory"]
    assert "used_bytes" not in unknown


def test_devices() -> None:
    """Disks without drives; each group with its own age, counters apart from rates."""
    document = vmstats.document(
        examples.vm(blocks_taken=at(997)), NOW, ["disk", "network", "rates"]
    )
    assert document["disk"]["age_s"] == 7.0
    assert [disk["target"] for disk in document["disk"]["devices"]] == ["vda", "vdb"]
    assert document["disk"]["devices"][0]["io_errors"] == 9
    assert "io_errors" not in document["disk"]["devices"][1]
    assert document["network"]["devices"][0]["key"] == examples.MAC
    assert document["rates"]["interval_s"] == 10.0
    assert document["rates"]["disk"][0]["write_latency_ns"] == 600_006.5
    assert "read_latency_ns" not in document["rates"]["disk"][1]
    assert document["rates"]["network"][0]["tx_drops_per_s"] == 0.5


def test_a_hung_vm_tells_why_and_how_old_its_figures_are() -> None:
    """The reasons of the groups that were asked for, with the age that they have by now."""
    document = vmstats.document(examples.hung_vm(), NOW, ["memory", "disk"])
    assert (document["timed_out"], document["age_s"]) == (True, 4.0)
    assert document["absent"] == [
        {"group": "memory", "reason": "the guest's balloon driver is silent", "age_s": 124.5}
    ]
    blocks = sample.Absence("blocks", "its migration comes in")
    document = vmstats.document(examples.vm(absent=(blocks,), blocks=None), NOW, ["disk"])
    assert document["absent"] == [{"group": "disk", "reason": "its migration comes in"}]
    assert "disk" not in document


def test_a_vm_that_is_off_has_no_figures() -> None:
    """State and definition, and what it grew by while it ran."""
    document = vmstats.document(examples.off_vm(), NOW)
    assert set(vmstats.GROUPS) & set(document) == {"state", "definition", "accumulated"}
    assert document["state"]["name"] == "shutoff"


# Where each part of the model stands in the schemas.
PARTS: list[tuple[type[Any], str, str, set[str]]] = [
    (sample.Cpu, "vmstats", "cpu", {"taken"}),
    (sample.Vcpu, "vmstats", "vcpu", set()),
    (sample.Memory, "vmstats", "memory", {"taken", "guest_updated_realtime_ns"}),
    (sample.Block, "vmstats", "disk", set()),
    (sample.Interface, "vmstats", "network", {"mac_shared"}),
    (definition.Definition, "vmstats", "definition", set()),
    (definition.Disk, "vmstats", "defined_disk", set()),
    (definition.Nic, "vmstats", "defined_nic", set()),
    (definition.Instance, "vmstats", "instance", set()),
    (rates.CpuRates, "vmstats", "cpu_rates", set()),
    (rates.MemoryRates, "vmstats", "memory_rates", set()),
    (rates.BlockRates, "vmstats", "disk_rates", set()),
    (rates.InterfaceRates, "vmstats", "network_rates", set()),
    (accumulated.Accumulated, "vmstats", "accumulated", set()),
    (model.Host, "host", "", set()),
    (model.HostCpu, "host", "cpu", set()),
    (model.HostMemory, "host", "memory", set()),
    (model.HostDisk, "host", "disk", set()),
    (model.Ksm, "host", "ksm", set()),
    (snapshot.Collector, "collector", "", set()),
    (snapshot.Cost, "collector", "cost", set()),
]


@pytest.mark.parametrize(("part", "name", "place", "renamed"), PARTS)
def test_schemas_have_each_field_of_the_model(
    part: type[Any], name: str, place: str, renamed: set[str]
) -> None:
    """A figure that is added to the model is served at once: it has to be described."""
    found = schema(name)
    if place:
        found = found.get("$defs", {}).get(place) or found["properties"][place]
    described = set(found["properties"])
    assert {field.name for field in fields(part)} - renamed - described == set()


def test_a_host() -> None:
    """All fields with their age; null is left out."""
    document = host.document(examples.host(), NOW)
    assert (document["age_s"], document["balloon_ratio"]) == (4.0, 0.75)
    assert document["ksm"]["pages_sharing"] == 25_600
    assert document["huge_pages"][0]["free"] == 128
    assert document["pressure"][1]["avg10_percent"] == 0.25
    assert document["load"] == [1.25, 2.5, 3.75]
    remote = replace(examples.host(), ksm=None, load=None, pressure=None, balloon_maximum_bytes=0)
    absent = set(document) - set(host.document(remote, NOW))
    assert absent == {"ksm", "load", "pressure", "balloon_ratio"}


def test_formats_by_name() -> None:
    """Each is made by its view; another name is refused with those that there are."""
    assert list(FORMATS) == ["nova", "nova-2.48", "vdsm", "kvmlog"]
    assert diagnostics(examples.vm(), "nova-2.48", NOW)["driver"] == "libvirt"
    assert {one.schema for one in FORMATS.values()} <= set(SCHEMAS)
    with pytest.raises(
        UnknownFormatError, match=r"^nova-2.49\\n: no such format; give nova, nova-2.48, "
    ):
        diagnostics(examples.vm(), "nova-2.49\n", NOW)
