# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of VMs: Nova's fault of a server, and our own form, which tells what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.history.model import Fault
from kvmlog.history.views import times

# What Nova gives a fault that is no refusal of a request.
_CODE: Final = 500


def document(fault: Fault) -> dict[str, Any]:
    """Return a fault with all that is known of it."""
    return {
        "code": _CODE,
        "created": times.text(fault.created),
        "message": fault.message,
        "details": dict(fault.details),
        "kind": str(fault.kind),
        "count": fault.count,
        "source": str(fault.source),
        "instance_uuid": fault.uuid,
        "name": fault.name,
        "project_id": fault.project_id,
    }


def of_server(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fault's document as Nova's server has it: details are a text, times have a zone."""
    told = [f"{name} {value}" for name, value in fault["details"].items() if value is not None]
    return {
        "code": _CODE,
        "created": fault["created"].partition(".")[0] + "Z",
        "message": fault["message"],
        "details": ", ".join(told),
    }
