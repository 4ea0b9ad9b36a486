# SPDX-License-Identifier: GPL-2.0-or-later
"""Another user sends as if from root's socket, 200 times each way: udp.plain = "owner" takes none.

Each program sends from root's port and is gone before the bridge looks, which finds root's socket.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.support.bridge_process import Bridge, running_bridge, until
from tests.support.udp_senders import SEND_AND_GO, counts, running
from tests.support.users import NOBODY, as_root, run_as

pytestmark = as_root

TIMES: Final = 200

# Sends "off" to argv[1] (host) argv[2] from the port argv[3] of the address argv[4], argv[5] times,
# each from a socket of its own that is closed at once; as from 127.0.0.1 where that is IPv4.
ATTACK: Final = """
import socket, struct, sys, time
host, port, own, at = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
source = struct.pack("=I4s4s", 0, socket.inet_aton("127.0.0.1"), bytes(4))
extra = [(socket.IPPROTO_IP, 8, source)] if host == "127.0.0.1" else []
left = int(sys.argv[5])
while left:
    family = socket.AF_INET6 if ":" in at else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            link.bind((at, own))
        except OSError:
            continue
        link.sendmsg([b"off"], extra, 0, (host, port))
    left -= 1
    time.sleep(0.005)
"""

# Binds the port argv[1] everywhere and leaves it, over and over; in between nobody can share it.
CHURN: Final = """
import socket, sys
print(flush=True)
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind(("", int(sys.argv[1])))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
"""


class Case(NamedTuple):
    """Root's socket, and how another user comes to its port."""

    host: str  # of the bridge
    bound: tuple[Any, ...] | None  # root's socket: where it is bound
    options: tuple[tuple[int, int, Any], ...]  # of root's socket
    connected: bool  # root's socket: to the bridge
    at: str  # where the other user binds


REUSE: Final = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
V6ONLY: Final = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
V4, V6 = ("", 0), ("::", 0)
CASES: Final = {
    "shared, same address": Case("127.0.0.1", V4, (REUSE,), False, "127.0.0.1"),
    "shared, other address": Case("127.0.0.1", V4, (REUSE,), False, "127.0.0.2"),
    "shared, all addresses": Case("127.0.0.1", V4, (REUSE,), False, "0.0.0.0"),
    "shared, of both families": Case("127.0.0.1", V6, (REUSE,), False, "127.0.0.1"),
    "shared, IPv6": Case("::1", V6, (REUSE,), False, "::1"),
    "shared, IPv6 only": Case("::1", V6, (V6ONLY, REUSE), False, "::1"),
    "connected": Case("127.0.0.1", None, (), True, "127.0.0.2"),
    "connected, bound before": Case("127.0.0.1", V4, (), True, "127.0.0.2"),
    "at one address": Case("127.0.0.1", ("127.0.0.9", 0), (), False, "127.0.0.1"),
    "IPv6 only, sender IPv4": Case("127.0.0.1", V6, (V6ONLY,), False, "127.0.0.1"),
}


@contextlib.contextmanager
def roots(case: Case, bridge: Bridge) -> Iterator[str]:
    """Hold root's socket; yield its port."""
    family = socket.AF_INET6 if case.bound == V6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        for option in case.options:
            link.setsockopt(*option)
        if case.bound is not None:
            link.bind(case.bound)
        if case.connected:
            link.connect(bridge.udp)
        yield str(link.getsockname()[1])


def refused(bridge: Bridge, times: int) -> bool:
    """Return whether so many have come; none of them may have been accepted."""
    found = counts(bridge)
    # A machine that is busy may have used up its time for looking.
    assert found.keys() <= {"refused", "unidentified"}, found
    return sum(found.values()) == times and found["refused"] > 0


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_datagram_of_another_user_is_roots(tmp_path: Path, case: Case) -> None:
    """Tried 200 times, accepted 0 times; and root's own next command is carried out."""
    place = f"[{case.host}]:0" if ":" in case.host else f"{case.host}:0"
    with (
        running_bridge(tmp_path, "--udp-plain", "owner", "--udp", place) as bridge,
        roots(case, bridge) as own,
    ):
        run_as(NOBODY, ATTACK, case.host, str(bridge.udp[1]), own, case.at, str(TIMES))
        until(lambda: refused(bridge, TIMES))
        assert bridge.say("off") == "ok off"


def test_one_interface_is_not_all_of_the_port(tmp_path: Path) -> None:
    """Root's socket at another interface than the attacker's."""
    other = next((name for _, name in socket.if_nameindex() if name != "lo"), None)
    if other is None:
        pytest.skip("no interface but lo; give this machine another to test it")
    device = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, other.encode())
    at_lo = "link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo'); link.bind("
    attack = ATTACK.replace("link.bind(", at_lo)
    case = Case("127.0.0.1", V4, (device,), False, "127.0.0.1")
    with (
        running_bridge(tmp_path, "--udp-plain", "owner") as bridge,
        roots(case, bridge) as own,
    ):
        run_as(NOBODY, attack, case.host, str(bridge.udp[1]), own, case.at, str(TIMES))
        until(lambda: refused(bridge, TIMES))


def test_a_port_that_is_shared_at_times_is_refused(tmp_path: Path) -> None:
    """The attacker hides that root's port can be shared, whenever the bridge tries."""
    case = CASES["shared, same address"]
    with (
        running_bridge(tmp_path, "--udp-plain", "owner") as bridge,
        roots(case, bridge) as own,
        running(NOBODY, CHURN, own),
    ):
        run_as(NOBODY, ATTACK, case.host, str(bridge.udp[1]), own, case.at, str(TIMES))
        until(lambda: refused(bridge, TIMES))


def test_a_daemons_port_is_nobodys_command(tmp_path: Path) -> None:
    """Not even unshared: who had its well-known port before it began may have sent."""
    with running_bridge(tmp_path, "--udp-plain", "owner") as bridge:
        bridge.process.send_signal(signal.SIGSTOP)
        run_as(NOBODY, SEND_AND_GO, str(bridge.udp[1]), "15353")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
            daemon.bind(("", 15_353))
            bridge.process.send_signal(signal.SIGCONT)
            until(lambda: refused(bridge, 1))
