# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of the developer's VM, from `vagrant up` to `vagrant destroy`, in this order.

Each test leaves the VM running, with its services; the last but one halts it and starts it again.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.demo_output import whole_session
from tests.vagrant.daemons import virsh
from tests.vagrant.machine import ACCESS, CONSOLE, COPY, NAME, Machine

SERVICES = ("kvmlog-bridge", "kvmlog-rpc", "kvmlog-history", "kvmlog-vmstats", "kvmlog-metrics")
IS_ACTIVE = " ".join(("systemctl is-active", *SERVICES))
LIMIT_S = 300
# What `systemd-analyze security` calls OK begins at 4.9; below 2 it is SAFE.
OK_AT_MOST = 4.9


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(1)


@pytest.fixture(scope="module")
def vm(machine: Machine) -> Machine:
    """The VM, up and provisioned."""
    output = machine.vagrant("up", note="up").expect()
    assert re.search(rf"^kvmlog: VM {NAME}, (on KVM|emulated \(.+\))", output, re.MULTILINE)
    assert "provision.sh: " in output
    return machine


def test_up_leaves_the_services_running(vm: Machine) -> None:
    """All are systemd's units, the module is DKMS's, and the kernel is the requested one."""
    assert vm.run(IS_ACTIVE).split() == ["active"] * 3
    assert vm.run(IS_ACTIVE.replace("active", "enabled")).split() == ["enabled"] * 3
    assert vm.run("uname -r").startswith((f"{vm.kernel}.", f"{vm.kernel}-"))
    assert re.search(
        r"^kvmlog/\S+, \S+, x86_64: installed", vm.run("sudo dkms status"), re.MULTILINE
    )
    built, loaded = vm.run(
        "sudo modinfo -F srcversion kvmlog; cat /sys/module/kvmlog/srcversion"
    ).split()
    assert loaded == built
    assert "running" in vm.run("systemctl is-system-running || systemctl --failed")


def test_a_vm_of_libvirt_has_its_line(vm: Machine) -> None:
    """The collector finds what libvirt starts; here nothing runs, and its state says so."""
    xml = (
        "<domain type='qemu'><name>web1</name><memory unit='MiB'>16</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    vm.run(
        f"echo {shlex.quote(xml)} >/tmp/web1.xml && virsh -c qemu:///system define /tmp/web1.xml"
    )
    until(lambda: "web1" in vm.ssh("kvmlog vms").output, "the collector does not find web1")
    assert re.search(r"^web1 +off +-", vm.run("kvmlog vms"), re.MULTILINE)
    vm.kvmlog_remote("vms", "--vm", "web1").expect()
    vm.run("virsh -c qemu:///system undefine web1")


def test_provisioning_again_changes_nothing(vm: Machine) -> None:
    """The same VM, in no time."""
    output = vm.vagrant("provision", note="provision again").expect()
    assert "nothing had to be changed" in output


def test_the_demo_shows_a_tracing_session(vm: Machine) -> None:
    """Guest, switching on, exits, statistics, off: by user vagrant, who is no root."""
    output = vm.ssh("kvmlog demo", note="kvmlog demo").expect()
    session = whole_session(output)
    # Both vendors call these so.
    assert {*session.live} & session.counted >= {"cpuid", "hlt"}
    assert '"state": "off"' in vm.run("kvmlog status --json")
    assert vm.ssh("pgrep -f kvmlog-demo").output.strip() == ""


def test_the_developers_machine_reaches_the_rpc_server(vm: Machine) -> None:
    """Through the forwarded port with TLS and the token; without the token it is refused."""
    assert [oct(path.stat().st_mode & 0o777) for path in (ACCESS, ACCESS / "token")] == [
        "0o700",
        "0o600",
    ]
    assert vm.kvmlog_remote("switch", "on").expect()
    assert '"wanted": "on"' in vm.kvmlog_remote("status", "--json").expect()
    assert vm.kvmlog_remote("switch", "off").expect()
    refused = vm.kvmlog_remote("status", token=None)
    assert refused.status != 0
    assert "401" in refused.output or "token" in refused.output


def test_a_wrong_token_is_refused(vm: Machine, tmp_path: Path) -> None:
    """The port is open to every user of the developer's machine, the server is not."""
    wrong = tmp_path / "token"
    wrong.touch(mode=0o600)
    wrong.write_text("0" * 43 + "\n")
    refused = vm.kvmlog_remote("status", token=wrong)
    assert refused.status != 0
    assert "token" in refused.output


def test_services_are_confined(vm: Machine) -> None:
    """Units that run are rated as confined by systemd-analyze."""
    for service in SERVICES:
        exposure = vm.run(f"systemd-analyze security --no-pager {service} | tail -n 1")
        print(exposure)
        found = re.search(rf"exposure level for {service}\.service: ([\d.]+) (\w+)", exposure)
        assert found is not None, exposure
        assert float(found[1]) <= OK_AT_MOST


def test_a_killed_service_is_started_again(vm: Machine) -> None:
    """The restart is systemd's, and the journal tells of it."""
    for service in SERVICES:
        show = f"systemctl show --value -p NRestarts -p MainPID {service}"
        before = vm.run(show).split()
        vm.run(f"sudo systemctl kill --signal=KILL --kill-whom=main {service}")
        command = f"{show}; systemctl is-active {service} || true"
        until(
            lambda command=command, before=before: (  # type: ignore[misc]
                (now := vm.run(command).split())[-1] == "active" and now[:2] != before
            ),
            f"{service} is not started again",
        )
        journal = vm.run(f"sudo journalctl --no-pager -o cat -u {service} -n 50")
        assert "code=killed, status=9/KILL" in journal
        assert "Scheduled restart job" in journal
    assert "kvmlog bridge: ready" in vm.run(
        "sudo journalctl --no-pager -o cat -u kvmlog-bridge -n 50"
    )
    assert "kvmlog rpc: serving" in vm.run("sudo journalctl --no-pager -o cat -u kvmlog-rpc -n 50")


@contextlib.contextmanager
def added_to_the_module(line: str) -> Iterator[None]:
    """One C file of it ends with this line; afterwards it is as it was."""
    source = COPY / "kmod" / "main.c"
    text = source.read_text()
    try:
        source.write_text(f"{text}\n{line}\n")
        yield
    finally:
        source.write_text(text)


def test_a_changed_module_is_reloaded(vm: Machine) -> None:
    """One C file is changed, and the VM's kernel runs it; then it is as before, and runs again."""
    loaded = vm.run("cat /sys/module/kvmlog/srcversion")
    # A comment would not do: srcversion leaves them out.
    with added_to_the_module("static int changed_by_a_test __maybe_unused = 1;"):
        vm.command("make", "vm-reload", note="make vm-reload after a change of one C file").expect()
        changed = vm.run("cat /sys/module/kvmlog/srcversion")
    assert changed != loaded
    assert vm.run("sudo modinfo -F srcversion kvmlog") == changed
    vm.command("make", "vm-reload", note="make vm-reload, back again").expect()
    assert vm.run("cat /sys/module/kvmlog/srcversion") == loaded
    assert vm.run(IS_ACTIVE).split() == ["active"] * 3


def test_a_module_that_does_not_build_leaves_the_old_one_running(vm: Machine) -> None:
    """The developer sees the compiler's error, and tracing is still to be had."""
    loaded = vm.run("cat /sys/module/kvmlog/srcversion")
    with added_to_the_module("mistake"):
        failed = vm.command("make", "vm-reload")
    assert failed.status != 0
    assert "main.c" in failed.output
    assert vm.run("cat /sys/module/kvmlog/srcversion") == loaded
    assert vm.run(IS_ACTIVE).split() == ["active"] * 3
    vm.command("make", "vm-reload", note="make vm-reload, the mistake mended").expect()
    assert vm.run("cat /sys/module/kvmlog/srcversion") == loaded


def test_interrupted_provisioning_is_continued(vm: Machine) -> None:
    """Killed before it has started the services again; the next `vagrant up` does the rest."""
    vm.run("sudo rm -rf /etc/kvmlog/tls && sudo systemctl stop kvmlog-rpc")
    # Its process group is killed: all that it has started.
    script = """set -m
        vagrant/provision.sh >/tmp/provision.log 2>&1 &
        until grep -q 'certificate: made' /tmp/provision.log; do kill -0 $! && sleep 0.1; done
        kill -KILL -$!"""
    vm.run(f"cd /kvmlog && sudo bash -ec {shlex.quote(script)}")
    assert vm.ssh("systemctl is-active kvmlog-rpc").output.strip() == "inactive"
    output = vm.vagrant("up", note="up of a running VM").expect()
    assert "certificate: good" in output
    assert vm.run(IS_ACTIVE).split() == ["active"] * 3
    vm.kvmlog_remote("status").expect()


def test_a_crash_of_the_kernel_comes_to_the_terminal(vm: Machine) -> None:
    """The console file keeps it, `make vm-ssh` shows it, and the VM is back by itself."""
    crash = "sudo sh -c 'echo 1 >/proc/sys/kernel/sysrq; sync; echo c >/proc/sysrq-trigger'"
    boot = vm.run("cat /proc/sys/kernel/random/boot_id")
    done = vm.command("make", "vm-ssh", f"CMD={crash}", note="a crash seen")
    assert done.status != 0
    assert "vm console: " in done.output
    assert "Kernel panic - not syncing: sysrq triggered crash" in done.output
    assert "Kernel panic - not syncing: sysrq triggered crash" in CONSOLE.read_text(
        errors="replace"
    )
    until(
        lambda: (
            vm.ssh("cat /proc/sys/kernel/random/boot_id").output.strip() not in ("", boot.strip())
            and vm.ssh(IS_ACTIVE).status == 0
        ),
        "the VM is not back after the panic",
    )


def test_halt_and_up(vm: Machine) -> None:
    """A VM that was off comes back with its services running and reachable from outside."""
    vm.vagrant("halt", note="halt").expect()
    assert virsh("domstate", NAME).stdout.strip() == "shut off"
    vm.vagrant("up", note="up after halt").expect()
    assert vm.run(IS_ACTIVE).split() == ["active"] * 3
    vm.kvmlog_remote("status").expect()


def test_destroy_leaves_nothing(vm: Machine) -> None:
    """Neither VM nor disk."""
    vm.vagrant("destroy", "--force", note="destroy").expect()
    assert virsh("dominfo", NAME).returncode != 0
    volumes = virsh("vol-list", "default")
    assert volumes.returncode == 0
    assert NAME not in volumes.stdout
