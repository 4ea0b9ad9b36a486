# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened on a host over XML-RPC: each method's answer from a real file, and each refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from kvmlog.history import protocol, services
from kvmlog.history.model import Binary
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import HistoryPaths
from kvmlog.rpcserver.vms import past
from kvmlog.vmstats.events import Kind
from kvmlog.vmstats.file import encode
from tests.support import vmstats_samples as samples
from tests.support.history_book import IDENTITY, UUID, Book
from tests.support.json_process import fresh
from tests.support.rpc_calls import as_received, call_of

SHOP = samples.instance().project_id
SINCE = "2026-11-20T19:46:02.000000"


class Host:
    """The calls to a server of one host, whose history knows web1 since 19:46:02."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.book = Book(folder)
        self.vms = folder / "vms"
        self.paths = HistoryPaths(self.book.path, str(folder / "socket"))

    def call(self, name: str, *given: Any) -> Any:
        """Return the result as a stock client gets it."""
        ring = str(self._folder / "ring")
        call = call_of(ring, *given, vmstats=str(self.vms), history=self.paths)
        return as_received(table.run(name, table.find(name), call))

    def fault(self, name: str, *given: Any) -> Fault:
        """Return the fault."""
        with pytest.raises(Fault) as caught:
            self.call(name, *given)
        return caught.value


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """web1 started at 2, was paused at 10 and met a full disk at 11; it is now 100."""
    made = Host(tmp_path)
    with made.book as book:
        book.started()
        book.poll(5, book.sample(5))
        book.tell(10, Kind.SUSPENDED, "paused")
        book.tell(11, Kind.IO_ERROR, "enospc", alias="virtio-disk0", path="/x", action="report")
        with book.store.transaction(book.stamp(60)) as transaction:
            for binary in (Binary.VMSTATS, Binary.RPC):
                services.beat(transaction, binary, "nova", IDENTITY.host_uuid, book.stamp(60))
        made.vms.write_bytes(encode(fresh()))
        monkeypatch.setattr(past, "_now", lambda: book.stamp(100))
        yield made


def test_services_are_listed_and_filtered(host: Host) -> None:
    """Exactly by host and binary; unknown: none, as in Nova."""
    found = host.call("serviceList")
    assert [one["binary"] for one in found] == ["kvmlog-rpc", "kvmlog-vmstats"]
    assert {one["state"] for one in found} == {"up"}
    assert found[0]["report_count"] == "1"
    (one,) = host.call("serviceList", {"binary": "kvmlog-rpc", "host": "host1"})
    assert one == found[0]
    assert host.call("serviceList", {"host": "host"}) == []
    assert host.call("serviceList", {"binary": "kvmlog"}) == []


def test_actions_and_one_with_its_events(host: Host) -> None:
    """Newest first, by name and by UUID, a page at a time; no integer but as text."""
    found = host.call("vmActions", {"vm": "web1"})
    assert [one["action"] for one in found] == ["pause", "start", "create"]
    assert {one["instance_uuid"] for one in found} == {UUID}
    assert {one["user_id"] for one in found} == {""}
    assert found == host.call("vmActions", {"vm": UUID.upper()})
    assert found == host.call("vmActions")
    (first,) = host.call("vmActions", {"vm": "web1", "limit": 1})
    assert first == found[0]
    rest = host.call("vmActions", {"vm": "web1", "marker": first["request_id"]})
    assert rest == found[1:]
    one = host.call("vmAction", "web1", first["request_id"])
    assert {**first, "events": one["events"]} == one
    assert one["events"][0]["host"] == "host1"


def test_actions_by_when_they_changed(host: Host) -> None:
    """Inclusive at both ends."""
    found = host.call("vmActions", {"vm": "web1"})
    pause = found[0]["updated_at"]
    assert host.call("vmActions", {"vm": "web1", "since": pause}) == found[:1]
    assert host.call("vmActions", {"vm": "web1", "before": "2026-11-20T19:46:05"}) == found[1:]
    assert host.call("vmActions", {"vm": "web1", "since": "2026-11-21"}) == []


def test_faults_of_one_and_of_all(host: Host) -> None:
    """Each has what libvirt told of it."""
    (found,) = host.call("vmFaults", {"vm": "web1", "limit": 5, "since": SINCE})
    assert (found["kind"], found["code"], found["count"]) == ("io-error", "500", "1")
    assert found["details"]["alias"] == "virtio-disk0"
    assert host.call("vmFaults") == [found]
    assert host.call("vmFaults", {"since": "2026-11-21"}) == []
    assert host.call("vmFaults", {"vm": "db1"}) == []


def test_usage_of_owners(host: Host) -> None:
    """web1 counts from its definition at 1 until now, at 100."""
    found = host.call("projectUsage", {"detailed": True})
    assert found["observed_since"] == SINCE
    (owner,) = [one for one in found["tenant_usages"] if one["tenant_id"] == SHOP]
    (server,) = owner["server_usages"]
    assert (server["instance_id"], server["vcpus"], server["ended_at"]) == (UUID, "2", "")
    assert server["uptime"] == "99"
    (brief,) = host.call("projectUsage", {"project": SHOP})["tenant_usages"]
    assert "server_usages" not in brief
    assert brief["total_hours"] == owner["total_hours"] > 0
    assert host.call("projectUsage", {"project": "other"})["tenant_usages"] == []
    half = host.call("projectUsage", {"start": "2026-11-20T19:46:12", "end": "2026-11-20T19:46:48"})
    assert half["tenant_usages"][0]["total_hours"] == 0.01


def test_a_vm_that_is_gone_has_its_past(host: Host) -> None:
    """Its UUID finds it, and the name that it had; no collector is needed."""
    host.book.tell(20, Kind.STOPPED, "shutdown")
    host.book.tell(21, Kind.UNDEFINED, "removed")
    host.vms.write_bytes(encode(fresh(samples.snapshot(samples.off_vm()))))
    whole = host.call("vmActions", {"vm": UUID})
    assert host.call("vmActions", {"vm": "web1"}) == whole != []
    assert host.fault("vmActions", {"vm": "web2"}).faultCode == faults.NO_GUEST
    host.vms.unlink()
    assert host.call("vmActions", {"vm": "web1"}) == whole
    (owner,) = host.call("projectUsage", {"project": SHOP, "detailed": True})["tenant_usages"]
    assert owner["server_usages"][0]["state"] == "terminated"


def test_a_collector_out_of_use_takes_its_host_with_it(host: Host) -> None:
    """Hypervisors, hosts and statistics know; another host's collector is not this one's."""
    assert host.call("hypervisorStatistics")["count"] == "1"
    hosts = [(one["host_name"], one["service"]) for one in host.call("hostList")]
    assert hosts == [("kvm1.example.net", "compute"), ("host1", "rpc"), ("host1", "vmstats")]
    out = protocol.Update(enabled=False, disabled_reason="new disks")
    with host.book.store.transaction(host.book.stamp(70)) as transaction:
        services.update(transaction, Binary.VMSTATS, out)
    (listed,) = host.call("hypervisorList", {"servers": True, "pattern": "kvm1"})
    assert listed["status"] == "disabled"
    assert [one["name"] for one in listed["servers"]] == ["web1", "db1"]
    (detail,) = host.call("hypervisorDetail")
    assert detail["service"]["disabled_reason"] == "new disks"
    (service,) = host.call("serviceList", {"binary": "kvmlog-vmstats"})
    assert detail["service"]["id"] == service["id"]
    assert host.call("hypervisorStatistics")["count"] == "0"
    assert [one["service"] for one in host.call("hostList")] == ["rpc"]


@pytest.mark.parametrize(
    ("name", "given", "code", "sentence"),
    [
        ("vmActions", ({"vm": "none"},), faults.NO_GUEST, "no VM has the name, UUID or pid 'none'"),
        (
            "vmActions",
            ({"vm": ""},),
            faults.INVALID_PARAMETERS,
            "vm is ''; give a string of",
        ),
        ("vmActions", (7,), faults.INVALID_PARAMETERS, "vmActions takes a struct, not 7."),
        (
            "vmActions",
            ({"limit": 0},),
            faults.INVALID_PARAMETERS,
            "limit is 0; give a whole number from 1 to 1000",
        ),
        ("vmActions", ({"limit": 1001},), faults.INVALID_PARAMETERS, "from 1 to 1000"),
        (
            "vmActions",
            ({"vm": "web1", "marker": "req-x"},),
            faults.INVALID_PARAMETERS,
            "no action has the request_id 'req-x'",
        ),
        (
            "vmActions",
            ({"since": "soon"},),
            faults.INVALID_PARAMETERS,
            "'soon' is no time; give one like 2026-11-30",
        ),
        (
            "vmActions",
            ({"zz": "x"},),
            faults.INVALID_PARAMETERS,
            "vmActions has no member 'zz'; it takes vm, limit, marker, since, before.",
        ),
        ("vmAction", ("web1", "req-x"), faults.NO_ACTION, "action req-x not found; list the VM's"),
        ("vmFaults", ({"vm": "none"},), faults.NO_GUEST, "no VM has the name"),
        (
            "projectUsage",
            ({"start": "2026-11-30", "end": "2026-11-29"},),
            faults.INVALID_PARAMETERS,
            "the start is not before the end",
        ),
        (
            "projectUsage",
            ({"marker": "x"},),
            faults.INVALID_PARAMETERS,
            "marker x not found; give the last instance_id",
        ),
        (
            "serviceUpdate",
            ("x", {"status": "disabled"}),
            faults.NO_SERVICE,
            "service x could not be found; list the services",
        ),
        (
            "serviceUpdate",
            ("x", {"status": "off"}),
            faults.INVALID_PARAMETERS,
            "status is 'off'; give one of enabled, disabled",
        ),
        ("serviceUpdate", ("x", {}), faults.INVALID_PARAMETERS, "nothing to change; give status"),
        ("serviceUpdate", ("x", []), faults.INVALID_PARAMETERS, "takes a struct, not []"),
        (
            "serviceUpdate",
            ("x", {"status": "enabled", "disabled_reason": "y"}),
            faults.INVALID_PARAMETERS,
            "disabled_reason without status disabled",
        ),
        (
            "serviceUpdate",
            ("x", {"status": "disabled", "disabled_reason": "y" * 256}),
            faults.INVALID_PARAMETERS,
            "give a string of 1 to 255 characters",
        ),
        (
            "serviceUpdate",
            ("x", {"force_down": True}),
            faults.INVALID_PARAMETERS,
            "there is no member 'force_down' (did you mean forced_down?) here",
        ),
        (
            "hypervisorList",
            ({"pattern": "kvm9"},),
            faults.NO_HYPERVISOR,
            "no hypervisor matching 'kvm9' could be found; there are: kvm1.example.net",
        ),
        ("hypervisorList", ({"servers": 1},), faults.INVALID_PARAMETERS, "give a boolean"),
        ("projectLimits", ("",), faults.INVALID_PARAMETERS, "the project is ''; give a string"),
    ],
)
def test_bad_input_is_a_sentence(
    host: Host, name: str, given: tuple[Any, ...], code: int, sentence: str
) -> None:
    """It has its own code, the value, and what to give instead."""
    fault = host.fault(name, *given)
    assert (fault.faultCode, sentence in fault.faultString) == (code, True), fault.faultString


def test_without_a_history_the_rest_goes_on(host: Host) -> None:
    """What needs it says so; hosts are enabled, as nothing disables them."""
    host.paths = HistoryPaths("/nonexistent/history.db", "/nonexistent/socket")
    for name, given in (
        ("serviceList", ()),
        ("vmFaults", ()),
        ("projectUsage", ()),
        ("vmActions", ({"vm": "web1"},)),
        ("serviceUpdate", ("x", {"forced_down": True})),
    ):
        fault = host.fault(name, *given)
        assert fault.faultCode == faults.NO_HISTORY
        assert "there is no history; start it (kvmlog history)" in fault.faultString
    assert host.call("hypervisorList")[0]["status"] == "enabled"
    assert [one["service"] for one in host.call("hostList")] == ["compute"]
    assert host.call("projectLimits", SHOP)["absolute"]["totalInstancesUsed"] == "1"


def test_a_file_that_is_no_history(host: Host, tmp_path: Path) -> None:
    """Another fault: it is there."""
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"x" * 4096)
    host.paths = HistoryPaths(str(foreign), "/nonexistent/socket")
    assert host.fault("serviceList").faultCode == faults.HISTORY_UNREADABLE


def test_a_change_takes_the_process_that_writes(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault says that it is not there, and the log who asked for what."""
    (service,) = host.call("serviceList", {"binary": "kvmlog-rpc"})
    fault = host.fault("serviceUpdate", service["id"], {"forced_down": True})
    assert fault.faultCode == faults.SERVICE_NOT_CHANGED
    assert "kvmlog history" in fault.faultString
    logged = capsys.readouterr().err
    assert "(root) asked for kvmlog-rpc on host1 to be forced down, not done: " in logged


def test_owners_have_the_last_name_that_was_seen(host: Host) -> None:
    """The reader of the file has those of all VMs that there are or were."""
    known = host.book.reader.owners()
    assert known == {SHOP: "shop"}
    renamed = samples.definition(instance=samples.instance(project_name="market"))
    host.book.poll(50, host.book.sample(50, definition=renamed))
    assert host.book.reader.owners() == {SHOP: "market"}
    assert host.book.reader.uuids_named("web1") == (UUID,)
    assert host.book.reader.uuids_named("web") == ()
