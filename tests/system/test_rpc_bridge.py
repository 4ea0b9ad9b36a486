# SPDX-License-Identifier: GPL-2.0-or-later
"""rpcserver and bridge as two real processes; without the kernel module.

Switching on for real, with exits to see, is tests/vm's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from tests.support.rpc_process import KVMLOG, START_S, Server, rpc_server

if os.path.isdir("/sys/module/kvmlog"):
    pytest.skip("the kernel module is loaded here; rmmod kvmlog to run", allow_module_level=True)


@contextlib.contextmanager
def bridge(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running bridge with ring and switch in `path`; killed if it does not end."""
    command = [
        *KVMLOG,
        "bridge",
        "--source",
        "kmod",
        "--ring",
        str(path / "ring"),
        "--slots",
        "1024",
    ]
    command += ["--switch", str(path / "switch"), "--udp", "127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "ready: ring" in line:
                break
        else:
            pytest.fail("the bridge did not become ready")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.communicate(timeout=START_S)
        finally:
            process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An rpcserver of the same places."""
    with rpc_server(tmp_path / "ring", tmp_path / "switch") as running:
        yield running


def test_acknowledged_switch_is_true(server: Server, tmp_path: Path) -> None:
    """The text 'true', as cloud engines expect it."""
    with bridge(tmp_path), server.client() as client:
        assert client.kvmLogSwitch("off") == "true"
        assert client.kvmLogSwitchSC(False) == "true"
    assert "switched tracing off" in server.stop()


def test_refused_switch_is_a_fault_with_the_bridges_sentence(
    server: Server, tmp_path: Path
) -> None:
    """The bridge cannot switch on without a source, and says so through RPC."""
    with bridge(tmp_path), server.client() as client:
        with pytest.raises(Fault) as caught:
            client.kvmLogSwitch("on")
        assert caught.value.faultCode == 101
        assert "module" in caught.value.faultString


def test_status_follows_the_bridge(server: Server, tmp_path: Path) -> None:
    """Up, killed, up again: each is seen by the next call."""
    with server.client() as client:
        assert client.kvmLogStatus()["bridge"] == "down"
        with bridge(tmp_path) as process:
            status = client.kvmLogStatus()
            assert (status["bridge"], status["ring"]) == ("up", "ok")
            assert (status["ring_state"], status["tracing"]) == ("running", "off")
            process.kill()
            process.wait()
            status = client.kvmLogStatus()
            assert (status["bridge"], status["ring_state"]) == ("down", "abandoned")
        with bridge(tmp_path):
            assert client.kvmLogStatus()["ring_state"] == "running"
        status = client.kvmLogStatus()
        assert (status["bridge"], status["ring_state"]) == ("down", "stopped")


def test_stuck_bridge_is_a_fault_and_blocks_nobody(server: Server, tmp_path: Path) -> None:
    """Other calls are answered while one waits for a bridge that hangs."""
    faults: list[Fault] = []

    def ask() -> None:
        with server.client() as client, pytest.raises(Fault) as caught:
            client.kvmLogSwitch("off")
        faults.append(caught.value)

    with bridge(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        waiting = threading.Thread(target=ask)
        waiting.start()
        with server.client() as client:
            while waiting.is_alive():
                assert client.getKvmLog() == "none"
                time.sleep(0.02)  # less often than a caller may ask
        waiting.join()
    assert [fault.faultCode for fault in faults] == [101]
    assert "no answer" in faults[0].faultString
