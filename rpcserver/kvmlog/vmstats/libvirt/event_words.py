# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of libvirt's events as words: libvirt-domain.h, virDomainEvent...DetailType."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import libvirt

from kvmlog.vmstats.events import Kind


def _words(prefix: str) -> Mapping[int, str]:
    """Return the binding's constants of a prefix: "VIR_DOMAIN_EVENT_STOPPED_SAVED" as "saved"."""
    return {
        value: name.removeprefix(prefix).lower()
        for name, value in vars(libvirt).items()
        if name.startswith(prefix) and isinstance(value, int)
    }


# By virDomainEventType: what it is, and its details.
LIFECYCLE: Final[Mapping[int, tuple[Kind, Mapping[int, str]]]] = {
    getattr(libvirt, f"VIR_DOMAIN_EVENT_{kind.name}"): (
        kind,
        _words(f"VIR_DOMAIN_EVENT_{kind.name}_"),
    )
    for kind in (
        Kind.DEFINED,
        Kind.UNDEFINED,
        Kind.STARTED,
        Kind.SUSPENDED,
        Kind.RESUMED,
        Kind.STOPPED,
        Kind.SHUTDOWN,
        Kind.PMSUSPENDED,
        Kind.CRASHED,
    )
}
IO_ERROR_ACTIONS: Final = _words("VIR_DOMAIN_EVENT_IO_ERROR_")
WATCHDOG_ACTIONS: Final = _words("VIR_DOMAIN_EVENT_WATCHDOG_")
