# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs over XML-RPC: each method's document, and each refusal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import table
from kvmlog.vmstats.file import decode, encode
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Snapshot
from tests.support import vmstats_samples as samples
from tests.support.rpc_calls import as_received, call_of


def fresh(snapshot: Snapshot) -> Snapshot:
    """The snapshot as if it had been written just now."""
    return replace(snapshot, collector=replace(snapshot.collector, written=Moment.now()))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """web1, which runs, and db1, which does not."""
    found = Host(tmp_path)
    found.write(fresh(samples.snapshot()))
    return found


class Host:
    """The calls to a server of one host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "vms"

    def write(self, snapshot: Snapshot) -> None:
        """Have the collector know this."""
        new = self._folder / "new"
        new.write_bytes(encode(snapshot))
        new.rename(self.path)

    def call(self, name: str, *given: Any) -> Any:
        """Return the result as a stock client gets it."""
        call = call_of(str(self._folder / "ring"), *given, vmstats=str(self.path))
        return as_received(table.run(name, table.find(name), call))

    def fault(self, name: str, *given: Any) -> Fault:
        """Return the fault."""
        with pytest.raises(Fault) as caught:
            self.call(name, *given)
        return caught.value


def test_the_list_has_all_vms_without_figures(host: Host) -> None:
    """Those that run and those that do not; unknown pids are empty."""
    reply = host.call("vmList")
    assert [(vm["name"], vm["state"], vm["pid"]) for vm in reply["vms"]] == [
        ("web1", "running", "4300"),
        ("db1", "shutoff", ""),
    ]
    assert (reply["late"], reply["age_s"] >= 0) == ("", True)


def test_integers_are_strings_whatever_their_size(host: Host) -> None:
    """Such as all over XML-RPC; figures that are not known are absent."""
    web1 = host.call("vmStats", {"vm": ["web1"], "groups": ["cpu", "state"]})["vms"][0]
    assert web1["cpu"]["time_ns"] == "100000000001"
    assert web1["state"]["name"] == "running"
    assert "memory" not in web1
    db1 = host.call("vmStats")["vms"][1]
    assert (db1["name"], "cpu" in db1) == ("db1", False)


def test_the_block_is_the_collectors_file(host: Host) -> None:
    """All groups, of the VMs asked for."""
    block = host.call("vmStats", {"form": "binary", "vm": ["db1"]})["snapshot"]
    assert decode("block", block).vms == (samples.off_vm(),)
    whole = host.call("vmStats", {"form": "binary"})["snapshot"]
    assert decode("block", whole) == decode("file", host.path.read_bytes())


def test_each_engine_gets_its_document(host: Host) -> None:
    """One member of each, that no other has."""
    assert host.call("vmDiagnostics", "web1")["driver"] == "libvirt"
    assert host.call("vmDiagnostics", "web1", "nova")["cpu0_time"] == "60000000005"
    assert host.call("vmVdsm", "web1")["vmName"] == "web1"
    assert host.call("hostStats")["hosts"][0]["hostname"] == "kvm1.example.net"
    assert host.call("hypervisorDetail")[0]["uptime"]
    assert host.call("hypervisorDetail", "nova-2.53")[0]["vcpus_used"] == "3"
    assert {one["name"] for one in host.call("vmSamples")} >= {"cpu", "vcpus", "power.state"}


@pytest.mark.parametrize("words", [(), ("engine",)])
def test_a_callers_growth_is_its_own(host: Host, words: tuple[str, ...]) -> None:
    """Nothing the first time, then what has grown; another word of the same caller starts anew."""
    first = host.call("vmCloudStack", *words)
    assert first["vmStatsMap"]["web1"]["networkReadKBs"] == 0
    assert first["accumulated"]["web1"]["networkReadKBs"] == 4000
    grown = samples.vm()
    grown = replace(grown, accumulated=samples.accumulated(rx_bytes=4_096_000 + 1_024_000))
    # Late enough that no call is answered from the poll before.
    host.write(fresh(samples.snapshot(grown)))
    host.call("vmList")
    while "db1" in [vm["name"] for vm in host.call("vmList")["vms"]]:
        pass
    assert host.call("vmCloudStack", "other")["vmStatsMap"]["web1"]["networkReadKBs"] == 0
    assert host.call("vmCloudStack", *words)["vmStatsMap"]["web1"]["networkReadKBs"] == 1000


@pytest.mark.parametrize(
    ("name", "given", "code", "sentence"),
    [
        ("vmDiagnostics", ("db1",), faults.VM_NOT_RUNNING, "db1: its state is shutdown"),
        ("vmDiagnostics", ("none",), faults.NO_GUEST, "no VM has the name, UUID or pid 'none'"),
        ("vmStats", ({"vm": ["web1", "x"]},), faults.NO_GUEST, "name one of: web1 (2b6a0c3e-"),
        ("vmStats", ({"groups": ["gpu"]},), faults.INVALID_PARAMETERS, "some of state, cpu, "),
        ("vmStats", ({"groups": []},), faults.INVALID_PARAMETERS, "some of state, cpu, "),
        ("vmStats", ({"groups": [[]]},), faults.INVALID_PARAMETERS, "some of state, cpu, "),
        (
            "vmStats",
            ({"groups": ["cpu"], "form": "binary"},),
            faults.INVALID_PARAMETERS,
            "it has all groups, give none.",
        ),
        ("vmDiagnostics", ("web1", "xml"), faults.INVALID_PARAMETERS, "give one of nova, nova-2.4"),
        ("vmDiagnostics", (5,), faults.INVALID_PARAMETERS, "the VM is 5; give a string of 1 to"),
        ("vmVdsm", ("",), faults.INVALID_PARAMETERS, "the VM is ''; give a string of 1 to"),
        ("vmCloudStack", (["a"],), faults.INVALID_PARAMETERS, "the caller is ['a']; give a str"),
        ("hypervisorDetail", ("nova",), faults.INVALID_PARAMETERS, "give one of nova-2.53, nova-"),
    ],
)
def test_bad_input_is_a_sentence(
    host: Host, name: str, given: tuple[Any, ...], code: int, sentence: str
) -> None:
    """It has its own code, the value, and what to give instead."""
    fault = host.fault(name, *given)
    assert (fault.faultCode, sentence in fault.faultString) == (code, True), fault.faultString


def test_without_a_collector_and_with_a_foreign_file(host: Host) -> None:
    """Each call says which, and what to do."""
    host.path.unlink()
    fault = host.fault("vmList")
    assert fault.faultCode == faults.NO_VM_STATISTICS
    assert "start the collector (kvmlog vmstats)" in fault.faultString
    host.path.write_text("{}", encoding="ascii")
    assert host.fault("vmVdsm", "web1").faultCode == faults.VM_STATISTICS_UNREADABLE


@pytest.mark.parametrize(
    ("name", "given"), [("vmDiagnostics", ("web1",)), ("vmCloudStack", ()), ("vmSamples", ())]
)
def test_a_late_collector_is_no_source_for_engines(
    host: Host, name: str, given: tuple[str, ...]
) -> None:
    """Their documents cannot say how old they are; our own do."""
    host.path.unlink()
    host.write(samples.snapshot())
    fault = host.fault(name, *given)
    assert fault.faultCode == faults.VM_STATISTICS_LATE
    assert "the collector has not written since" in fault.faultString
    assert "the collector has not written since" in host.call("vmStats")["late"]
    assert host.call("vmDiagnostics", "web1", "kvmlog")["age_s"] > 1


def test_a_vm_that_ended_or_pauses_has_no_diagnostics(host: Host) -> None:
    """As Nova has it; VDSM tells its state."""
    host.path.unlink()
    host.write(fresh(samples.snapshot(samples.vm(state=State.PAUSED))))
    assert host.fault("vmDiagnostics", "web1").faultCode == faults.VM_NOT_RUNNING
    assert host.call("vmVdsm", "web1")["status"] == "Paused"
