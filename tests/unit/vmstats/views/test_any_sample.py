# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is missing of a sample, each document validates, and nothing in it is made up."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmlog.history.views import table as history
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.vmstats.views import (
    ceilometer,
    cloudstack,
    collector,
    host,
    hypervisor_253,
    hypervisor_288,
    vdsm_host,
)
from kvmlog.vmstats.views.errors import NotRunningError
from kvmlog.vmstats.views.schemas import schema
from kvmlog.vmstats.views.table import FORMATS, SCHEMAS
from tests.support.schemas import validate
from tests.support.vmstats_samples import at, snapshot
from tests.support.vmstats_strategies import NOW, hosts, vms

# Lengths, numbers of devices, ages; shares and states that may be 0 when all is known.
MAY_BE_0 = {
    *("num_cpus", "num_nics", "num_disks", "running_vms"),
    *("number", "id", "reason", "age_s", "uptime", "uptime_s", "elapsedTime", "interval_s"),
    *("node", "power.state", "monitorResponse", "stuck_threads"),
}
# CloudStack says so itself, as VDSM of a QEMU that does not answer.
MAY_BE_MINUS_1 = {"intFreeMemoryKBs", "monitorResponse"}


def leaves(document: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a document with their keys; those of a sample under its meter's name."""
    if isinstance(document, dict):
        for name, value in document.items():
            meter = document.get("name") if name == "volume" else None
            yield from leaves(value, meter or name)
    elif isinstance(document, list):
        for value in document:
            yield from leaves(value, key)
    else:
        yield key, document


def check(document: Any, name: str) -> None:
    """A document is JSON, has its schema, and no 0 or -1 that stands for "unknown"."""
    json.dumps(document, allow_nan=False)
    validate(document, name)
    made_up = [
        (key, value)
        for key, value in leaves(document)
        if (value in (0, "0", "0.0") and value is not False and key not in MAY_BE_0)
        or (value in (-1, "-1") and key not in MAY_BE_MINUS_1)
    ]
    assert made_up == []


@pytest.mark.parametrize("name", [*SCHEMAS, *history.SCHEMAS])
def test_schemas_are_valid_and_say_what_they_are(name: str) -> None:
    """Each is one of draft 2020-12, identified by its file, and describes each field."""
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$id"] == f"{name}.json"
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["title"]

    def undescribed(part: Any, path: str) -> Iterator[str]:
        if isinstance(part, dict):
            for key, value in part.get("properties", {}).items():
                if not ({"description", "$ref"} & set(value) or "oneOf" in path):
                    yield f"{path}/{key}"
            for key, value in part.items():
                yield from undescribed(value, f"{path}/{key}")
        elif isinstance(part, list):
            for value in part:
                yield from undescribed(value, path)

    assert list(undescribed(found, name)) == []


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60)
@given(vms())
def test_documents_of_a_vm(name: str, vm: Vm) -> None:
    """Each format of a VM, or its refusal of one that does not run."""
    try:
        document = FORMATS[name].document(vm, NOW)
    except NotRunningError:
        assert name in ("nova", "nova-2.48")
        return
    check(document, FORMATS[name].schema)


@given(hosts())
def test_documents_of_a_host(one: Host) -> None:
    """VDSM's and our own."""
    check(host.document(one, NOW), "host")
    check(vdsm_host.document(one, NOW), "vdsm-host")


@settings(max_examples=40)
@given(hosts(), st.lists(vms(), max_size=3), st.booleans())
def test_hypervisors(one: Host, found: list[Vm], with_servers: bool) -> None:
    """Used capacities may be 0 with no VM, and what is free may be negative."""
    whole = snapshot(hosts=(one,), vms=tuple(found))
    for view, name in ((hypervisor_253, "hypervisor-2.53"), (hypervisor_288, "hypervisor-2.88")):
        document = view.document(one, whole, NOW, with_servers=with_servers)
        validate(document, name)
        assert document["id"]
    detail = hypervisor_253.document(one, whole, NOW)
    assert (detail["local_gb"] is None) == (one.disk is None)
    assert detail["running_vms"] == sum(vm.sample.uri == one.uri for vm in found)


@settings(max_examples=40)
@given(st.lists(vms(), max_size=3))
def test_cloudstack(found: list[Vm]) -> None:
    """The second poll has no 0 either: what the first was told is half of it."""
    half = [
        replace(
            vm,
            sample=replace(vm.sample, taken=at(0)),
            accumulated=replace(
                typing.cast(Any, vm.accumulated),
                **{
                    name: value // 2
                    for name, value in vars(vm.accumulated).items()
                    if isinstance(value, int)
                },
            ),
        )
        for vm in found
    ]
    first, cursor = cloudstack.deltas(half, {}, NOW)
    validate(first, "cloudstack")
    second, _ = cloudstack.deltas(found, cursor, NOW)
    check(second, "cloudstack")
    check(cloudstack.accumulated(found, NOW), "cloudstack-accumulated")


@settings(max_examples=40)
@given(st.lists(vms(), max_size=2))
def test_ceilometer(found: list[Vm]) -> None:
    """All but the deltas, which are 0 the first time."""
    first, cursor = ceilometer.samples(found, {}, NOW)
    validate(first, "ceilometer")
    assert {one["volume"] for one in first if one["type"] == "delta"} <= {0}
    check([one for one in first if one["type"] != "delta"], "ceilometer")
    second, _ = ceilometer.samples(found, cursor, NOW)
    assert second == first


def test_the_collector() -> None:
    """Of one that keeps up, and of one that has not written for an hour."""
    whole: Snapshot = snapshot()
    check(collector.document(whole, at(1004)), "collector")
    late = collector.document(whole, at(4600))
    check(late, "collector")
    assert late["late"].startswith("these figures are 3600 s old")
