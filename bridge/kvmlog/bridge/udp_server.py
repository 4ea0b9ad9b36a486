# SPDX-License-Identifier: GPL-2.0-or-later
"""The UDP server of the switch: plain commands on loopback, signed ones from anywhere.

Who may send what is decided here: docs/access.md.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any, Final

from kvmlog.bridge import udp_peer
from kvmlog.bridge.datagram_server import Datagram, DatagramServer
from kvmlog.bridge.dispatch import Dispatcher
from kvmlog.control import protocol, udp_auth
from kvmlog.control.udp_address import EXAMPLE, format_address, format_endpoint, resolve
from kvmlog.util import permissions, sock_diag
from kvmlog.util.errors import SwitchError
from kvmlog.util.log import log
from kvmlog.util.ratelimit import LogLimiter, TimeAllowance
from kvmlog.util.sock_diag import Endpoint

# Anybody on this host can have senders looked up, and choose what it takes: sockets without number.
# Local and signed commands wait for it no longer. The burst is for senders of many commands in a
# row, on slow machines too.
_IDENTIFYING_SHARE: Final = 0.1
_IDENTIFYING_BURST_S: Final = 1.0
# Lines in the log that tell of it.
_USED_UP_PER_S: Final = 0.1

_OFF: Final = (
    'plain commands are not taken (udp.plain = "off"); use the local socket (kvmlog switch), sign '
    "the command with a key (kvmlog switch --udp, --key), or have the bridge take those of every "
    'local user (udp.plain = "any", --udp-plain any)'
)
_PLAIN: Final = {
    "owner": f"plain ones of root and of the group {permissions.GROUP}",
    "any": "plain ones of every local user",
}

_IP_PKTINFO: Final = 8  # ip(7); socket has only IPv6's
_IN_PKTINFO: Final = struct.Struct("=I4s4s")
_IN6_PKTINFO: Final = struct.Struct("=16sI")
_MAPPED: Final = bytes(10) + b"\xff\xff"


def check_reach(text: str, address: Any, *, signed: bool) -> None:
    """Raise SwitchError when unsigned commands from other hosts could reach the address.

    text, address: as resolve() takes and gives them.
    """
    if not signed and not sock_diag.address(address[0]).is_loopback:
        raise SwitchError(
            f"{text}: without a key commands are taken on loopback only; "
            f"give a loopback address ({EXAMPLE}) or a key (--udp-key)"
        )


class _UsedUpError(SwitchError):
    """The sender's owner was not even looked up: the allowance for that is used up."""


class UdpServer(DatagramServer):
    """The bound socket; handle() answers one datagram.

    key: for signed datagrams, without which the address has to be a loopback one; plain: one of
    config.schema.PLAIN.
    """

    channel = "udp"
    # Either family's, whichever comes.
    ancillary_bytes = socket.CMSG_SPACE(_IN6_PKTINFO.size)

    def __init__(
        self, text: str, switch: Dispatcher, key: bytes | None = None, plain: str = "off"
    ) -> None:
        family, address = resolve(text)
        self._text = text
        self._where = address
        self.allow(key, plain)
        self._switch = switch
        self._nonces = udp_auth.Nonces()
        self._log = LogLimiter(log.audit)
        self._rarely = LogLimiter(log.audit, per_s=_USED_UP_PER_S, burst=1)
        self._identifying = TimeAllowance(_IDENTIFYING_SHARE, _IDENTIFYING_BURST_S)
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            # To which of our addresses it came is signed, and is where the answer comes from.
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self.socket.bind(address)
        except OSError as error:
            self.socket.close()
            raise SwitchError(
                f"{text}: cannot be bound ({error.strerror}); "
                "stop what uses it or give another address (--udp)"
            ) from None
        self.socket.setblocking(False)
        self._port: int = self.socket.getsockname()[1]

    @property
    def address(self) -> str:
        """HOST:PORT as bound: the actual port where 0 was asked for."""
        return format_address(self.socket.getsockname())

    @property
    def accepts(self) -> str:
        """Which commands, in words: "signed commands"."""
        kinds = (["signed ones"] if self._key else []) + [_PLAIN.get(self._plain, "")]
        return " and ".join(filter(None, kinds)) or "none (udp.plain, udp.key_file)"

    def allow(self, key: bytes | None, plain: str) -> None:
        """Replace both; SwitchError, and nothing changes, when the address needs a key."""
        check_reach(self._text, self._where, signed=key is not None)
        self._key = key
        self._plain = plain

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _most_bytes(self) -> int:
        return udp_auth.REQUEST_BYTES if self._key else protocol.limit(self.channel)

    def _answer(self, datagram: Datagram) -> bytes | None:
        sender = (sock_diag.address(datagram.sender[0]), datagram.sender[1])
        receiver = (self._receiving_address(datagram), self._port)
        if self._key and datagram.data.startswith(udp_auth.MAGIC):
            return self._answer_signed(self._key, datagram, sender, receiver)
        if not sender[0].is_loopback:
            self._switch.count(self.channel, "unsigned")
            self._log(f"udp {format_endpoint(sender)}: not signed, not answered")
            return None
        try:
            who = self._plain_sender(sender)
        except SwitchError as error:
            if datagram.data.startswith((b"ok ", b"error: ")):  # two ends that answer each other
                self._switch.count(self.channel, "answer")
                return None
            # So much of it that it has a count and, rarely, a line of its own.
            in_vain = isinstance(error, _UsedUpError)
            self._switch.count(self.channel, "unidentified" if in_vain else "refused")
            (self._rarely if in_vain else self._log)(
                f"udp {format_endpoint(sender)} refused: {error}"
            )
            return f"error: {error}".encode("ascii", "backslashreplace")
        answer = self._switch.answer(self.channel, datagram.data, datagram.truncated)
        self._audit(datagram.data, answer, f"{format_endpoint(sender)} ({who})")
        return answer

    def _answer_signed(
        self, key: bytes, datagram: Datagram, sender: Endpoint, receiver: Endpoint
    ) -> bytes | None:
        """Answer a signed datagram; None for a forged one, whose sender may be anybody."""
        request = udp_auth.parse_request(key, datagram.data, format_endpoint(receiver))
        if request is None or datagram.truncated:
            self._switch.count(self.channel, "forged")
            self._log(f"udp {format_endpoint(sender)}: signature not ours, not answered")
            return None
        try:
            self._nonces.accept(request)
        except udp_auth.ReplayedError:
            # An error would be taken for the answer to the first one.
            self._switch.count(self.channel, "replayed")
            self._log(f"udp {format_endpoint(sender)}: replayed, not answered")
            return None
        except SwitchError as error:
            self._switch.count(self.channel, "stale")
            self._log(f"udp {format_endpoint(sender)} refused: {error}")
            return udp_auth.format_answer(key, request.nonce, f"error: {error}".encode())
        self._switch.count(self.channel, "signed")
        answer = self._switch.answer(self.channel, request.command)
        self._audit(request.command, answer, f"{format_endpoint(sender)} (by key)")
        return None if answer is None else udp_auth.format_answer(key, request.nonce, answer)

    def _plain_sender(self, sender: Endpoint) -> str:
        if self._plain == "off":
            raise SwitchError(_OFF)
        if self._plain == "any":
            return "anybody"
        if not self._identifying.is_left():
            raise _UsedUpError(
                f"whose plain commands are is looked up for {_IDENTIFYING_SHARE:.0%} of the time "
                "at most, which is used up; use the local socket (kvmlog switch), or sign the "
                "command with a key (kvmlog switch --udp, --key)"
            )
        with self._identifying:
            return udp_peer.identify(sender)

    def _receiving_address(self, datagram: Datagram) -> sock_diag.IpAddress:
        for level, kind, data in datagram.ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                return ipaddress.ip_address(_IN_PKTINFO.unpack_from(data)[2])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                packed = ipaddress.ip_address(_IN6_PKTINFO.unpack_from(data)[0])
                return sock_diag.address(str(packed))
        return sock_diag.address(self.socket.getsockname()[0])

    def _reply(self, answer: bytes, datagram: Datagram) -> None:
        """Send from the address that was asked, which of several the kernel would not know."""
        here = self._receiving_address(datagram)
        if self.socket.family == socket.AF_INET:
            source = _IN_PKTINFO.pack(0, here.packed, bytes(4))
            ancillary = (socket.IPPROTO_IP, _IP_PKTINFO, source)
        else:
            packed = here.packed if here.version == 6 else _MAPPED + here.packed
            source = _IN6_PKTINFO.pack(packed, 0)
            ancillary = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)
        self.socket.sendmsg([answer], [ancillary], socket.MSG_DONTWAIT, datagram.sender)
