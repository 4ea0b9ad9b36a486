# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is listed as a guest, with real VMs: not who only asks KVM, and short lives have names."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.vm.inside import qemu, sources
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import KVMLOG, Bridge, ended, folder, kvmlog, until

# What libvirtd does when it starts: a VM and a vCPU, closed again, step by step as it is told.
PROBE: Final = """
import fcntl, os
kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
vm = fcntl.ioctl(kvm, 0xAE01, 0)
print("vm", flush=True); input()
vcpu = fcntl.ioctl(vm, 0xAE41, 0)
print("vcpu", flush=True); input()
for fd in (vcpu, vm, kvm):
    os.close(fd)
print("closed", flush=True); input()
"""
SHORT: Final = 6


def listed(bridge: Bridge, *options: str) -> dict[int, dict[str, Any]]:
    """What `kvmlog guests` lists, by pid."""
    places = ("--ring", bridge.ring, "--switch", bridge.switch)
    lines = kvmlog("guests", "--json", *options, *places).stdout.splitlines()
    return {one["pid"]: one for one in map(json.loads, lines)}


def test_who_only_asks_kvm_is_listed_while_it_has_a_vcpu(bridge: Bridge) -> None:
    """The process lives on; the guest has ended."""
    probe = subprocess.Popen(
        [sys.executable, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert probe.stdin is not None
    assert probe.stdout is not None
    with probe:
        for state, running in (("vm", False), ("vcpu", True), ("closed", False)):
            assert probe.stdout.readline() == f"{state}\n"
            assert (probe.pid in listed(bridge)) is running, state
            probe.stdin.write("\n")
            if state == "closed":
                assert listed(bridge, "--all")[probe.pid]["running"] is False
            probe.stdin.flush()
    assert probe.returncode == 0


def test_guests_that_live_for_a_moment_have_their_names(bridge: Bridge) -> None:
    """Each is gone when its first exit is read, or soon after."""
    bridge.client.switch(True)
    pids = []
    for number in range(SHORT):
        with qemu.qemu_guest(f"short-{number}", Orders()) as guest:
            pids.append(guest.pid)
            guest.wait_until_at_work()

    def all_are_announced() -> bool:
        found = listed(bridge, "--all")
        return all(pid in found and found[pid]["numbers"] for pid in pids)

    until(all_are_announced, "all announced")
    found = [listed(bridge, "--all")[pid] for pid in pids]
    assert [(one["name"], one["kind"], one["running"]) for one in found] == [
        (f"short-{number}", "qemu", False) for number in range(SHORT)
    ]
    table = kvmlog("stat", "--ring", bridge.ring, "--switch", bridge.switch).stdout
    rows = [line for line in table.splitlines() if line.startswith("short-")]
    assert {line.split()[0] for line in rows} == {
        f"short-{number}:{pid}" for number, pid in enumerate(pids)
    }
    assert all(line.split()[-1] == "ended" for line in rows)


@pytest.mark.parametrize("source", [sources.KMOD], indirect=True)
def test_another_network_namespace_is_told_from_a_module_that_is_not_loaded(
    running_bridge: Bridge,
) -> None:
    """The family is the host's alone."""
    assert running_bridge.status()["source"]["connected"]
    with folder() as place:
        command = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
        options = ("--ring", place / "ring", "--switch", place / "switch", "--udp", "127.0.0.1:0")
        program = (KVMLOG, "bridge", "--source", "kmod", *options)
        elsewhere = Bridge(place, command=(*command, *program))
        with ended(elsewhere):
            elsewhere.says("is loaded, but this network namespace does not show its netlink")
            assert "not loaded" not in elsewhere.log()
