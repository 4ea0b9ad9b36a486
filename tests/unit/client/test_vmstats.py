# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs over RPC as the collector's own classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvmlog.client import RpcError
from kvmlog.client.vmstats import parameters, parse_vm_stats
from kvmlog.rpcserver.methods import table
from kvmlog.vmstats.file import encode
from tests.support import vmstats_samples as samples
from tests.support.rpc_calls import as_received, call_of


def reply(folder: Path, method: str, *given: Any) -> Any:
    """What a stock client gets of the VMs by hand."""
    path = folder / "vms"
    path.write_bytes(encode(samples.snapshot(samples.vm(), samples.hung_vm(), samples.off_vm())))
    call = call_of(str(folder / "ring"), *given, vmstats=str(path))
    return as_received(table.run(method, table.find(method), call))


def test_all_of_a_vm_arrives(tmp_path: Path) -> None:
    """Each figure as it was sampled, with its type, the unknown ones None."""
    found = parse_vm_stats(reply(tmp_path, "vmStats"))
    assert found.snapshot == replace(
        samples.snapshot(samples.vm(), samples.hung_vm(), samples.off_vm()), hosts=()
    )
    assert found.late is not None


def test_all_of_a_host_arrives(tmp_path: Path) -> None:
    """As with VMs."""
    found = parse_vm_stats(reply(tmp_path, "hostStats"))
    assert found.hosts == (samples.host(),)
    assert found.snapshot.collector == samples.collector()


def test_groups_that_were_not_asked_for_are_none(tmp_path: Path) -> None:
    """Counters and rates alike; the rest of the VM is there."""
    given = parameters(["db1", "web1"], ["cpu", "blocks"])
    vms = parse_vm_stats(reply(tmp_path, "vmStats", given)).snapshot.vms
    assert [vm.sample.name for vm in vms] == ["db1", "web1", "web1"]
    web1 = vms[1]
    assert (web1.sample.cpu, web1.sample.blocks) == (samples.cpu(), samples.blocks())
    assert (web1.sample.memory, web1.sample.interfaces) == (None, None)
    assert web1.rates == replace(samples.rates(), memory=None, interfaces=None)


@pytest.mark.parametrize(
    "change",
    [
        {"collector": ""},
        {"now": {"monotonic_ns": "1"}},
        {"now": {"monotonic_ns": True, "realtime_ns": "2"}},
        {"vms": [{}]},
        {"boot_id": None, "vms": 7},
    ],
)
def test_what_is_no_reply_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    """A sentence, whatever is missing."""
    with pytest.raises(RpcError, match="the reply lacks something"):
        parse_vm_stats({**reply(tmp_path, "vmStats"), **change})
