# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge as a process, on a machine without the module: start, end, kill, restart."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import stat
from pathlib import Path

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import LossRecord, unpack_records
from tests.support.bridge_process import (
    NOT_LOADED,
    kvmlog,
    options,
    running_bridge,
    until,
    without_module,
)

MEMORY_LIMIT_BYTES = 64 << 20


@without_module
def test_it_starts_without_the_module_and_says_what_to_do(tmp_path: Path) -> None:
    """The log, the status and the answer to `on` say so."""
    with running_bridge(tmp_path) as bridge:
        assert any(NOT_LOADED in line and "modprobe kvmlog" in line for line in bridge.lines)
        assert bridge.say("on").startswith(f"error: {NOT_LOADED}")
        status = SwitchClient(str(bridge.switch)).status()
        assert status["state"] == "off"
        assert NOT_LOADED in status["trouble"]
        assert status["source"]["connected"] is False


@without_module
def test_auto_tries_to_load_the_module_and_starts_all_the_same(tmp_path: Path) -> None:
    """The default source: without a module the programs, whether they can be compiled or not."""
    if os.access("/lib/modules", os.W_OK) and list(Path("/lib/modules").rglob("kvmlog.ko*")):
        pytest.skip("kvmlog.ko is installed here and would be loaded; remove it to test this")
    with running_bridge(tmp_path, "--source", "auto") as bridge:
        assert any("source bpf: " in line and "load" in line for line in bridge.lines)
        assert SwitchClient(str(bridge.switch)).status()["source"]["name"] == "bpf"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """Status 0, ring stopped, socket file gone, no traceback."""
    with running_bridge(tmp_path) as bridge:
        code, log = bridge.stop(number)
        assert code == 0
        assert "stopping: tracing off" in log
        assert "Traceback" not in log
        assert not bridge.switch.exists()
        with RingReader(bridge.ring) as reader:
            info = reader.info()
    assert (info.state, info.switched_on, info.writer_alive) == ("stopped", False, False)


def test_what_it_makes_is_closed_to_others(tmp_path: Path) -> None:
    """Missing folders 0750, ring 0640, socket 0660."""
    folder = tmp_path / "run" / "kvmlog"
    with running_bridge(folder) as bridge:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        assert stat.S_IMODE(bridge.ring.stat().st_mode) == 0o640
        assert stat.S_IMODE(bridge.switch.stat().st_mode) == 0o660


def test_a_killed_bridge_leaves_a_ring_that_the_next_one_continues(tmp_path: Path) -> None:
    """Same id; the stream says that a writer was killed; the stale socket file is no obstacle."""
    with running_bridge(tmp_path) as bridge:
        with RingReader(bridge.ring) as reader:
            ring_id = reader.info().ring_id
        bridge.stop(signal.SIGKILL)
        assert bridge.switch.exists()
        with RingReader(bridge.ring) as reader:
            assert reader.info().state == "abandoned"
            assert not reader.info().writer_alive
    with running_bridge(tmp_path) as bridge:
        assert any("was killed" in line for line in bridge.lines)
        with RingReader(bridge.ring) as reader:
            assert reader.info().ring_id == ring_id
            assert reader.info().writer_alive
            (loss,) = unpack_records(reader.snapshot().records)
        assert isinstance(loss, LossRecord)
        assert loss.cause == lib.KVMLOG_LOSS_RESTART
        assert bridge.say("off") == "ok off"


def test_a_second_bridge_on_the_same_ring_is_refused(tmp_path: Path) -> None:
    """The refusal names the pid of the first bridge, which does not notice."""
    with running_bridge(tmp_path) as bridge:
        second = kvmlog("bridge", *options(tmp_path))
        assert second.returncode == 1
        assert f"process {bridge.process.pid} writes this ring already" in second.stderr
        assert second.stderr.count("\n") == 1
        assert bridge.say("off") == "ok off"


def test_a_second_bridge_on_the_same_socket_is_refused(tmp_path: Path) -> None:
    """Another ring, but the socket is taken: the first one keeps it."""
    with running_bridge(tmp_path) as bridge:
        taken = options(tmp_path / "other")
        taken[taken.index("--switch") + 1] = str(bridge.switch)
        second = kvmlog("bridge", *taken)
        assert second.returncode == 1
        assert "another bridge answers there" in second.stderr
        assert SwitchClient(str(bridge.switch)).switch(on=False) == "ok off"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--udp", "0.0.0.0:50000"], "on loopback only"),
        (["--ring", "/proc/kvmlog/ring"], "/proc/kvmlog: cannot be created"),
    ],
)
def test_what_cannot_work_is_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Exit status 1, one line, no traceback."""
    refused = kvmlog("bridge", *options(tmp_path), *arguments)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("bridge", ["--udp", "nonsense"], "give HOST:PORT"),
        ("bridge", ["--slots", "1000"], "give a power of two from 1024 to 16777216"),
        ("rpc", ["--listen", "nonsense"], "give HOST:PORT"),
        ("vmstats", ["--interval", "0"], "--interval 0: give 1 to 3600 s"),
        ("vmstats", ["--uri", "foo"], "'foo' is no libvirt URI"),
        ("vmstats", ["--uri", "bogus:///x"], "libvirt has no driver bogus"),
    ],
)
def test_an_option_with_a_wrong_value_is_a_usage_error(
    command: str, arguments: list[str], words: str
) -> None:
    """Exit status 2 and one line, of each service."""
    refused = kvmlog(command, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_ring_can_be_replaced_by_a_larger_one(tmp_path: Path) -> None:
    """A reader that had the old one open goes over by itself."""
    with running_bridge(tmp_path, "--slots", "1024") as bridge:
        bridge.stop()
    with RingReader(tmp_path / "ring") as reader:
        assert reader.info().capacity == 1024
        with running_bridge(tmp_path, "--slots", "2048"):
            assert reader.info().capacity == 2048
            assert reader.info().writer_alive


def test_resident_memory_stays_under_its_limit(tmp_path: Path) -> None:
    """64 MiB with the default ring, every page of it touched."""
    with running_bridge(tmp_path) as bridge:
        bridge.stop()
    with running_bridge(tmp_path) as bridge:
        status = SwitchClient(str(bridge.switch)).status()
        ring_bytes = bridge.ring.stat().st_size
        assert status["resident_bytes"] + ring_bytes < MEMORY_LIMIT_BYTES


def test_the_heartbeat_is_renewed(tmp_path: Path) -> None:
    """The heartbeat needs no source."""
    with running_bridge(tmp_path) as bridge, RingReader(bridge.ring) as reader:
        first = reader.info().monotonic_ns
        until(lambda: reader.info().monotonic_ns > first)


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """A full pipe: each command is answered all the same, and the log tells what it left out."""
    with running_bridge(tmp_path) as bridge:
        pipe = bridge.process.stderr
        assert pipe is not None
        room = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        client = SwitchClient(str(bridge.switch))
        commands = 4 * room // len("kvmlog bridge: unix root: off: ok off\n")
        for _ in range(commands):
            client.switch(on=False)
        os.set_blocking(pipe.fileno(), False)
        read = os.read(pipe.fileno(), room).decode()
        os.set_blocking(pipe.fileno(), True)
        assert 0 < read.count(": off: ok off") < commands
        client.switch(on=False)
        _, rest = bridge.stop()
    left_out = re.search(r"off: ok off \(and (\d+) lines left out before: nobody read them\)", rest)
    assert left_out
    assert (read + rest).count(": off: ok off") + int(left_out[1]) == commands + 1
