# SPDX-License-Identifier: GPL-2.0-or-later
"""The methods, called by a stock client of a real server process over a real ring."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.writer import RingWriter
from tests.support import records as make
from tests.support.rpc_process import Server, rpc_server

SLOTS = 4_096


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Return the path of the ring, which need not exist."""
    return tmp_path / "ring"


@pytest.fixture
def server(ring: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of that ring; no bridge answers its switch socket."""
    with rpc_server(ring, tmp_path / "switch") as running:
        yield running


def fault_of(server: Server, method: str, *parameters: object) -> Fault:
    """The fault that a call ends with."""
    with server.client() as client, pytest.raises(Fault) as caught:
        getattr(client, method)(*parameters)
    return caught.value


def legacy(ring: Path, exits: list[tuple[int, int]]) -> str:
    """The legacy text of (exit_ns, shown reason), newest first, by the ring's own clocks."""
    with RingReader(ring) as reader:
        info = reader.info()
    text = ""
    for exit_ns, reason in exits:
        ms = (exit_ns + info.realtime_ns - info.monotonic_ns) // 1_000_000
        ms += info.utc_offset_s * 1_000
        text += f"{reason:02X}{ms // 60_000 % 60:02d}{ms // 1_000 % 60:02d}{ms % 1_000:03d}"
    return text


@pytest.mark.parametrize("method", ["getKvmLog", "getKvmLogSC"])
def test_log_without_ring_is_a_fault(server: Server, ring: Path, method: str) -> None:
    """The sentence names the file and what to do."""
    fault = fault_of(server, method)
    assert fault.faultCode == 102
    assert str(ring) in fault.faultString
    assert "start the bridge" in fault.faultString


def test_log_of_a_file_that_is_no_ring_is_a_fault(server: Server, ring: Path) -> None:
    """Another code than for no file."""
    ring.write_bytes(b"x" * 10_000)
    assert fault_of(server, "getKvmLog").faultCode == 103


def test_log_of_an_empty_ring_is_none(server: Server, ring: Path) -> None:
    """The legacy word."""
    with RingWriter(str(ring), SLOTS), server.client() as client:
        assert client.getKvmLog() == "none"


def test_log_of_other_records_only_is_none(server: Server, ring: Path) -> None:
    """Losses, guests and switching are no exits."""
    with RingWriter(str(ring), SLOTS) as writer, server.client() as client:
        writer.append(make.loss_bytes(lost=5) + make.guest_bytes(b"qemu"))
        assert client.getKvmLog() == "none"


@pytest.mark.parametrize("method", ["getKvmLog", "getKvmLogSC"])
def test_log_is_newest_first_by_time(server: Server, ring: Path, method: str) -> None:
    """Arrival does not matter, other records do not show, and big reasons are FF."""
    now = time.monotonic_ns()
    with RingWriter(str(ring), SLOTS) as writer, server.client() as client:
        writer.append(make.exit_bytes(reason=0x400, exit_ns=now - 1_000_000))
        writer.append(make.loss_bytes(lost=1, ns=now))
        writer.append(make.exit_bytes(reason=0x7B, exit_ns=now - 9_000_000))
        writer.append(make.exit_bytes(reason=0x78, exit_ns=now - 5_000_000))
        writer.append(
            make.exit_bytes(isa=lib.KVMLOG_ISA_VMX, reason=0x0400001E, exit_ns=now - 12_000_000)
        )
        expected = [(1, 0xFF), (5, 0x78), (9, 0x7B), (12, 0x1E)]
        text = getattr(client, method)()
        assert text == legacy(ring, [(now - ms * 1_000_000, reason) for ms, reason in expected])


def test_log_has_1024_exits_at_most(server: Server, ring: Path) -> None:
    """The newest exits, even when nearly all newer records are none."""
    start = time.monotonic_ns() - 10_000_000_000
    exits = [(start + n * 1_000_000, n % 255) for n in range(1_100)]
    with RingWriter(str(ring), 16_384) as writer, server.client() as client:
        writer.append(b"".join(make.exit_bytes(exit_ns=ns, reason=r) for ns, r in exits))
        writer.append(make.loss_bytes(lost=1) * 15_000)
        text = client.getKvmLog()
        assert text == legacy(ring, exits[:-1_025:-1])


def test_log_of_a_ring_gone_round(server: Server, ring: Path) -> None:
    """A ring that has been overwritten many times gives its newest 1,024."""
    start = time.monotonic_ns() - 10_000_000_000
    exits = [(start + n * 1_000, n % 255) for n in range(3_000)]
    with RingWriter(str(ring), 1_024) as writer, server.client() as client:
        writer.append(b"".join(make.exit_bytes(exit_ns=ns, reason=r) for ns, r in exits))
        assert client.getKvmLog() == legacy(ring, exits[:-1_025:-1])


def test_log_is_served_after_the_bridge_ended(server: Server, ring: Path) -> None:
    """The ring stays, and so does its log."""
    with RingWriter(str(ring), SLOTS) as writer:
        writer.append(make.exit_bytes(reason=0x78, exit_ns=time.monotonic_ns()))
    with server.client() as client:
        assert client.getKvmLog().startswith("78")


def test_log_follows_a_replaced_ring(server: Server, ring: Path) -> None:
    """A new ring under the same name is what the next call reads."""
    with RingWriter(str(ring), 1_024) as writer:
        writer.append(make.exit_bytes(reason=0x78, exit_ns=time.monotonic_ns()))
    with RingWriter(str(ring), 2_048) as writer, server.client() as client:
        writer.append(make.exit_bytes(reason=0x7B, exit_ns=time.monotonic_ns()))
        assert client.getKvmLog().startswith("7B")
        assert len(client.getKvmLog()) == 9


@pytest.mark.parametrize("method", ["kvmLogSwitch", "kvmLogSwitchSC"])
@pytest.mark.parametrize("value", ["on", "off", True, False, 1, 0])
def test_switch_without_bridge_is_a_fault(server: Server, method: str, value: object) -> None:
    """Never 'true' for a switch that nobody acknowledged."""
    fault = fault_of(server, method, value)
    assert fault.faultCode == 101
    assert fault.faultString.startswith("Tracing was not switched o")
    assert "switch" in fault.faultString


@pytest.mark.parametrize(
    "value",
    ["", "maybe", "on\n", "ON!", 2, -1, 1.0, [], ["on"], {"on": 1}, b"on", "\u2028", "o" * 10_000],
)
def test_bad_switch_value_is_named(server: Server, value: object) -> None:
    """The fault says what came and what is taken, in plain ASCII."""
    fault = fault_of(server, "kvmLogSwitch", value)
    assert fault.faultCode == -32602
    assert "'on' or 'off'" in fault.faultString
    assert fault.faultString.isascii()
    assert len(fault.faultString) < 300


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("kvmLogSwitch", ()),
        ("kvmLogSwitch", ("on", "off")),
        ("getKvmLog", (1,)),
        ("kvmLogStatus", ("x",)),
    ],
)
def test_wrong_number_of_parameters(
    server: Server, method: str, parameters: tuple[object, ...]
) -> None:
    """Each method says how many it takes."""
    assert fault_of(server, method, *parameters).faultCode == -32602


def test_status_with_nothing_there(server: Server, ring: Path) -> None:
    """No ring and no bridge: all members, the reasons in sentences."""
    with server.client() as client:
        status = client.kvmLogStatus()
    assert all(isinstance(value, str) for value in status.values())
    assert (status["bridge"], status["ring"], status["tracing"]) == ("down", "missing", "off")
    assert status["bridge_error"]
    assert str(ring) in status["ring_error"]
    assert status["seen"] == ""


def test_status_has_whole_counters(server: Server, ring: Path) -> None:
    """64-bit counters pass as text."""
    with RingWriter(str(ring), SLOTS) as writer, server.client() as client:
        counters = dict.fromkeys(writer.counters(), 0)
        writer.publish_counters(counters | {"seen": 2**64 - 1, "dropped": 7})
        writer.append(make.exit_bytes())
        writer.switched(True, lib.KVMLOG_SOURCE_KMOD)
        status = client.kvmLogStatus()
        assert status["seen"] == str(2**64 - 1)
        expected = {
            "dropped": "7",
            "records": "1",
            "capacity": str(SLOTS),
            "ring": "ok",
            "ring_state": "running",
            "ring_id": writer.ring_id,
            "source": "kmod",
            "tracing": "on",
        }
        assert {key: status[key] for key in expected} == expected


def test_status_members_are_always_the_same(server: Server, ring: Path) -> None:
    """A caller never has to ask whether a member is there."""
    with server.client() as client:
        without = client.kvmLogStatus().keys()
        with RingWriter(str(ring), SLOTS):
            assert client.kvmLogStatus().keys() == without


def test_ipv6_loopback(tmp_path: Path) -> None:
    """[::1] works like 127.0.0.1."""
    if (
        not Path("/proc/net/if_inet6").exists()
        or "lo" not in Path("/proc/net/if_inet6").read_text()
    ):
        pytest.skip("no IPv6 loopback here; enable it (net.ipv6.conf.lo.disable_ipv6=0) to run")
    with rpc_server(tmp_path / "r", tmp_path / "s", "[::1]:0") as running:
        assert fault_of(running, "getKvmLog").faultCode == 102


def test_unprivileged_reader() -> None:
    """A user that may read the ring serves it; one that may not says so in a fault."""
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else; run as root")
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: nobody else may enter that
        ring, switch = Path(name, "ring"), Path(name, "switch")
        Path(name).chmod(0o755)
        with RingWriter(str(ring), SLOTS) as writer:
            writer.append(make.exit_bytes(reason=0x78, exit_ns=time.monotonic_ns()))
        ring.chmod(0o644)
        with rpc_server(ring, switch, user=65_534) as running, running.client() as client:
            assert client.getKvmLog().startswith("78")
            ring.chmod(0o640)
            fault = fault_of(running, "getKvmLog")
            assert fault.faultCode == 103
            assert "permission" in fault.faultString


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly(server: Server, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it with status 0 and a last line, even with clients connected."""
    with server.connect(), server.client() as client:
        client.kvmLogStatus()
        rest = server.stop(number)
    assert server.process.returncode == 0
    assert rest.splitlines()[-1] == "kvmlog rpc: stopped"
    assert "Traceback" not in rest


def test_switching_is_logged(server: Server) -> None:
    """One line per switch, also for one that failed."""
    fault_of(server, "kvmLogSwitch", "on")
    fault_of(server, "kvmLogSwitch", "off")
    lines = [line for line in server.stop().splitlines() if "asked for tracing" in line]
    assert ["on, not done" in line for line in lines] == [True, False]
