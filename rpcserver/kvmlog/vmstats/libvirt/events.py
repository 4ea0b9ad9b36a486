# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's events of one connection: what a poller has to do about them, and what has happened.

A sample tells a domain's state; events tell what happened in between: that its definition has
changed, how often its disks failed, that it was reset. BALLOON_CHANGE is left out: it comes each
second, for a figure that each poll has anyway.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import libvirt

from kvmlog.guests.sanitize import clean
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import log
from kvmlog.vmstats.events import Kind, Occurrence
from kvmlog.vmstats.libvirt.calls import name_of
from kvmlog.vmstats.libvirt.event_words import IO_ERROR_ACTIONS, LIFECYCLE, WATCHDOG_ACTIONS
from kvmlog.vmstats.moment import Moment

# After one of these, too, the XML is another.
_REDEFINING: Final = (
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
    libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
)
# Domains come and go; of those that are gone nobody asks, and the dictionary is bounded.
_COUNTED_MOST: Final = 16_384


@dataclass
class Changes:
    """What has happened since take(); filled by the event loop's thread, taken by the poller's."""

    lost: Callable[[], None]  # called when the connection breaks; must not block
    note: Callable[[Occurrence], None]  # called for each occurrence; must not block
    uri: str
    _lock: threading.Lock = field(default_factory=threading.Lock)  # covers those below
    _redefined: set[str] = field(default_factory=set)
    _io_errors: Counter[tuple[str, str]] = field(default_factory=Counter)

    def redefine(self, uuid: str) -> None:
        """Note that the domain's XML may be another."""
        with self._lock:
            if len(self._redefined) < _COUNTED_MOST:
                self._redefined.add(uuid)

    def take_redefined(self) -> set[str]:
        """Return whose XML may be another, once."""
        with self._lock:
            taken, self._redefined = self._redefined, set()
        return taken

    def count_io_error(self, uuid: str, alias: str) -> None:
        """Count an I/O error of a disk."""
        with self._lock:
            if (uuid, alias) in self._io_errors or len(self._io_errors) < _COUNTED_MOST:
                self._io_errors[uuid, alias] += 1

    def io_errors(self, uuid: str, aliases: Iterable[str]) -> dict[str, int]:
        """Return the I/O errors of a domain's disks since the collector began, by alias."""
        with self._lock:
            return {alias: self._io_errors[uuid, alias] for alias in aliases}

    def happened(
        self,
        kind: Kind,
        domain: libvirt.virDomain | None = None,
        detail: str | None = None,
        **facts: str,
    ) -> None:
        """Note an occurrence, of a domain or, without one, of the connection."""
        self.note(
            Occurrence(
                at=Moment.now(),
                uri=self.uri,
                kind=kind,
                uuid=None if domain is None else domain.UUIDString(),
                name=None if domain is None else name_of(domain),
                detail=None if detail is None else clean(detail),
                facts={name: clean(text) for name, text in facts.items()},
            )
        )

    def forget(self, uuid: str) -> None:
        """Drop the counts of a domain that is gone."""
        with self._lock:
            for key in [key for key in self._io_errors if key[0] == uuid]:
                del self._io_errors[key]


class Subscription:
    """All callbacks of one connection, in the order in which they were registered."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._log = LogLimiter(log)
        self._callbacks: list[int] = []
        self._has_close_callback = False
        self._muted = False
        self.complete = True  # the driver has all events that tell of another definition

    def begin(self, connection: libvirt.virConnect) -> None:
        """Register; a kind of event that the driver lacks costs that kind."""
        for kind in _REDEFINING:
            self.complete &= self._register(connection, kind, self._redefined)
        for kind, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, self._device_added),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._device_removed),
        ):
            self.complete &= self._register(connection, kind, callback)
        self._register(connection, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._io_error)
        self._register(connection, libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, self._watchdog)
        self._register(connection, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot)
        with contextlib.suppress(libvirt.libvirtError):
            connection.registerCloseCallback(self._closed, None)
            self._has_close_callback = True

    def end(self, connection: libvirt.virConnect) -> None:
        """Deregister: callbacks hold the connection, which would stay open."""
        if self._has_close_callback:
            with contextlib.suppress(libvirt.libvirtError):
                connection.unregisterCloseCallback()
        for number in self._callbacks:
            with contextlib.suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(number)
        self._callbacks.clear()

    def mute(self) -> None:
        """Tell no more: another connection tells the same, while a call holds this one."""
        self._muted = True

    def _happened(
        self, kind: Kind, domain: libvirt.virDomain, detail: str | None = None, **facts: str
    ) -> None:
        if not self._muted:
            self._changes.happened(kind, domain, detail, **facts)

    def _register(
        self, connection: libvirt.virConnect, kind: int, callback: Callable[..., None]
    ) -> bool:
        try:
            self._callbacks.append(connection.domainEventRegisterAny(None, kind, callback, None))
        except libvirt.libvirtError:
            return False
        return True

    def _closed(self, _connection: Any, _reason: int, _opaque: Any) -> None:
        self._changes.lost()

    def _lifecycle(
        self, _connection: Any, domain: libvirt.virDomain, event: int, detail: int, _opaque: Any
    ) -> None:
        self._changes.redefine(domain.UUIDString())
        known = LIFECYCLE.get(event)
        if known is not None:
            kind, details = known
            self._happened(kind, domain, details.get(detail, str(detail)))

    def _reboot(self, _connection: Any, domain: libvirt.virDomain, _opaque: Any) -> None:
        self._happened(Kind.REBOOT, domain)

    def _device_added(
        self, _connection: Any, domain: libvirt.virDomain, alias: str, _opaque: Any
    ) -> None:
        self._changes.redefine(domain.UUIDString())
        self._happened(Kind.DEVICE_ADDED, domain, alias)

    def _device_removed(
        self, _connection: Any, domain: libvirt.virDomain, alias: str, _opaque: Any
    ) -> None:
        self._changes.redefine(domain.UUIDString())
        self._happened(Kind.DEVICE_REMOVED, domain, alias)

    def _redefined(self, _connection: Any, domain: libvirt.virDomain, *_: Any) -> None:
        self._changes.redefine(domain.UUIDString())

    def _io_error(
        self,
        _connection: Any,
        domain: libvirt.virDomain,
        path: str,
        alias: str,
        action: int,
        reason: str,
        _opaque: Any,
    ) -> None:
        if self._muted:
            return
        self._changes.count_io_error(domain.UUIDString(), alias)
        acted = IO_ERROR_ACTIONS.get(action, str(action))
        self._happened(Kind.IO_ERROR, domain, reason, alias=alias, path=path, action=acted)
        paused = ": paused" if action == libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE else ""
        self._log(
            f"{name_of(domain)}: I/O error of {clean(alias or path)} "
            f"({clean(reason) or 'no reason given'}){paused}"
        )

    def _watchdog(
        self, _connection: Any, domain: libvirt.virDomain, action: int, _opaque: Any
    ) -> None:
        if self._muted:
            return
        self._happened(Kind.WATCHDOG, domain, WATCHDOG_ACTIONS.get(action, str(action)))
        self._log(f"{name_of(domain)}: its watchdog has fired")
