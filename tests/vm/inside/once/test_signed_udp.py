# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed datagrams while the host's clock is set back and forth: honest ones in, replays out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from kvmlog.control import udp_auth
from kvmlog.control.udp_client import UdpClient
from tests.vm.inside.processes import Bridge, ended, folder, until

KEY = bytes(range(32))
S = 1_000_000_000


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    """A bridge with a key; no command here needs a source."""
    with folder() as place:
        place.mkdir()
        key = place / "key"
        key.touch(0o600)
        key.write_text(KEY.hex())
        one = Bridge(place, "--source", "kmod", "--udp-key", str(key))
        with ended(one):
            yield one.ready()


@pytest.fixture
def step() -> Iterator[list[int]]:
    """How far the clock was set, in ns; it is set back at the end."""
    steps: list[int] = []
    yield steps
    set_clock(-sum(steps))


def set_clock(step_ns: int) -> None:
    """Set the time of day by this much."""
    now_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    time.clock_settime_ns(time.CLOCK_REALTIME, now_ns + step_ns)


@pytest.mark.parametrize("back_s", [1, 3_600])
def test_a_clock_that_is_set_back(bridge: Bridge, step: list[int], back_s: int) -> None:
    """At once, and when the time comes again at which commands were accepted."""
    here = f"127.0.0.1:{bridge.udp[1]}"
    client = UdpClient(here, KEY, timeout_s=60)
    assert client.send("off") == "ok off"
    captured, nonce = udp_auth.format_request(KEY, "off", here, time.time_ns())
    answer = udp_auth.parse_answer(KEY, nonce, bridge.ask(captured))
    assert answer == b"ok off"
    for step_ns in (-back_s * S, back_s * S):
        step.append(step_ns)
        set_clock(step_ns)
        assert client.send("off") == "ok off"
        before = bridge.status()["commands"]["udp"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(captured, bridge.udp)

        def replayed(before: dict[str, int] = before) -> bool:
            found: dict[str, int] = bridge.status()["commands"]["udp"]
            assert found["off"] == before["off"]
            return found.get("replayed", 0) == before.get("replayed", 0) + 1

        until(replayed, "the replay to be counted")
