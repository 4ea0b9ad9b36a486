# SPDX-License-Identifier: GPL-2.0-or-later
"""The collector's figures of two real guests: those of libvirt, and what the guests did.

What OpenStack's own clients make of them, and of their history, is here too: guests take long to
boot.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Sample, State
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import ceilometer, nova_diagnostics
from kvmlog.vmstats.views.schemas import schema
from kvmlog.vmstats.views.table import FORMATS
from tests.support.foreign_clients import auth, openstack, openstack_session, run
from tests.support.history_process import History, history
from tests.support.json_process import JsonHost, json_server_of
from tests.support.libvirt_guest import DISK_BYTES, MEMORY_MIB, LibvirtGuest
from tests.support.libvirt_host import LibvirtHost
from tests.support.scale import REPEATS
from tests.support.vmstats_process import Collector

Guests = tuple[LibvirtGuest, LibvirtGuest]
_NOVA: Final = "http://openstack.org/xmlns/libvirt/nova/1.1"
_OWNED: Final = (
    "<instance><name>web</name><flavor name='m1.tiny'><memory>256</memory><disk>1</disk>"
    "<swap>0</swap><ephemeral>2</ephemeral><vcpus>3</vcpus></flavor>"
    "<owner><user uuid='u-1'>ann</user><project uuid='p-1'>shop</project></owner></instance>"
)
# Prints what OpenStack's own library makes of the replies.
_SDK: Final = """
import json, sys
import openstack
connection = openstack.connect(
    **json.loads(sys.argv[1]), load_yaml_config=False, load_envvars=False
)
compute, uuid = connection.compute, sys.argv[2]
(service,) = compute.services(binary="kvmlog-vmstats")
compute.update_service_forced_down(service, service.host, service.binary, True)
(down,) = compute.services(binary="kvmlog-vmstats")
was = [down.state, down.is_forced_down]
compute.update_service_forced_down(down, down.host, down.binary, False)
pages = list(compute.server_actions(uuid, limit=1))
action = compute.get_server_action(pages[0].request_id, uuid)
print(json.dumps({
    "down": was,
    "pages": [one.to_dict() for one in pages],
    "action": action.to_dict(),
    "limits": compute.get_limits(tenant_id="p-1").to_dict(),
    "usage": compute.get_usage("p-1").to_dict(),
    "servers": [one.id for one in compute.servers(details=False, limit=1)],
}))
"""
# How long a guest is busy, and how near its time comes to that.
_BUSY_NS, _NEAR = (60_000_000_000, 0.01) if REPEATS > 1 else (8_000_000_000, 0.05)
# virsh domstats' keys and our figures, and what one of theirs is in our unit.
_GROWING: Final = {
    "cpu.time": "cpu.time_ns",
    "cpu.user": "cpu.user_ns",
    "cpu.system": "cpu.system_ns",
    "vcpu.0.time": "cpu.vcpus.0.time_ns",
    "vcpu.0.delay": "cpu.vcpus.0.delay_ns",
    "block.0.rd.bytes": "blocks.0.read_bytes",
    "block.0.rd.reqs": "blocks.0.read_requests",
    "block.0.rd.times": "blocks.0.read_time_ns",
    "block.0.wr.bytes": "blocks.0.write_bytes",
    "block.0.wr.reqs": "blocks.0.write_requests",
    "block.0.wr.times": "blocks.0.write_time_ns",
    "block.0.fl.reqs": "blocks.0.flush_requests",
    "block.0.fl.times": "blocks.0.flush_time_ns",
    "block.0.allocation": "blocks.0.allocation_bytes",
    "net.0.rx.bytes": "interfaces.0.rx_bytes",
    "net.0.rx.pkts": "interfaces.0.rx_packets",
    "net.0.tx.bytes": "interfaces.0.tx_bytes",
    "net.0.tx.pkts": "interfaces.0.tx_packets",
    "balloon.minor_fault": "memory.minor_faults",
    "balloon.major_fault": "memory.major_faults",
}
_STANDING: Final = {
    "balloon.current": ("memory.actual_bytes", 1024),
    "balloon.maximum": ("memory.maximum_bytes", 1024),
    "balloon.available": ("memory.available_bytes", 1024),
    "block.0.capacity": ("blocks.0.capacity_bytes", 1),
    "state.state": ("state", 1),
    "state.reason": ("state_reason", 1),
}


def domstats(host: LibvirtHost, name: str) -> dict[str, int]:
    """The numbers that virsh prints of a domain now."""
    text = host.virsh("domstats", "--nowait", name)
    return {key: int(value) for key, value in re.findall(r"^\s+(\S+)=(\d+)$", text, re.MULTILINE)}


def figure(sample: Sample, path: str) -> int:
    """A figure of a sample: "blocks.0.read_bytes"."""
    found: object = sample
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    assert isinstance(found, int), path
    return found


@pytest.fixture(autouse=True)
def booted(libvirtd: LibvirtHost, guests: Guests) -> None:
    """They have booted, and their balloons' drivers tell."""
    for guest in guests:
        guest.run("true")
        while "balloon.available" not in domstats(libvirtd, guest.name):
            time.sleep(0.1)


def test_figures_are_those_of_virsh(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector
) -> None:
    """Each counter lies between those that virsh shows before and after; what stands is equal."""
    for guest in guests:
        before = domstats(libvirtd, guest.name)
        sample = vmstats.fresh(guest.name).sample
        after = domstats(libvirtd, guest.name)
        wrong = {
            key: (before[key], figure(sample, path), after[key])
            for key, path in _GROWING.items()
            if not before[key] <= figure(sample, path) <= after[key]
        }
        assert wrong == {}
        found = {key: figure(sample, path) for key, (path, _) in _STANDING.items()}
        assert found == {key: after[key] * unit for key, (_, unit) in _STANDING.items()}


def test_documents(libvirtd: LibvirtHost, guests: Guests, vmstats: Collector) -> None:
    """Each format of a real guest has its schema; Nova's figures lie between those of virsh."""
    web = guests[0]
    before = domstats(libvirtd, web.name)
    vm = vmstats.fresh(web.name)
    after = domstats(libvirtd, web.name)
    now = Moment.now()
    for one in FORMATS.values():
        jsonschema.validate(one.document(vm, now), schema(one.schema))
    samples, _ = ceilometer.samples([vm], {}, now)
    jsonschema.validate(samples, schema("ceilometer"))
    flat = nova_diagnostics.document(vm, now)
    device = vm.sample.definition.nics[0].target
    for key, of_virsh in {
        "cpu0_time": "vcpu.0.time",
        "vda_read": "block.0.rd.bytes",
        "vda_read_req": "block.0.rd.reqs",
        "vda_write": "block.0.wr.bytes",
        "vda_write_req": "block.0.wr.reqs",
        f"{device}_rx": "net.0.rx.bytes",
        f"{device}_tx_packets": "net.0.tx.pkts",
        "memory": "balloon.maximum",
        "memory-actual": "balloon.current",
        "memory-available": "balloon.available",
    }.items():
        assert before[of_virsh] <= flat[key] <= after[of_virsh], key
    assert [key for key in flat if key.startswith("sda")] == []


def test_stock_clients_read_them(
    libvirtd: LibvirtHost, guests: Guests, vmstats: Collector, tmp_path: Path
) -> None:
    """OpenStack's own command shows this host, and each guest as libvirt counts it."""
    with json_server_of(vmstats.file, tmp_path) as server:
        (hypervisor,) = openstack(server, "hypervisor", "list")
        shown = openstack(server, "hypervisor", "show", hypervisor["ID"])
        assert (shown["running_vms"], shown["vcpus_used"]) == (len(guests), len(guests))
        for guest in guests:
            before = domstats(libvirtd, guest.name)
            vmstats.fresh(guest.name)
            found = openstack(server, "server", "show", "--diagnostics", guest.uuid)
            after = domstats(libvirtd, guest.name)
            (nic,) = found["nic_details"]
            assert nic["mac_address"] == guest.mac
            assert before["net.0.rx.bytes"] <= nic["rx_octets"] <= after["net.0.rx.bytes"]
            (cpu,) = found["cpu_details"]
            assert before["vcpu.0.time"] <= cpu["time"] <= after["vcpu.0.time"]


@pytest.fixture
def kept(
    libvirtd: LibvirtHost,
    guests: Guests,
    vmstats: Collector,
    tmp_path: Path,
) -> Iterator[History]:
    """A history of them, in which web1 belongs to somebody, was paused, and went on."""
    web = guests[0]
    metadata = ("metadata", web.name, "--uri", _NOVA, "--live")
    libvirtd.virsh(*metadata, "--key", "nova", "--set", _OWNED)
    try:
        with history(tmp_path, vmstats.file) as made:
            made.until(lambda reader: len(reader.lives()) == len(guests))
            libvirtd.virsh("suspend", web.name)
            made.until(lambda _: made.names(web.uuid)[-1:] == ["pause"])
            libvirtd.virsh("resume", web.name)
            made.until(lambda _: made.names(web.uuid)[-1:] == ["unpause"])
            made.until(lambda reader: any(life.owner for life in reader.lives(uuid=web.uuid)))
            yield made
    finally:
        libvirtd.virsh(*metadata, "--remove")


@pytest.fixture
def server(kept: History, vmstats: Collector, tmp_path: Path) -> Iterator[JsonHost]:
    """A server of both."""
    options = ["--history-file", str(kept.file), "--history-socket", str(kept.socket)]
    with json_server_of(vmstats.file, tmp_path, options) as found:
        kept.until(lambda reader: reader.services(binary="kvmlog-rpc"))
        yield found


def test_the_openstack_command_and_the_library_show_what_happened(
    guests: Guests, kept: History, vmstats: Collector, server: JsonHost
) -> None:
    """Services, hosts, totals, actions, usage and limits, each with a stock client; and changes."""
    web, data = guests
    vmstats.until_vm("web1", lambda vm: vm.sample.definition.instance is not None)
    host = vmstats.snapshot().hosts[0].hostname
    kept_host = kept.reader.status().host
    pause = next(one for one in kept.actions(web.uuid) if one.action == "pause")
    shown = openstack_session(
        server,
        "compute service list --long -f json",
        f"compute service set --disable --disable-reason disks {kept_host} kvmlog-vmstats",
        "compute service list --service kvmlog-vmstats --long -f json",
        "hypervisor stats show -f json",
        "host list -f json",
        f"compute service set --enable {kept_host} kvmlog-vmstats",
        "hypervisor list -f json",
        "hypervisor stats show -f json",
        f"host show {host} -f json",
        f"server list --host {host} -n -f json",
        "server event list web1 -f json",
        f"server event show {web.uuid} {pause.request_id} -f json",
        "usage list -f json",
        "usage show --project shop -f json",
        "limits show --absolute --project p-1 -f json",
        version="2.84",
    )
    found = iter(shown)
    services = {one["Binary"]: one for one in next(found)}
    assert services.keys() == {"kvmlog-rpc", "kvmlog-vmstats", "kvmlog-history"}
    assert {one["State"] for one in services.values()} == {"up"}
    (disabled,) = next(found)
    assert (disabled["Status"], disabled["Disabled Reason"]) == ("disabled", "disks")
    assert next(found)["count"] == 0
    assert "compute" not in {one["Service"] for one in next(found)}
    (hypervisor,) = next(found)
    assert (hypervisor["Hypervisor Hostname"], hypervisor["State"]) == (host, "up")
    totals = next(found)
    # web1's flavor, and data1's definition.
    assert (totals["count"], totals["running_vms"], totals["vcpus_used"]) == (1, 2, 3 + 1)
    assert totals["memory_mb_used"] == 512 + 256 + MEMORY_MIB
    by_project = {one["Project"]: one for one in next(found)}
    assert (by_project["p-1"]["CPU"], by_project[None]["CPU"]) == (3, 1)
    assert {one["Name"]: one["Status"] for one in next(found)} == {
        "web": "ACTIVE",
        "data1": "ACTIVE",
    }
    listed = next(found)
    # Its flavor may have become known after that, with Nova's metadata: a resize.
    actions = [one["Action"] for one in listed if one["Action"] != "resize"]
    assert actions[:2] == ["unpause", "pause"]
    event = next(found)
    assert (event["action"], event["request_id"]) == ("pause", pause.request_id)
    assert [one["result"] for one in event["events"]] == ["Success"]
    assert event["events"][0]["host"] == kept_host
    usages = {one["Project"]: one for one in next(found)}
    assert "p-1" in usages
    assert data.uuid in {server["instance_id"] for server in usages[None]["Servers"]}
    assert next(found)["Project"] == "p-1"
    limits = {one["Name"]: one["Value"] for one in next(found)}
    assert (limits["total_cores_used"], limits["instances_used"]) == (3, 1)

    done = run(server, "python", "-c", _SDK, json.dumps(auth(server, "none")), web.uuid)
    assert done.returncode == 0, done.stderr
    sdk = json.loads(done.stdout)
    assert sdk["down"] == ["down", True]
    assert [one["action"] for one in sdk["pages"]] == list(reversed(kept.names(web.uuid)))
    assert sdk["action"]["action"] == kept.names(web.uuid)[-1]
    assert sdk["limits"]["absolute"]["total_cores_used"] == 3
    (usage,) = [one for one in sdk["usage"]["server_usages"] if one["instance_id"] == web.uuid]
    assert (usage["vcpus"], usage["memory_mb"], usage["flavor"]) == (3, 256, "m1.tiny")
    assert sorted(sdk["servers"]) == sorted(guest.uuid for guest in guests)


def test_who_it_is(libvirtd: LibvirtHost, guests: Guests, vmstats: Collector) -> None:
    """Identity, definition and process of each guest."""
    for guest in guests:
        sample = vmstats.vm(guest.name).sample
        assert (sample.uuid, sample.pid, sample.active) == (guest.uuid, guest.pid, True)
        assert (sample.state, sample.uri) == (State.RUNNING, libvirtd.read_only_uri)
        # They ran before the collector did.
        assert sample.started is not None
        assert sample.started < vmstats.snapshot().collector.started
        definition = sample.definition
        assert definition.maximum_memory_bytes == MEMORY_MIB << 20
        assert [(disk.target, disk.counts) for disk in definition.disks] == [
            ("vda", True),
            ("sda", False),
        ]
        assert [nic.mac for nic in definition.nics] == [guest.mac]
        assert sample.interfaces is not None
        assert [one.key for one in sample.interfaces] == [guest.mac]


def test_what_a_guest_writes_and_reads(guests: Guests, vmstats: Collector) -> None:
    """A known number of bytes in requests of a known size, in counters, rates and sums."""
    web, data = guests
    before, other = vmstats.fresh(web.name), vmstats.vm(data.name)
    web.run("dd if=/dev/zero of=/dev/vda bs=64k count=64 oflag=direct 2>/dev/null")
    web.run("dd if=/dev/vda of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null")
    after, idle = vmstats.fresh(web.name), vmstats.vm(data.name)
    assert grown(before, after, "write_bytes") == 64 << 16
    assert grown(before, after, "write_requests") == 64
    assert grown(before, after, "read_bytes") == 32 << 16
    assert grown(before, after, "read_requests") == 32
    assert after.accumulated.write_bytes - before.accumulated.write_bytes == 64 << 16
    assert after.accumulated.read_requests - before.accumulated.read_requests == 32
    assert idle.accumulated.write_bytes == other.accumulated.write_bytes
    sample = after.sample
    assert sample.blocks is not None
    assert sample.blocks[0].capacity_bytes == DISK_BYTES


@pytest.mark.parametrize("size", [60, 1_400])
def test_traffic_one_way_is_received(guests: Guests, vmstats: Collector, size: int) -> None:
    """What a guest is sent is received, by packets and bytes, and it sent nothing."""
    web, _ = guests
    before = vmstats.fresh(web.name)
    web.receive(250, size)
    after = vmstats.fresh(web.name)
    first, last = before.sample.interfaces, after.sample.interfaces
    assert first is not None
    assert last is not None
    found = {
        name: getattr(last[0], name) - getattr(first[0], name)
        for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_errors", "rx_drops")
    }
    assert found == {
        "rx_packets": 250,
        "rx_bytes": 250 * size,
        "tx_packets": 0,
        "tx_bytes": 0,
        "rx_errors": 0,
        "rx_drops": 0,
    }
    assert web.run("cat /sys/class/net/eth0/statistics/rx_packets").strip() == str(
        last[0].rx_packets
    )


def test_a_busy_guest_uses_or_lacks_a_whole_cpu(guests: Guests, vmstats: Collector) -> None:
    """The vCPU of an endless loop runs, or is ready without a CPU: together all of the time.

    To one in a hundred in make soak: libvirt reads the counters some ms after it is asked.
    """
    web, data = guests
    web.send("while :; do :; done & busy=$!")
    first = vmstats.fresh(web.name).sample
    last = vmstats.until_vm(
        web.name,
        lambda vm: vm.sample.taken.monotonic_ns - first.taken.monotonic_ns >= _BUSY_NS,
    ).sample
    web.run("kill $busy")
    spent = last.taken.monotonic_ns - first.taken.monotonic_ns
    assert vcpu_ns(last) - vcpu_ns(first) == pytest.approx(spent, rel=_NEAR)
    idle = vmstats.vm(data.name).rates
    assert idle is not None
    assert idle.cpu is not None
    assert idle.cpu.percent_of_vcpus is not None
    assert idle.cpu.percent_of_vcpus < 50


def vcpu_ns(sample: Sample) -> int:
    """Time that the only vCPU ran or waited for a CPU."""
    assert sample.cpu is not None
    (vcpu,) = sample.cpu.vcpus
    assert vcpu.time_ns is not None
    assert vcpu.delay_ns is not None
    return vcpu.time_ns + vcpu.delay_ns


def grown(before: Vm, after: Vm, figure: str) -> int:
    """How much a counter of the first disk grew."""
    first, last = before.sample.blocks, after.sample.blocks
    assert first is not None
    assert last is not None
    return int(getattr(last[0], figure) - getattr(first[0], figure))
