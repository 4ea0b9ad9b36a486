# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents about hosts and what happened on them, as JSON has them (docs/schemas).

XML-RPC carries their integers as text, and what is not known as "".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kvmlog.client.connection import RpcError

# All others that look like numbers are names and ids.
_INTEGERS: Final = frozenset(
    (
        "cells",
        "code",
        "cores",
        "count",
        "disk_available_least",
        "free_disk_gb",
        "free_ram_mb",
        "hypervisor_version",
        "local_gb",
        "local_gb_used",
        "maxTotalCores",
        "maxTotalInstances",
        "maxTotalRAMSize",
        "memory_mb",
        "memory_mb_used",
        "report_count",
        "running_vms",
        "sockets",
        "threads",
        "totalCoresUsed",
        "totalInstancesUsed",
        "totalRAMUsed",
        "total_hours",
        "total_local_gb_usage",
        "total_memory_mb_usage",
        "total_vcpus_usage",
        "uptime",
        "vcpus",
        "vcpus_used",
    )
)

# Of 64 bits, with a sign.
_DIGITS: Final = 20
_TOTALS: Final = (
    "total_hours",
    "total_local_gb_usage",
    "total_memory_mb_usage",
    "total_vcpus_usage",
)


def documents(reply: Any) -> list[dict[str, Any]]:
    """Return an array of documents; RpcError for anything else."""
    if not isinstance(reply, list):
        raise _foreign()
    return [document(one) for one in reply]


def document(reply: Any) -> dict[str, Any]:
    """Return one document; RpcError for anything else."""
    if not isinstance(reply, dict):
        raise _foreign()
    try:
        found: dict[str, Any] = _restored(reply, "")
    except ValueError:
        raise _foreign() from None
    return found


def hypervisors(reply: Any) -> list[dict[str, Any]]:
    """Return an array of hypervisors in detail, whose uptime is a line of text; RpcError."""
    if not isinstance(reply, list) or not all(isinstance(one, dict) for one in reply):
        raise _foreign()
    found = []
    for one in reply:
        uptime = {"uptime": one["uptime"] or None} if "uptime" in one else {}
        found.append(document({name: one[name] for name in one if name != "uptime"}) | uptime)
    return found


def figures(reply: Any) -> dict[str, Any]:
    """Return a document in which all texts of digits are numbers; RpcError for anything else."""
    if not isinstance(reply, dict):
        raise _foreign()
    found: dict[str, Any] = _numbers(reply)
    return found


def merged(pages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the pages of a usage as one: an owner's VMs may be on several."""
    tenants: dict[str | None, dict[str, Any]] = {}
    for page in pages:
        for one in page["tenant_usages"]:
            whole = tenants.get(one["tenant_id"])
            if whole is None:
                tenants[one["tenant_id"]] = dict(one)
                continue
            for name in _TOTALS:
                whole[name] += one[name]
            whole["server_usages"] = [*whole["server_usages"], *one["server_usages"]]
    return {**pages[-1], "tenant_usages": list(tenants.values())}


def _restored(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _restored(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_restored(member, name) for member in value]
    if value == "":
        return None
    return int(value) if isinstance(value, str) and name in _INTEGERS else value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_numbers(member) for member in value]
    if value == "":
        return None
    digits = isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii()
    return int(value) if digits and len(value) <= _DIGITS else value


def _foreign() -> RpcError:
    return RpcError("the reply lacks something (no document); use client and server of one version")
