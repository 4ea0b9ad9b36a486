# SPDX-License-Identifier: GPL-2.0-or-later
"""What every command says to a user who may read nothing: never that there is nothing."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge_process import HANG_S, KVMLOG, Bridge, running_bridge
from tests.support.rpc_process import rpc_server
from tests.support.users import NOBODY, as_nobody, as_root

pytestmark = as_root


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    """A bridge whose folder others may enter, but not read its files."""
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="kvmlog-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        options = ("--slots", "1024", "--statistics-mib", "1")
        with running_bridge(Path(name), *options) as bridge:
            yield bridge


@pytest.mark.parametrize(
    ("command", "options", "unreadable"),
    [
        (("status",), "ring switch", "ring switch"),
        (("status", "--json"), "ring switch", "ring switch"),
        (("guests",), "ring switch", "switch ring.guests"),
        (("guests", "--json"), "ring switch", "switch ring.guests"),
        (("guests", "--all"), "ring switch", "switch ring.guests"),
        (("dump",), "ring", "ring"),
        (("dump", "--json", "--vm", "web1"), "ring", "ring"),
        (("tail",), "ring", "ring"),
        (("stat",), "ring switch", "ring.statistics"),
        (("stat", "--json"), "ring switch", "ring.statistics"),
        (("stat", "--reset"), "ring switch", "switch"),
        (("pending",), "ring switch", "switch"),
        (("pending", "--json"), "ring switch", "switch"),
        (("switch", "on"), "switch", "switch"),
        (("switch", "off"), "switch", "switch"),
        (("bridge", "--udp", "127.0.0.1:0"), "ring switch", "ring.lock"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_command_names_what_it_may_not_read_and_fails(
    bridge: Bridge, command: tuple[str, ...], options: str, unreadable: str
) -> None:
    """Status 1, each file that is needed with the remedy, and nothing that looks like a result."""
    places = {"ring": ("--ring", str(bridge.ring)), "switch": ("--switch", str(bridge.switch))}
    done = as_nobody(*command, *(word for one in options.split() for word in places[one]))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    for name in unreadable.split():
        assert f"{bridge.ring.with_name(name)}: " in said
    assert "ermission" in said
    assert "root" in said
    assert "no guest runs" not in said
    assert "no vCPU" not in said
    if command[0] != "status":
        assert done.stdout == ""


def test_a_server_that_may_not_read_says_so_when_it_starts(bridge: Bridge) -> None:
    """And in each call's fault; its remote clients get no empty lists."""
    with rpc_server(bridge.ring, bridge.switch, user=NOBODY) as server:
        address = f"{server.host}:{server.port}"
        # The one who runs it, and root, may call.
        for command in ("guests", "dump", "stat", "pending", "status"):
            done = subprocess.run(
                [*KVMLOG, "remote", address, command],
                capture_output=True,
                text=True,
                timeout=HANG_S,
                check=False,
            )
            said = done.stdout + done.stderr
            assert done.returncode == 1, said
            assert "ermission" in said
            assert "no guest runs" not in said
        log = server.stop()
    assert f"{bridge.ring}: no permission" in log


def test_guests_without_their_exits_are_told_of(bridge: Bridge) -> None:
    """One file of several is enough to say that not all is known."""
    statistics = bridge.ring.with_name("ring.statistics")
    for name in ("ring.guests", "switch"):
        bridge.ring.with_name(name).chmod(0o666)
    done = as_nobody("guests", "--ring", str(bridge.ring), "--switch", str(bridge.switch))
    assert done.returncode == 1
    assert f"exits are not known: {statistics}: no permission" in done.stderr
    assert "switch: no permission" not in done.stderr


def test_statistics_without_their_ring_are_not_called_abandoned(bridge: Bridge) -> None:
    """Whether a bridge writes them cannot be seen; advice to start one would be wrong."""
    bridge.ring.with_name("ring.statistics").chmod(0o644)
    done = as_nobody("stat", "--ring", str(bridge.ring), "--switch", str(bridge.switch))
    assert done.returncode == 0
    assert "no bridge writes" not in done.stderr
    assert f"not known: {bridge.ring}: no permission" in done.stderr


def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path) -> None:
    """Not by a traceback: whether the ring's folder is there cannot be known."""
    tmp_path.chmod(0o700)
    done = as_nobody("bridge", "--ring", str(tmp_path / "k" / "ring"), "--udp", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"{tmp_path / 'k'}: cannot be created (Permission denied)" in done.stderr
    assert "Traceback" not in done.stderr
