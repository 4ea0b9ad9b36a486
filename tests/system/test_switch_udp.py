# SPDX-License-Identifier: GPL-2.0-or-later
"""The UDP side of a real bridge: the ancestor's bytes, and everything that is none of them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge_process import HANG_S, Bridge, kvmlog, options, running_bridge, until


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge without its module, which takes plain commands of root and the group."""
    with running_bridge(tmp_path, "--udp-plain", "owner") as process:
        yield process


def status(bridge: Bridge) -> dict[str, Any]:
    """The status answer over UDP."""
    answer = bridge.ask(b"status")
    assert answer.startswith(b"ok status ")
    result: dict[str, Any] = json.loads(answer.removeprefix(b"ok status "))
    return result


@pytest.mark.parametrize("ending", [b"", b"\0", b"\n"])
def test_off_is_acknowledged_in_every_spelling(bridge: Bridge, ending: bytes) -> None:
    """A NUL and a newline at the end are optional."""
    assert bridge.ask(b"off" + ending) == b"ok off"


def test_status_names_process_and_ring(bridge: Bridge) -> None:
    """One datagram."""
    answer = status(bridge)
    assert answer["pid"] == bridge.process.pid
    assert answer["ring"]["path"] == str(bridge.ring)
    assert answer["ring"]["capacity"] == 65_536


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (b"", "empty"),
        (b"\0", "empty"),
        (b"x" * 513, "oversized"),
        (b"on" + b"\0" * 60_000, "oversized"),
        (b"\x80\x81", "not_ascii"),
        (b"reboot", "unknown"),
    ],
    ids=["empty", "nul", "long", "very long", "binary", "word"],
)
def test_garbage_is_answered_and_counted(bridge: Bridge, command: bytes, kind: str) -> None:
    """An error each, and the bridge goes on."""
    assert bridge.ask(command).startswith(b"error: ")
    assert status(bridge)["commands"]["udp"] == {kind: 1, "status": 1}


def test_a_flood_of_garbage_does_no_harm(bridge: Bridge) -> None:
    """Random datagrams, nobody waiting for the answers: no traceback, still answering."""
    noise = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for _ in range(500):
            link.sendto(noise.randbytes(noise.randrange(600)), bridge.udp)
    # The kernel drops datagrams while the socket's queue is full: ask until there is room.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(0.5)
        for _ in range(60):
            link.sendto(b"off", bridge.udp)
            with contextlib.suppress(TimeoutError):
                answer = link.recv(65_536)
                if answer == b"ok off":
                    break
                # Its senders may have used up the time for telling them.
                assert b"which is used up" in answer
                time.sleep(0.5)
        else:
            pytest.fail("no answer after the flood")
    code, log = bridge.stop()
    assert code == 0
    assert "Traceback" not in log


def test_a_sender_that_is_gone_does_no_harm(bridge: Bridge) -> None:
    """Its port is closed when the answer comes: the error that comes back is nobody else's."""
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(b"off", bridge.udp)

    def taken() -> int:
        counts = status(bridge)["commands"]["udp"]
        return int(counts.get("off", 0) + counts.get("refused", 0))

    until(lambda: taken() == 20)


def test_an_answer_is_not_answered(bridge: Bridge) -> None:
    """Dropped and counted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.sendto(b"ok on", bridge.udp)
        link.sendto(b"off", bridge.udp)
        assert link.recv(100) == b"ok off"
    assert status(bridge)["commands"]["udp"]["answer"] == 1


def test_a_port_in_use_is_a_sentence(bridge: Bridge, tmp_path: Path) -> None:
    """And the ring of the refused bridge is left stopped."""
    taken = options(tmp_path / "other")
    taken[taken.index("--udp") + 1] = f"127.0.0.1:{bridge.udp[1]}"
    refused = kvmlog("bridge", *taken)
    assert refused.returncode == 1
    assert "cannot be bound (Address already in use)" in refused.stderr
    assert refused.stderr.count("\n") == 1
