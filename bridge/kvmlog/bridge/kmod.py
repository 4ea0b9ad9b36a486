# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel module as a source: generic netlink family "kvmlog" (docs/protocol.md).

Two sockets: requests go over one; the other is the receiver of the batches, is read by the C pump
alone once it is subscribed, and its end switches tracing off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any, Final

from pyroute2.netlink import NETLINK_NO_ENOBUFS, SOL_NETLINK

from kvmlog.bridge import btf, family
from kvmlog.bridge.errors import SourceError
from kvmlog.bridge.genl import GenlError, GenlSocket
from kvmlog.bridge.source import Source, SourceGoneError, SourceStatus, SwitchConfig
from kvmlog.bridge.wire import GENL_NAME
from kvmlog.native import lib

ABSENT: Final = (
    "the kernel module kvmlog is not loaded; load it with 'modprobe kvmlog', "
    "or from the source tree with 'make kmod' and 'insmod build/kmod/KERNEL/kvmlog.ko'"
)
# About 250 full batches. The module keeps what does not fit and tries again.
RECEIVE_BUFFER_BYTES: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33


class KmodSource(Source):
    """The module kvmlog.ko."""

    name = "kmod"
    number: int = lib.KVMLOG_SOURCE_KMOD

    def __init__(self) -> None:
        self._control: GenlSocket | None = None
        self._data: GenlSocket | None = None
        self._family = 0
        self._notes: list[str] = []

    def open(self) -> SourceStatus:
        """Finds the family, checks that it speaks our format, and subscribes."""
        if self._data is not None:
            return self.status()
        self.close()
        data: GenlSocket | None = None
        try:
            self._control = GenlSocket()
            self._family = self._find_family(self._control)
            status = self.status()
            _check_format(status)
            data = GenlSocket()
            data.socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
            _enlarge(data.socket)
            self._ask(data, family.request(lib.KVMLOG_CMD_SUBSCRIBE))
            data.socket.setblocking(False)
        except BaseException:
            if data is not None:
                data.close()
            self.close()
            raise
        self._data = data
        return status

    def switch(self, config: SwitchConfig) -> None:
        """Sends the configuration, with the prototypes of the running kernel when switching on.

        The module judges them before it looks whether the configuration is new.
        """
        prototypes: dict[str, str] = {}
        if config.on:
            prototypes = self._prototypes(self.status())
        try:
            self._ask(self._open_control(), family.configure(config, prototypes))
        except AlreadyError:
            return

    def pump(self, native: Any) -> None:
        if self._data is None:
            raise SourceGoneError(ABSENT)
        lib.kvmlog_pump_socket(native, self._data.fileno(), self._family)

    def status(self) -> SourceStatus:
        replies = self._ask(
            self._open_control(), family.request(lib.KVMLOG_CMD_GET_STATUS), family.Message
        )
        if not replies:
            raise SourceError("the kernel module gave no status; see dmesg, then reload it")
        status = family.parse_status(replies[0])
        if self._data is not None and status.receiver != self._data.port:
            raise SourceGoneError("the kernel module was reloaded and knows this bridge no more")
        return status

    def pending(self) -> bytes:
        replies = self._ask(
            self._open_control(),
            family.request(lib.KVMLOG_CMD_GET_PENDING),
            family.Message,
            dump=True,
        )
        records = (reply.get_attr("KVMLOG_A_RECORD") for reply in replies)
        return b"".join(bytes(record) for record in records if record)

    def notes(self) -> list[str]:
        return list(self._notes)

    def close(self) -> None:
        for link in (self._data, self._control):
            if link is not None:
                link.close()
        self._data = self._control = None

    def _prototypes(self, status: SourceStatus) -> dict[str, str]:
        found, why_not = btf.signatures(status.prototypes)
        self._notes = []
        if why_not is not None:
            self._notes.append(f"prototypes not checked, this kernel shows no BTF ({why_not})")
        return found

    def _open_control(self) -> GenlSocket:
        if self._control is None:
            raise SourceGoneError(ABSENT)
        return self._control

    def _find_family(self, link: GenlSocket) -> int:
        try:
            return link.family(GENL_NAME)
        except GenlError as error:
            if error.code == errno.ENOENT:
                raise SourceGoneError(ABSENT) from None
            raise SourceError(f"generic netlink: {error.text}") from None
        except OSError as error:
            raise SourceError(f"generic netlink does not answer: {error}") from None

    def _ask(
        self, link: GenlSocket, message: Any, reply: type[Any] | None = None, dump: bool = False
    ) -> list[Any]:
        try:
            return link.request(self._family, message, reply, dump)
        except GenlError as error:
            if error.code == errno.EALREADY:
                raise AlreadyError(error.text) from None
            # Without the module's own words it is generic netlink that knows no such family.
            if error.code == errno.ENOENT and error.text == os.strerror(errno.ENOENT):
                raise SourceGoneError(ABSENT) from None
            raise SourceError(_refusal(error)) from None
        except TimeoutError:
            raise SourceError(
                "the kernel module does not answer within 5 s; see dmesg, then reload it"
            ) from None
        except OSError as error:
            raise SourceError(f"the kernel module cannot be asked: {error.strerror}") from None


class AlreadyError(SourceError):
    """The module is in the wanted state."""


def _refusal(error: GenlError) -> str:
    if error.code == errno.EPERM and error.text == os.strerror(errno.EPERM):
        return "the kernel module wants CAP_NET_ADMIN; run the bridge as root"
    if error.code == errno.EBUSY:
        return f"the kernel module has another receiver ({error.text}); stop the other bridge"
    return f"the kernel module refused: {error.text}"


def _check_format(status: SourceStatus) -> None:
    ours = (lib.KVMLOG_SCHEMA_VERSION, lib.KVMLOG_RECORD_BYTES)
    theirs = (status.schema, status.record_bytes)
    if ours != theirs:
        raise SourceError(
            f"the kernel module writes record schema {theirs[0]} of {theirs[1]} bytes, this bridge "
            f"knows {ours[0]} of {ours[1]}; use module and bridge of the same version"
        )


def _enlarge(link: socket.socket) -> None:
    """A large receive buffer, past net.core.rmem_max where we may; else what the limit gives."""
    try:
        link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except PermissionError:
        with contextlib.suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
