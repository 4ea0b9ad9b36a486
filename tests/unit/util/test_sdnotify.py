# SPDX-License-Identifier: GPL-2.0-or-later
"""sd_notify: the datagrams that a service manager receives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.util.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A manager's socket and what NOTIFY_SOCKET says of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        if request.param == "path":
            name = str(tmp_path / "notify")
            end.bind(name)
        else:
            end.bind("")
            name = "@" + end.getsockname()[1:].decode()
        end.settimeout(60)
        yield end, name


def test_each_state_is_a_datagram(manager: tuple[socket.socket, str]) -> None:
    """The fields are those of sd_notify(3); a newline in a status starts no new field."""
    end, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    before_us = time.monotonic_ns() // 1000
    notifier.ready("serving\nSTOPPING=1")
    notifier.reloading()
    notifier.status("on")
    notifier.status("on")
    notifier.stopping()
    assert end.recv(1000) == b"READY=1\nSTATUS=serving STOPPING=1"
    first, second = end.recv(1000).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")
    assert before_us <= int(second[15:]) <= time.monotonic_ns() // 1000
    assert end.recv(1000) == b"STATUS=on"
    assert end.recv(1000) == b"STOPPING=1\nSTATUS=stopping"
    assert notifier.failed is False


def test_the_watchdog_beats_no_more_often_than_needed(manager: tuple[socket.socket, str]) -> None:
    """The watchdog is fed every half of its time, first by ready()."""
    end, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "7200000000"})
    assert (notifier.watchdog_s, notifier.interval_s) == (7200.0, 3600.0)
    notifier.ready("x")
    for _ in range(10):
        notifier.beat()
    notifier.stopping()
    received = [end.recv(1000) for _ in range(3)]
    assert received == [b"READY=1\nSTATUS=x", b"WATCHDOG=1", b"STOPPING=1\nSTATUS=stopping"]


def test_children_do_not_inherit_the_manager() -> None:
    """The variables are gone from the environment."""
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environment", "watched"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        (
            {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())},
            2.0,
        ),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/x"}, None),
        ({"WATCHDOG_USEC": "2000000"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "2000000"}, None),
    ],
)
def test_the_watchdog_is_this_process_s_or_none(
    environment: dict[str, str], watched: float | None
) -> None:
    """The variables are read as sd_watchdog_enabled(3) does."""
    assert Notifier(environment).watchdog_s == watched


def test_a_manager_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    """A datagram that cannot be delivered sets `failed`."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready("x")
    assert notifier.failed is True
