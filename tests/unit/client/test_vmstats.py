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
from kvmlog.vmstats.moment import Moment
from tests.support import vmstats_samples as samples
from tests.support.rpc_calls import as_received, call_of

SNAPSHOT = samples.snapshot(samples.vm(), samples.hung_vm(), samples.off_vm())


def reply(folder: Path, vm: list[str]) -> Any:
    """What a stock client gets of the VMs by hand."""
    path = folder / "vms"
    path.write_bytes(encode(SNAPSHOT))
    call = call_of(str(folder / "ring"), parameters(vm), vmstats=str(path))
    return as_received(table.run("vmStats", table.find("vmStats"), call))


def test_all_that_was_sampled_arrives(tmp_path: Path) -> None:
    """Each figure with its type, the unknown ones None; and how old they are."""
    before = Moment.now().monotonic_ns
    found = parse_vm_stats(reply(tmp_path, []))
    assert found.snapshot == SNAPSHOT
    assert before - 1000 <= found.now.monotonic_ns <= Moment.now().monotonic_ns + 1000
    assert found.late is not None
    assert "the collector has not written since" in found.late


def test_only_the_vms_asked_for_arrive(tmp_path: Path) -> None:
    """All VMs of a name, with the host."""
    found = parse_vm_stats(reply(tmp_path, ["web1"])).snapshot
    assert found == replace(SNAPSHOT, vms=SNAPSHOT.vms[:2])


@pytest.mark.parametrize(
    "change",
    [
        {"snapshot": ""},
        {"snapshot": b"{}"},
        {"snapshot": b'{"format": "kvmlog-vmstats", "version": 1}'},
        {"age_s": ""},
        {"age_s": 1e308},
    ],
)
def test_what_is_no_reply_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    """A sentence, whatever is missing."""
    with pytest.raises(RpcError, match="the reply lacks something"):
        parse_vm_stats({**reply(tmp_path, []), **change})
    with pytest.raises(RpcError, match="the reply lacks something"):
        parse_vm_stats(None)
