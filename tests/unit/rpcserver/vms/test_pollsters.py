# SPDX-License-Identifier: GPL-2.0-or-later
"""Ceilometer's definitions in docs/ceilometer, by the rules of its dynamic pollsters.

Those are ceilometer/polling/dynamic_pollster.py's; make soak has Ceilometer itself read them
(tests/soak/test_ceilometer.py). Here every field that they name is in the document that we give.
"""

from __future__ import annotations

import fnmatch
import functools
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.vm.kernels import PROJECT
from tests.support import vmstats_samples as samples
from tests.support.traced_vm import ask, traced_vm

FOLDER = PROJECT / "docs" / "ceilometer"
FILES = sorted((FOLDER / "pollsters.d").glob("*.yaml"))
NAME = re.compile(r"^([\w-]+)(\.[\w-]+)*(\.{[\w-]+})?$")
MULTI_NAME = re.compile(r".*(\.{(\w+)})$")
MULTI_VALUE = re.compile(r"^(\[(\w+)\])((\.\w+)+)$")
REQUIRED = {"name", "sample_type", "unit", "host_command", "value_attribute"}
KNOWN = REQUIRED | {"namespaces", "response_entries_key", "metadata_fields"}
# What a dynamic pollster may be named in an agent of compute nodes.
COMMAND = "curl -s -f -m 10 http://127.0.0.1:50081/v1/exits"


def definitions() -> list[dict[str, Any]]:
    """All pollsters of all files."""
    return [one for file in FILES for one in yaml.safe_load(file.read_text())]


def meters(definition: dict[str, Any], document: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield meter, resource and volume, as a dynamic pollster makes them of the document."""
    name, value = definition["name"], definition["value_attribute"]
    several = MULTI_NAME.match(name)
    for entry in document[definition["response_entries_key"]]:
        for field in definition.get("metadata_fields", []):
            assert entry[field] is not None
        if not several:
            yield name, entry["id"], attribute(entry, value)
            continue
        found = MULTI_VALUE.match(value)
        assert found, value
        for one in attribute(entry, found[2]):
            meter = name.replace(f"{{{several[2]}}}", one[several[2]])
            yield meter, entry["id"], attribute(one, found[3][1:])


def attribute(entry: Any, path: str) -> Any:
    """Return what a path of names leads to; KeyError, which costs Ceilometer the whole meter."""
    return functools.reduce(operator.getitem, path.split("."), entry)


@pytest.fixture
def document(tmp_path: Path) -> Iterator[Any]:
    """The document of a host with web1."""
    with traced_vm(tmp_path):
        yield ask(tmp_path)


def test_definitions_follow_the_rules() -> None:
    """Names, types and fields that Ceilometer takes; no name twice, which it would skip."""
    found = definitions()
    assert len({one["name"] for one in found}) == len(found) == 5
    for one in found:
        assert REQUIRED <= set(one) <= KNOWN, one
        assert NAME.match(one["name"])
        assert bool(MULTI_NAME.match(one["name"])) == bool(
            MULTI_VALUE.match(one["value_attribute"])
        )
        assert one["sample_type"] == "cumulative"
        # Without it a pollster is the central agent's.
        assert one["namespaces"] == ["compute"]
        assert one["host_command"] == COMMAND


def test_each_field_is_in_our_document(document: Any) -> None:
    """The meters of a host with one VM, and their values."""
    found = {
        (meter, resource): volume
        for one in definitions()
        for meter, resource, volume in meters(one, document)
    }
    vm, (host,) = samples.WEB1, document["hosts"]
    assert {meter: volume for (meter, resource), volume in found.items() if resource == vm} == {
        "kvmlog.exits": 6,
        "kvmlog.exits.halts": 2,
        "kvmlog.exit.time.kvm": 20_300,
        "kvmlog.exit.time.vmm": 1_200,
        "kvmlog.exit.time.wait": 0,
        "kvmlog.exit.time.idle": 0,
        "kvmlog.exit.time.paused": 0,
        "kvmlog.exits.reason.io": 3,
        "kvmlog.exits.reason.msr": 1,
    }
    assert {meter for meter, resource in found if resource == host["id"]} == {
        f"kvmlog.losses.{name}" for name in ("dropped", "records", "messages", "unplaced")
    }


def test_the_page_and_the_sources_have_all_meters(document: Any) -> None:
    """docs/engines.md names each; polling.yaml polls each."""
    page = (PROJECT / "docs" / "engines.md").read_text()
    sources = yaml.safe_load((FOLDER / "polling.yaml").read_text())["sources"]
    patterns = [pattern for source in sources for pattern in source["meters"]]
    for one in definitions():
        for meter, _, _ in meters(one, document):
            assert any(fnmatch.fnmatch(meter, pattern) for pattern in patterns)
            # The others of a row by their last part; of reasons there is one.
            named = f"`{meter}`" in page or f"`.{meter.rpartition('.')[2]}`" in page
            assert named or meter.startswith("kvmlog.exits.reason."), meter
