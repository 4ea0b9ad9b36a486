# SPDX-License-Identifier: GPL-2.0-or-later
"""All documents that are made of a snapshot, and those of a single VM by the name of a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import (
    nova_diagnostics,
    nova_diagnostics_248,
    vdsm_vm,
    vmstats,
)
from kvmlog.vmstats.views.errors import UnknownFormatError


@dataclass(frozen=True)
class Format:
    """A document about one VM."""

    name: str  # as callers give it
    document: Callable[[Vm, Moment], dict[str, Any]]
    schema: str  # kvmlog.vmstats.views.schemas
    about: str  # a phrase for help and descriptions


FORMATS: Final = {
    one.name: one
    for one in (
        Format(
            "nova",
            nova_diagnostics.document,
            "nova-diagnostics",
            "Nova's server diagnostics before microversion 2.48",
        ),
        Format(
            "nova-2.48",
            nova_diagnostics_248.document,
            "nova-diagnostics-2.48",
            "Nova's server diagnostics since microversion 2.48",
        ),
        Format("vdsm", vdsm_vm.document, "vdsm-vm", "VDSM's statistics of a VM"),
        Format("kvmlog", vmstats.document, "vmstats", "our own sample, with all groups"),
    )
}

# Of each document: the schemas by their names. Those of lists and maps describe the whole.
SCHEMAS: Final = (
    *(one.schema for one in FORMATS.values()),
    "vdsm-host",
    "cloudstack",
    "cloudstack-accumulated",
    "ceilometer",
    "exits",
    "hypervisor-2.53",
    "hypervisor-2.88",
    "hypervisor-listed",
    "hypervisor-statistics",
    "host-resource",
    "limits",
    "host",
    "collector",
)


def diagnostics(vm: Vm, name: str, now: Moment) -> dict[str, Any]:
    """Return a VM in the format of that name.

    UnknownFormatError: there is none; NotRunningError: it refuses a VM that does not run.
    """
    if name not in FORMATS:
        raise UnknownFormatError(f"{clean(name)}: no such format; give {', '.join(FORMATS)}")
    return FORMATS[name].document(vm, now)
