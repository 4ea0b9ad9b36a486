# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo` on this machine: its sentences, and where KVM emulates its guests a whole session.

Sessions with exits are in tests/vm/inside/once/one_bridge/test_demo.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.bpf_host import needs_returns
from tests.support.bpf_process import Traced, guest
from tests.support.bridge_process import HANG_S, KVMLOG, kvmlog, running_bridge, without_module
from tests.support.rpc_process import Server, rpc_server

needs_kvm = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm that we may use"
)


def config(folder: Path, port: int) -> tuple[str, ...]:
    """The option for a configuration with the server at this port."""
    path = folder / "kvmlog.toml"
    path.write_text(f'[rpc]\nlisten = "127.0.0.1:{port}"\n', encoding="utf-8")
    return ("--config", str(path))


def demo(folder: Path, server: Server) -> subprocess.CompletedProcess[str]:
    """One second of it."""
    return kvmlog("demo", *config(folder, server.port), "--seconds", "1")


@needs_kvm
def test_services_that_do_not_run(tmp_path: Path) -> None:
    """Only the server: what it says. Neither: where it was called, and how both are started."""
    with rpc_server(tmp_path / "ring", tmp_path / "switch") as server:
        done = demo(tmp_path, server)
    assert done.returncode == 1
    assert f"{tmp_path}/switch: no bridge is running; start it" in done.stderr
    assert "as services: systemctl start kvmlog-bridge kvmlog-rpc\n" in done.stderr
    done = demo(tmp_path, server)
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}: cannot be reached (Connection refused); " in done.stderr
    assert done.stderr.endswith("systemctl start kvmlog-bridge kvmlog-rpc\n")


@needs_kvm
@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_who_may_not_use_kvm() -> None:
    """The group to become a member of."""
    if Path("/dev/kvm").stat().st_mode & 0o006 == 0o006:
        pytest.skip("everybody may use /dev/kvm here; chmod o-rw /dev/kvm to test who may not")
    done = subprocess.run(
        [*KVMLOG, "demo"], capture_output=True, text=True, timeout=HANG_S, user=65_534, group=65_534
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "/dev/kvm: nobody may not use it; become a member of the group kvm" in done.stderr


@needs_returns
def test_returns_are_shown_as_what_they_are(tmp_path: Path, traced: Traced) -> None:
    """Returns to user space are counted by port and address where KVM tells no exits.

    Then it is off again.
    """
    with rpc_server(traced.bridge.ring, traced.bridge.switch) as server:
        done = demo(tmp_path, server)
    assert (done.returncode, done.stderr) == (0, "")
    live, counted = re.split("^demo: how many, by why KVM returned", done.stdout, flags=re.M)
    for part in (live, counted):
        shown = set(re.findall(r"^.*kvmlog-demo.* (KVM_EXIT_\w+) ", part, re.M))
        # QEMU's other threads may kick the vCPU's out of KVM_RUN: true, but not certain to come.
        assert shown - {"KVM_EXIT_INTR"} == {"KVM_EXIT_IO", "KVM_EXIT_MMIO"}
    assert "demo: returns from KVM to the guest's process as they come" in live
    assert "does not tell their\n      exits" in counted
    found = re.search(r"the guest kvmlog-demo runs: QEMU, pid (\d+),", live)
    assert found
    assert (traced.status()["wanted"], Path(f"/proc/{found[1]}").exists()) == ("off", False)


@needs_returns
def test_tracing_of_another_guest_is_left_alone(tmp_path: Path, traced: Traced) -> None:
    """The demo would change it: a sentence that says whose it is."""
    with guest("--turns", "0", "--pause-ms", "100") as other:
        traced.switch.switch(on=True, vm=[str(other.pid)])
        with rpc_server(traced.bridge.ring, traced.bridge.switch) as server:
            done = demo(tmp_path, server)
        assert done.returncode == 1
        assert f"tracing is on for {other.pid} only, which the demo would change" in done.stderr
        assert traced.status()["filter"]["vm"] == [str(other.pid)]


@needs_kvm
@without_module
def test_a_bridge_without_a_source(tmp_path: Path) -> None:
    """A bridge without a source says what it waits for."""
    with (
        running_bridge(tmp_path) as bridge,
        rpc_server(bridge.ring, bridge.switch) as server,
    ):
        done = demo(tmp_path, server)
    assert done.returncode == 1
    assert "the bridge has no source of exits: the kernel module kvmlog is not" in done.stderr
