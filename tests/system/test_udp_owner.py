# SPDX-License-Identifier: GPL-2.0-or-later
"""udp.plain = "owner": the socket's owner decides, and every doubt is a refusal."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bridge_process import HANG_S, Bridge, running_bridge, until
from tests.support.udp_senders import ASK, SEND_AND_GO, counts, holding
from tests.support.users import MEMBER, MEMBER_GID, MEMBER_UID, NOBODY, as_root, group_file, run_as

pytestmark = as_root

OTHERS = b"others can have its port, too"
OWNER = ("--udp-plain", "owner")


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge without its module, and with a group kvmlog that has one member."""
    prefix = group_file(tmp_path, f"kvmlog:x:64998:{MEMBER}\n")
    with running_bridge(tmp_path, *OWNER, prefix=prefix) as process:
        yield process


def asked(bridge: Bridge, link: socket.socket) -> bytes:
    """Return the answer to `off` from this socket."""
    link.settimeout(HANG_S)
    link.sendto(b"off", bridge.udp)
    return link.recv(65_536)


def test_a_member_of_the_group_may_switch(bridge: Bridge) -> None:
    """A member may switch as root may; the log says who did."""
    assert run_as(MEMBER_UID, ASK, str(bridge.udp[1]), "off") == "ok off\n"
    _, log = bridge.stop()
    assert f"({MEMBER}): off: ok off" in log


def test_the_primary_group_counts(tmp_path: Path) -> None:
    """The primary group counts although /etc/group does not list its members."""
    prefix = group_file(tmp_path, f"kvmlog:x:{MEMBER_GID}:\n")
    with running_bridge(tmp_path, *OWNER, prefix=prefix) as bridge:
        assert run_as(MEMBER_UID, ASK, str(bridge.udp[1]), "off") == "ok off\n"


@pytest.mark.parametrize("command", ["on", "off", "status", "nonsense"])
def test_another_user_may_neither_switch_nor_read(bridge: Bridge, command: str) -> None:
    """The sentence says who may, and the log who tried."""
    answer = run_as(NOBODY, ASK, str(bridge.udp[1]), command)
    assert answer.startswith("error: user 'nobody' is neither root nor in the group kvmlog")
    assert counts(bridge) == {"refused": 1}
    _, log = bridge.stop()
    assert "refused: user 'nobody' is neither" in log


def test_a_sender_that_is_gone_is_nobody(bridge: Bridge) -> None:
    """Even root: whoever has the port now has not sent it."""
    bridge.process.send_signal(signal.SIGSTOP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(b"off", bridge.udp)
    bridge.process.send_signal(signal.SIGCONT)
    until(lambda: counts(bridge) == {"refused": 1})
    _, log = bridge.stop()
    assert "it may be closed already; wait for the answer" in log


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_unconnected_socket_that_waits_may_switch(bridge: Bridge, family: int) -> None:
    """sendto() without connect(); also by a socket of both families."""
    mapped = "::ffff:" if family == socket.AF_INET6 else ""
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.sendto(b"off", (f"{mapped}{bridge.udp[0]}", bridge.udp[1]))
        assert link.recv(100) == b"ok off"


def test_a_port_that_only_the_same_user_can_share_is_roots(bridge: Bridge) -> None:
    """SO_REUSEPORT lets in nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        assert asked(bridge, link) == b"ok off"


def test_a_sharable_port_is_refused(bridge: Bridge) -> None:
    """Though nobody shares it now; without SO_REUSEADDR it is root's again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert OTHERS in asked(bridge, link)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        assert asked(bridge, link) == b"ok off"


def test_a_connected_socket_is_refused(bridge: Bridge) -> None:
    """Its port is free at this host's other addresses, as none of an unconnected one is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("", 0))
        link.connect(bridge.udp)
        assert OTHERS in asked(bridge, link)
    assert bridge.ask(b"off") == b"ok off"


def test_a_port_of_which_a_stranger_has_a_part_is_refused(bridge: Bridge) -> None:
    """The stranger's is of the other family, where root's socket leaves it; a member's is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        assert asked(bridge, link) == b"ok off"
        port = str(link.getsockname()[1])
        with holding(NOBODY, "::1", port):
            assert asked(bridge, link).startswith(b"error: user 'nobody' is neither")
        with holding(MEMBER_UID, "::1", port):
            assert asked(bridge, link) == b"ok off"
        assert asked(bridge, link) == b"ok off"


def test_ipv6_is_no_way_around(tmp_path: Path) -> None:
    """Root by [::1] may, nobody may not."""
    with running_bridge(tmp_path, *OWNER, "--udp", "[::1]:0") as bridge:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as link:
            link.settimeout(HANG_S)
            link.sendto(b"off", ("::1", bridge.udp[1]))
            assert link.recv(100) == b"ok off"
            link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            link.sendto(b"off", ("::1", bridge.udp[1]))
            assert OTHERS in link.recv(1_000)
        ask6 = ASK.replace("AF_INET", "AF_INET6").replace("127.0.0.1", "::1")
        assert run_as(NOBODY, ask6, str(bridge.udp[1]), "off").startswith("error: user 'nobody'")


def test_who_had_the_port_before_cannot_be_told(bridge: Bridge) -> None:
    """What docs/access.md says of "owner": root's new socket got the port of what nobody sent."""
    bridge.process.send_signal(signal.SIGSTOP)
    port = run_as(NOBODY, SEND_AND_GO, str(bridge.udp[1]), "0").strip()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("", int(port)))
        bridge.process.send_signal(signal.SIGCONT)
        until(lambda: counts(bridge) == {"off": 1})
