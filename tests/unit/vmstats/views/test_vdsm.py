# SPDX-License-Identifier: GPL-2.0-or-later
"""VDSM's documents, field by field against its schema.

oVirt/vdsm fd4b0df2, lib/vdsm/api/vdsm-api.yml: RunningVmStats, NetworkInterfaceStats, VmDiskStats,
GuestMemoryStats, BalloonInfo, HostStats; how VDSM fills them: lib/vdsm/virt/vmstats.py, momIF.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvmlog.vmstats.sample import State
from kvmlog.vmstats.views import vdsm_host, vdsm_vm
from tests.support import vmstats_samples as examples
from tests.support.vmstats_samples import GIB, NOW, WEB1


def test_a_running_vm() -> None:
    """Texts but for swap_*, *flt and booleans; cpuUser is the guest's time, cpuSys all other."""
    assert vdsm_vm.document(examples.vm(), NOW) == {
        "vmId": WEB1,
        "vmName": "web1",
        "vmType": "kvm",
        "kvmEnable": "true",
        "status": "Up",
        "statusTime": str((1_795_203_962 + 1004) * 1000),
        "pid": "4300",
        "monitorResponse": "0",
        "elapsedTime": "604",
        "vcpuCount": "2",
        "cpuUser": "60.0",
        "cpuSys": "30.0",
        "cpuUsage": "100000000005",
        "cpuActual": True,
        # 900 MiB unused and 400 MiB of caches, of 4096.
        "memUsage": "68",
        "memoryStats": {
            "mem_total": str(3000 << 10),
            "mem_unused": str(900 << 10),
            "mem_free": str(1300 << 10),
            "swap_in": 12,
            "swap_out": 20,
            "majflt": 8,
            "minflt": 88,
            "pageflt": 96,
        },
        "balloonInfo": {
            "balloon_max": str(4096 << 10),
            "balloon_cur": str(3072 << 10),
            "ballooning_enabled": True,
        },
        "network": {
            examples.MAC: {
                "name": "vnet3",
                "macAddr": examples.MAC,
                "speed": "1000",
                "state": "unknown",
                "rx": "2070139",
                "rxErrors": "1",
                "rxDropped": "2",
                "tx": "140208",
                "txErrors": "3",
                "txDropped": "4",
                "sampleTime": 1000.0,
            }
        },
        "disks": {
            "vda": {
                "truesize": str(12 * GIB),
                "apparentsize": str(13 * GIB),
                "readRate": "1001.5",
                "writeRate": "4004.5",
                "readBytes": "10000001",
                "writtenBytes": "40000004",
                "readOps": "1002",
                "writeOps": "5005",
                "readLatency": "300003.5",
                "writeLatency": "600006.5",
                "flushLatency": "800008.5",
            },
            # Nothing was read and nothing flushed: there is no latency of that.
            "vdb": {
                "truesize": str(32 * GIB),
                "apparentsize": str(33 * GIB),
                "readRate": "2021.5",
                "writeRate": "5024.5",
                "readBytes": "20000021",
                "writtenBytes": "50000024",
                "readOps": "2022",
                "writeOps": "6025",
                "writeLatency": "700026.5",
            },
        },
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.RUNNING, "Up"),
        (State.BLOCKED, "Up"),
        (State.PAUSED, "Paused"),
        (State.PMSUSPENDED, "Paused"),
        (State.SHUTDOWN, "Powering down"),
        (State.SHUTOFF, "Down"),
        (State.CRASHED, "Down"),
    ],
)
def test_status(state: State, status: str) -> None:
    """One that is down has its identity, and no figures."""
    document = vdsm_vm.document(examples.vm(state=state), NOW)
    assert document["status"] == status
    down = {"vmId", "vmName", "status", "statusTime"}
    assert (set(document) == down) == (status == "Down")


def test_cpu_without_the_threads_of_the_guest() -> None:
    """On another host nobody can tell the guest's time: no share is made up, the total stays."""
    rates = examples.rates()
    assert rates.cpu is not None
    cpu = replace(rates.cpu, guest_percent=None)
    document = vdsm_vm.document(replace(examples.vm(), rates=replace(rates, cpu=cpu)), NOW)
    assert "cpuUser" not in document
    assert "cpuSys" not in document
    assert (document["cpuUsage"], document["cpuActual"]) == ("100000000005", False)


def test_a_vm_that_does_not_answer() -> None:
    """VDSM's word for it, beside the last figures with their time."""
    document = vdsm_vm.document(examples.hung_vm(), NOW)
    assert document["monitorResponse"] == "-1"
    assert document["network"][examples.MAC]["sampleTime"] == 1000.0


def test_no_balloon_and_no_driver() -> None:
    """Guest memory is absent, as is the balloon; an emulated 100 Mbit/s card has its constant."""
    memory = examples.memory(
        available_bytes=None, unused_bytes=None, usable_bytes=None, disk_caches_bytes=None
    )
    definition = examples.definition(
        balloon=False, nics=(replace(examples.nics()[0], model="rtl8139"),)
    )
    document = vdsm_vm.document(examples.vm(memory=memory, definition=definition), NOW)
    assert {"memoryStats", "memUsage", "balloonInfo"} & set(document) == set()
    assert document["network"][examples.MAC]["speed"] == "100"


def test_a_host() -> None:
    """memShared is pages_sharing in MiB, as momIF has it; huge pages by KiB."""
    assert vdsm_host.document(examples.host(), NOW) == {
        "dateTime": "2026-11-20T20:02:46.000000+00:00",
        "bootTime": "1795203961",
        "cpuLoad": "2.5",
        "cpuIdle": "87.25",
        "memFree": 30 << 10,
        "memUsed": "53",
        "swapTotal": 8 << 10,
        "swapFree": 7 << 10,
        "anonHugePages": str(5 << 10),
        "thpState": "madvise",
        "ksmState": True,
        "ksmPages": 100,
        "ksmCpu": 2,
        "ksmMergeAcrossNodes": False,
        "memShared": 100,
        "hugepages": {
            "2048": {"nr_hugepages": 512, "free_hugepages": 128, "surplus_hugepages": 16},
            "1048576": {"nr_hugepages": 4, "free_hugepages": 1, "surplus_hugepages": 0},
        },
    }


def test_another_host() -> None:
    """Without what only the host itself could tell; huge pages of two nodes are added up."""
    host = examples.host()
    node = examples.host().huge_pages
    assert node is not None
    remote = replace(
        host, ksm=None, load=None, uptime_s=None, huge_pages=(node[0], replace(node[0], node=1))
    )
    document = vdsm_host.document(remote, NOW)
    assert [key for key in document if key.startswith(("ksm", "memShared", "cpuLoad"))] == []
    assert document["hugepages"]["2048"]["nr_hugepages"] == 1024
