# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel module as a source: generic netlink family "kvmlog" (docs/protocol.md).

Two sockets of the family: requests go over one; the other is the receiver of the batches, is read
by the C pump alone once it is subscribed, and its end switches tracing off.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from kvmlog.native import lib
from kvmlog.sources import btf
from kvmlog.sources.base import Source, SourceGoneError, SourceStatus, SwitchConfig
from kvmlog.sources.kmod.family import Kvmlog
from kvmlog.util.errors import SourceError

ABSENT: Final = (
    "the kernel module kvmlog is not loaded; load it with 'modprobe kvmlog', "
    "or from the source tree with 'make kmod' and 'insmod build/kmod/KERNEL/kvmlog.ko'"
)
# The family is registered in the host's network namespace alone (netnsok of struct genl_family).
ELSEWHERE: Final = (
    "the kernel module kvmlog is loaded, but this network namespace does not show its netlink "
    "family; run the bridge in the host's, as 'nsenter --net=/proc/1/ns/net kvmlog bridge' does "
    "(systemd: without PrivateNetwork=), or use --source bpf"
)
INITSTATE: Final = "/sys/module/kvmlog/initstate"
RELOADED: Final = "reconnecting: the kernel module was reloaded"


class KmodSource(Source):
    """The module kvmlog.ko."""

    name = "kmod"
    number: int = lib.KVMLOG_SOURCE_KMOD

    def __init__(self) -> None:
        self._control: Kvmlog | None = None
        self._receiver: Kvmlog | None = None
        self._prototypes: tuple[str, ...] = ()  # those that the module wants to check
        self._fields: tuple[str, ...] = ()  # likewise
        self._notes: list[str] = []
        self._refused = 0  # exits for which the module's table had no room

    def open(self) -> SourceStatus:
        """Find the family, check that it speaks our format, and subscribe."""
        if self._receiver is not None:
            return self.status()
        self.close()
        receiver: Kvmlog | None = None
        try:
            with _source_errors():
                self._control = Kvmlog()
            status = self.status()
            _check_format(status)
            with _source_errors():
                receiver = Kvmlog()
                receiver.subscribe()
        except BaseException:
            if receiver is not None:
                receiver.close()
            self.close()
            raise
        self._receiver = receiver
        return status

    def switch(self, config: SwitchConfig) -> SourceStatus:
        """Send the configuration, with the types of the running kernel when switching on.

        The module judges them before it looks whether the configuration is new.
        """
        control = self._open_control()
        types = self._running_types() if config.on else btf.KernelTypes()
        with contextlib.suppress(AlreadyError), _source_errors():
            control.configure(config, types)
        try:
            return self.status()
        except SourceGoneError:
            # The module was reloaded and serves another receiver: what it did is undone.
            if config.on:
                with contextlib.suppress(SourceError), _source_errors():
                    control.configure(SwitchConfig(on=False), btf.KernelTypes())
            raise

    def pump(self, native: Any) -> None:
        if self._receiver is None:
            raise SourceGoneError(ABSENT)
        lib.kvmlog_pump_socket(native, self._receiver.fileno(), self._receiver.prid)

    def status(self) -> SourceStatus:
        with _source_errors():
            status = self._open_control().status()
        if self._receiver is not None and status.receiver != self._receiver.port_id:
            raise SourceGoneError(RELOADED)
        self._prototypes = tuple(status.prototypes)
        self._fields = status.fields
        self._refused = status.counters["dropped_table"]
        return status

    def pending(self) -> bytes:
        with _source_errors():
            return self._open_control().pending()

    def notes(self) -> list[str]:
        if not self._refused:
            return list(self._notes)
        full = (
            f"{self._refused} exits had no room in the module's table of vCPUs; load it again "
            "with a higher max_vcpus (of [bridge], where the bridge loads it)"
        )
        return [*self._notes, full]

    def close(self) -> None:
        for link in (self._receiver, self._control):
            if link is not None:
                link.close()
        self._receiver = self._control = None

    def _running_types(self) -> btf.KernelTypes:
        found, why_not = btf.running_types(self._prototypes, self._fields)
        self._notes = []
        if why_not is not None:
            self._notes.append(
                f"prototypes and structures not checked, this kernel shows no BTF ({why_not})"
            )
        return found

    def _open_control(self) -> Kvmlog:
        if self._control is None:
            raise SourceGoneError(ABSENT)
        return self._control


@contextlib.contextmanager
def _source_errors() -> Iterator[None]:
    """Raise as SourceError what the kernel answers instead, or that it does not answer."""
    try:
        yield
    except NetlinkError as error:
        raise _source_error(error.code, str(error.args[1])) from None
    except TimeoutError:
        raise SourceError(
            "the kernel module does not answer within 5 s; see dmesg, then reload it"
        ) from None
    except OSError as error:
        raise SourceError(f"the kernel module cannot be asked: {error.strerror}") from None


class AlreadyError(SourceError):
    """The module is in the requested state."""


def _source_error(code: int, text: str) -> SourceError:
    """Return the error to raise for an errno of the kernel and its words on it."""
    # What generic netlink refuses itself, for want of a module or of rights, has errno's words.
    plain = text == os.strerror(code)
    if code == errno.EALREADY:
        return AlreadyError(text)
    if code == errno.ENOENT and plain:
        return SourceGoneError(ELSEWHERE if _is_loaded() else ABSENT)
    if code == errno.ENOTCONN:
        return SourceGoneError(RELOADED)
    if code == errno.EPERM and plain:
        return SourceError(
            "the kernel module requires CAP_NET_ADMIN and CAP_PERFMON; run the bridge as root"
        )
    if code == errno.EBUSY:
        return SourceError(
            f"the kernel module has another receiver ({text}); stop the other bridge"
        )
    return SourceError(f"the kernel module refused: {text}")


def _is_loaded() -> bool:
    """Return whether the module is ready; one that comes or goes has no family either."""
    try:
        return Path(INITSTATE).read_text(encoding="ascii") == "live\n"
    except OSError:
        return False


def _check_format(status: SourceStatus) -> None:
    ours = (lib.KVMLOG_SCHEMA_VERSION, lib.KVMLOG_RECORD_BYTES)
    theirs = (status.schema, status.record_bytes)
    if ours != theirs:
        raise SourceError(
            f"the kernel module writes record schema {theirs[0]} of {theirs[1]} bytes, this bridge "
            f"knows {ours[0]} of {ours[1]}; use module and bridge of the same version"
        )
