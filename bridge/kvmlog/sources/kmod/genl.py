# SPDX-License-Identifier: GPL-2.0-or-later
"""A generic netlink socket: requests, replies, acks with the kernel's own words.

Attributes are encoded and decoded by pyroute2's message classes. The ack is read here: pyroute2
0.7 looks for the extended ack's text at a place where it stands only for capped acks.
Formats: include/uapi/linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, Final

from pyroute2.netlink import (
    CTRL_CMD_GETFAMILY,
    GENL_ID_CTRL,
    NETLINK_EXT_ACK,
    NETLINK_GENERIC,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    ctrlmsg,
)

TIMEOUT_S: Final = 5.0
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1
_RECEIVE_BYTES: Final = 1 << 17


class GenlError(Exception):
    """The kernel refused: `code` is the errno, `text` its extended ack or errno's own words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class GenlSocket:
    """One AF_NETLINK socket on the generic family, bound to a port id of the kernel's choice."""

    def __init__(self) -> None:
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC
        )
        self.socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.socket.bind((0, 0))
        self.socket.settimeout(TIMEOUT_S)
        self._sequence = 0

    @property
    def port(self) -> int:
        """The port id under which the kernel knows the socket."""
        return int(self.socket.getsockname()[0])

    def fileno(self) -> int:
        """The descriptor."""
        return self.socket.fileno()

    def close(self) -> None:
        """Closes the socket; a second call does nothing."""
        self.socket.close()

    def family(self, name: str) -> int:
        """The number of a generic netlink family; GenlError(ENOENT) when there is none."""
        request = ctrlmsg()
        request["cmd"] = CTRL_CMD_GETFAMILY
        request["version"] = 1
        request["attrs"] = [("CTRL_ATTR_FAMILY_NAME", name)]
        replies = self.request(GENL_ID_CTRL, request, ctrlmsg)
        return int(replies[0].get_attr("CTRL_ATTR_FAMILY_ID"))

    def request(
        self, family: int, message: Any, reply: type[Any] | None = None, dump: bool = False
    ) -> list[Any]:
        """Sends one message; its replies decoded as `reply`, until the ack or the dump's end.

        Raises GenlError, TimeoutError after 5 s of silence, OSError.
        """
        self._sequence += 1
        message["header"]["type"] = family
        message["header"]["flags"] = NLM_F_REQUEST | (NLM_F_DUMP if dump else NLM_F_ACK)
        message["header"]["sequence_number"] = self._sequence
        message["header"]["pid"] = 0
        message.encode()
        self.socket.sendto(bytes(message.data), (0, 0))
        replies: list[Any] = []
        while not self._collect(replies, reply):
            pass
        return replies

    def _collect(self, replies: list[Any], reply: type[Any] | None) -> bool:
        """Reads one datagram into `replies`; whether the answer is complete."""
        data, _, _, sender = self.socket.recvmsg(_RECEIVE_BYTES)
        if sender[0] != 0:
            return False
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
            if length < _HEADER.size or at + length > len(data):
                raise GenlError(errno.EPROTO, f"a netlink message of {length} bytes is broken")
            part = data[at : at + length]
            at += (length + 3) & ~3
            if sequence != self._sequence:
                continue  # a late answer to a request that timed out
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                _raise_error(part, kind, flags)
                return True
            if reply is not None:
                message = reply(part)
                message.decode()
                replies.append(message)
        return False


def _raise_error(part: bytes, kind: int, flags: int) -> None:
    """GenlError for the ack or the dump's end in `part`, nothing when it means success."""
    if len(part) < _HEADER.size + 4:
        return
    (code,) = struct.unpack_from("=i", part, _HEADER.size)
    if code >= 0:
        return
    at = _HEADER.size + 4
    if kind == NLMSG_ERROR:
        # The refused request follows: its header alone when capped.
        (length,) = struct.unpack_from("=I", part, at)
        at += _HEADER.size if flags & _NLM_F_CAPPED else (length + 3) & ~3
    text = _ack_text(part, at) if flags & _NLM_F_ACK_TLVS else ""
    raise GenlError(-code, text or os.strerror(-code))


def _ack_text(part: bytes, at: int) -> str:
    """NLMSGERR_ATTR_MSG among the attributes from `at` on, empty when there is none."""
    while at + _ATTRIBUTE.size <= len(part):
        length, kind = _ATTRIBUTE.unpack_from(part, at)
        if length < _ATTRIBUTE.size:
            return ""
        if kind & 0x3FFF == _NLMSGERR_ATTR_MSG:
            raw = part[at + _ATTRIBUTE.size : at + length]
            return raw.rstrip(b"\0").decode("utf-8", "replace")
        at += (length + 3) & ~3
    return ""
