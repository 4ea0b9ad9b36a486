# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of a fleet's usage, as Nova cuts them: by VM, with the sums of those on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.vms.errors import InvalidRequestError
from kvmlog.rpcserver.vms.past import Page, Usage


def page(whole: Mapping[str, Any], asked: Page, *, detailed: bool) -> Usage:
    """Return a page of merge.usage(); detailed: with each VM. InvalidRequestError."""
    tenants, since = whole["tenant_usages"], whole["observed_since"]
    began = {
        server["instance_id"]: server["started_at"]
        for one in tenants
        for server in one["server_usages"]
    }
    uuids = sorted(began, key=lambda uuid: (began[uuid], uuid))
    start = 0
    if asked.marker is not None:
        if asked.marker not in began:
            raise InvalidRequestError(
                f"marker {clean(asked.marker, 80)} not found; give the last instance_id of the "
                "page before"
            )
        start = uuids.index(asked.marker) + 1
    shown = uuids[start : start + asked.limit]
    more = start + asked.limit < len(uuids)
    found = tenants if len(shown) == len(uuids) else _of(tenants, frozenset(shown))
    if not detailed:
        found = [{name: one[name] for name in one if name != "server_usages"} for one in found]
    return Usage(list(found), shown[-1] if more else None, since)


def _of(tenants: list[dict[str, Any]], chosen: frozenset[str]) -> list[dict[str, Any]]:
    """Return the usages of some VMs, with sums of these.

    Of their last size: how long a VM had which before, its host has added up.
    """
    found = []
    for one in tenants:
        servers = [each for each in one["server_usages"] if each["instance_id"] in chosen]
        if not servers:
            continue
        sums = {
            name: sum(each["hours"] * (each[size] or 0) for each in servers)
            for name, size in (
                ("total_vcpus_usage", "vcpus"),
                ("total_memory_mb_usage", "memory_mb"),
                ("total_local_gb_usage", "local_gb"),
            )
        }
        hours = sum(each["hours"] for each in servers)
        found.append({**one, "total_hours": hours, **sums, "server_usages": servers})
    return found
