# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain datagrams on loopback: the socket's owner decides, and every doubt is a refusal."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge_process import HANG_S, Bridge, running_bridge, until
from tests.support.users import MEMBER, MEMBER_GID, MEMBER_UID, NOBODY, as_root, group_file, run_as

pytestmark = as_root

# Sends argv[2] to the port argv[1] and prints the answer.
ASK = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(60)
link.connect(("127.0.0.1", int(sys.argv[1])))
link.send(sys.argv[2].encode())
print(link.recv(65536).decode())
"""

# Sends to argv[1] from the port argv[2], which others may have too, and is gone.
SEND_AND_GO = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind(("127.0.0.1", int(sys.argv[2])))
link.sendto(b"off", ("127.0.0.1", int(sys.argv[1])))
"""

# Sends "off" to argv[1] from the port argv[2] of another address and interface, as from 127.0.0.1.
SEND_AS = """
import socket, struct, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
link.bind(("127.0.0.2", int(sys.argv[2])))
source = struct.pack("=I4s4s", 0, socket.inet_aton("127.0.0.1"), bytes(4))
link.sendmsg([b"off"], [(socket.IPPROTO_IP, 8, source)], 0, ("127.0.0.1", int(sys.argv[1])))
"""

# Root's sockets that leave their port to others: family, address, a further option.
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
OTHERS_PORTS = {
    "IPv6 only": (socket.AF_INET6, "::", V6ONLY),
    "one address": (socket.AF_INET, "127.0.0.9", None),
    "one interface": (socket.AF_INET, "", (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other")),
}


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge without its module, and with a group kvmlog that has one member."""
    prefix = group_file(tmp_path, f"kvmlog:x:64998:{MEMBER}\n")
    with running_bridge(tmp_path, prefix=prefix) as process:
        yield process


def counts(bridge: Bridge) -> dict[str, int]:
    """Count the datagrams of each kind that came over UDP, except this one."""
    told = json.loads(bridge.ask(b"status").removeprefix(b"ok status "))
    found: dict[str, int] = told["commands"]["udp"]
    del found["status"]
    return found


def test_a_member_of_the_group_may_switch(bridge: Bridge) -> None:
    """A member may switch as root may; the log says who did."""
    assert run_as(MEMBER_UID, ASK, str(bridge.udp[1]), "off") == "ok off\n"
    _, log = bridge.stop()
    assert f"({MEMBER}): off: ok off" in log


def test_the_primary_group_counts(tmp_path: Path) -> None:
    """The primary group counts although /etc/group does not list its members."""
    prefix = group_file(tmp_path, f"kvmlog:x:{MEMBER_GID}:\n")
    with running_bridge(tmp_path, prefix=prefix) as bridge:
        assert run_as(MEMBER_UID, ASK, str(bridge.udp[1]), "off") == "ok off\n"


@pytest.mark.parametrize("command", ["on", "off", "status", "nonsense"])
def test_another_user_may_neither_switch_nor_read(bridge: Bridge, command: str) -> None:
    """The sentence says who may, and the log who tried."""
    answer = run_as(NOBODY, ASK, str(bridge.udp[1]), command)
    assert answer.startswith("error: nobody is neither root nor in the group kvmlog")
    assert counts(bridge) == {"refused": 1}
    _, log = bridge.stop()
    assert "refused: nobody is neither" in log


def test_a_sender_that_is_gone_is_nobody(bridge: Bridge) -> None:
    """Even root: whoever has the port now has not sent it."""
    bridge.process.send_signal(signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(bridge.udp)
        link.send(b"off")
    bridge.process.send_signal(signal.SIGCONT)
    until(lambda: counts(bridge) == {"refused": 1})


def test_a_port_shared_with_a_stranger_is_refused(bridge: Bridge) -> None:
    """Either of them may have sent it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind(("127.0.0.1", 0))
        port = link.getsockname()[1]
        script = f"""
import socket, sys
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
own.bind(("127.0.0.2", {port}))
{ASK}
"""
        link.connect(bridge.udp)
        link.settimeout(HANG_S)
        link.send(b"off")
        assert link.recv(100) == b"ok off"
        # nobody's program holds the port while its own question is answered.
        assert run_as(NOBODY, script, str(bridge.udp[1]), "off").startswith("error: nobody")


def test_a_daemons_port_lends_nobody_its_rights(bridge: Bridge) -> None:
    """Root's own socket on a well-known port that may be shared: it sends no commands."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        daemon.bind(("127.0.0.1", 15_353))
        bridge.process.send_signal(signal.SIGSTOP)
        run_as(NOBODY, SEND_AND_GO, str(bridge.udp[1]), "15353")
        bridge.process.send_signal(signal.SIGCONT)
        until(lambda: counts(bridge) == {"refused": 1})


@pytest.mark.parametrize("case", OTHERS_PORTS.values(), ids=OTHERS_PORTS.keys())
def test_a_port_that_is_not_wholly_roots_lends_nobody_its_rights(
    bridge: Bridge, case: tuple[int, str, Any]
) -> None:
    """A port that others can share proves nothing about who sent, whatever the address."""
    family, host, option = case
    if option is not None and option[2] == b"other":
        other = next((name for _, name in socket.if_nameindex() if name != "lo"), None)
        if other is None:
            pytest.skip("no interface but lo; give this machine another to test it")
        option = (*option[:2], other.encode())
    with socket.socket(family, socket.SOCK_DGRAM) as daemon:
        if option is not None:
            daemon.setsockopt(*option)
        daemon.bind((host, 0))
        bridge.process.send_signal(signal.SIGSTOP)
        run_as(NOBODY, SEND_AS, str(bridge.udp[1]), str(daemon.getsockname()[1]))
        bridge.process.send_signal(signal.SIGCONT)
        until(lambda: counts(bridge) == {"refused": 1})


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_unconnected_socket_that_waits_may_switch(bridge: Bridge, family: int) -> None:
    """sendto() without connect(); also by a socket of both families."""
    mapped = "::ffff:" if family == socket.AF_INET6 else ""
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.sendto(b"off", (f"{mapped}{bridge.udp[0]}", bridge.udp[1]))
        assert link.recv(100) == b"ok off"


def test_ipv6_is_no_way_around(tmp_path: Path) -> None:
    """Root by [::1] may, nobody may not."""
    with running_bridge(tmp_path, "--udp", "[::1]:0") as bridge:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
            link.settimeout(HANG_S)
            link.connect(("::1", bridge.udp[1]))
            link.send(b"off")
            assert link.recv(100) == b"ok off"
        ask6 = ASK.replace("AF_INET", "AF_INET6").replace("127.0.0.1", "::1")
        assert run_as(NOBODY, ask6, str(bridge.udp[1]), "off").startswith("error: nobody")


def test_any_restores_the_ancestors_openness(tmp_path: Path) -> None:
    """udp.plain = any: everybody, gone or not."""
    with running_bridge(tmp_path, "--udp-plain", "any") as bridge:
        assert run_as(NOBODY, ASK, str(bridge.udp[1]), "off") == "ok off\n"
        run_as(NOBODY, SEND_AND_GO, str(bridge.udp[1]), "0")
        until(lambda: counts(bridge) == {"off": 2})


def test_off_takes_no_plain_command(tmp_path: Path) -> None:
    """udp.plain = off: not even root's."""
    with running_bridge(tmp_path, "--udp-plain", "off") as bridge:
        assert bridge.ask(b"on").startswith(b"error: plain commands are not taken (udp.plain)")
