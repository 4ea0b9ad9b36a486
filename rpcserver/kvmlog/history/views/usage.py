# SPDX-License-Identifier: GPL-2.0-or-later
"""Nova's simple tenant usage, microversion 2.40, of the VMs' lives on this host.

A VM counts from its definition to the end of that, running or not, with its size at each time:
where Nova takes the last flavor for the whole period, a VM that was resized counts here as it was.
A VM without an owner has the tenant null; one that was there when the history began to look is
`observed_since` then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kvmlog.history.model import Life, Span
from kvmlog.history.moment import Stamp
from kvmlog.history.views import times
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.views import nova_state
from kvmlog.vmstats.views.units import GIB, MIB

_NS_PER_HOUR: Final = 3_600 * 10**9
_TERMINATED: Final = "terminated"


@dataclass(frozen=True)
class Window:
    """A period, ns since 1970; its end is never in the future."""

    start_ns: int
    stop_ns: int

    def hours(self, span: Span, now: Stamp) -> float:
        """Return how long a span was within it."""
        return span.within(self.start_ns, self.stop_ns, now) / _NS_PER_HOUR

    def meets(self, span: Span) -> bool:
        """Return whether a span reaches into it."""
        ended = span.ended
        return span.began.realtime_ns <= self.stop_ns and (
            ended is None or ended.realtime_ns >= self.start_ns
        )


@dataclass(frozen=True)
class ServerUsage:
    """What one owner used of one VM in a window."""

    project_id: str | None
    life: Life
    spans: tuple[Span, ...]  # oldest first


def servers(lives: Iterable[Life], window: Window) -> list[ServerUsage]:
    """Return what was used in a window, for each life and each of its owners."""
    found: list[ServerUsage] = []
    for life in lives:
        owned: dict[str | None, list[Span]] = {}
        for span in life.spans:
            if window.meets(span):
                owned.setdefault(_project(span), []).append(span)
        found += (ServerUsage(project, life, tuple(spans)) for project, spans in owned.items())
    return found


def of_tenant(usages: Iterable[ServerUsage], project_id: str | None) -> list[ServerUsage]:
    """Return those of one owner."""
    return [one for one in usages if one.project_id == project_id]


def document(
    usages: Sequence[ServerUsage], window: Window, now: Stamp, *, detailed: bool
) -> list[dict[str, Any]]:
    """Return the usage of each owner; detailed: with that of each VM."""
    by_owner: dict[str | None, list[ServerUsage]] = {}
    for one in usages:
        by_owner.setdefault(one.project_id, []).append(one)
    return [
        _tenant(project, owned, window, now, detailed=detailed)
        for project, owned in by_owner.items()
    ]


def _tenant(
    project: str | None,
    owned: Sequence[ServerUsage],
    window: Window,
    now: Stamp,
    *,
    detailed: bool,
) -> dict[str, Any]:
    spans = [(span.size, window.hours(span, now)) for one in owned for span in one.spans]
    whole: dict[str, Any] = {
        "tenant_id": project,
        "start": times.of_ns(window.start_ns),
        "stop": times.of_ns(window.stop_ns),
        "total_hours": sum(hours for _, hours in spans),
        "total_vcpus_usage": sum(size.vcpus * hours for size, hours in spans),
        "total_memory_mb_usage": sum(size.memory_bytes / MIB * hours for size, hours in spans),
        # Of the disks whose size is known.
        "total_local_gb_usage": sum(
            size.disk_bytes / GIB * hours for size, hours in spans if size.disk_bytes is not None
        ),
    }
    if detailed:
        whole["server_usages"] = [_server(one, window, now) for one in owned]
    return whole


def _server(usage: ServerUsage, window: Window, now: Stamp) -> dict[str, Any]:
    life, size = usage.life, usage.spans[-1].size
    return {
        "instance_id": life.uuid,
        "name": life.name,
        "tenant_id": usage.project_id,
        "flavor": size.flavor_name,
        "vcpus": size.vcpus,
        "memory_mb": size.memory_bytes // MIB,
        "local_gb": None if size.disk_bytes is None else size.disk_bytes // GIB,
        "started_at": times.text(life.began),
        "ended_at": times.maybe(life.ended),
        "hours": sum(window.hours(span, now) for span in usage.spans),
        "uptime": life.uptime_ns(now) // 10**9,
        "state": _state(life),
        "observed_since": None if life.witnessed else times.text(life.began),
    }


def _state(life: Life) -> str | None:
    if life.ended is not None:
        return _TERMINATED
    return nova_state.vm_state(State(life.state)) if life.state in list(State) else None


def _project(span: Span) -> str | None:
    return None if span.owner is None else span.owner.project_id


def until(window: Window, now: Stamp) -> Window:
    """Return the window without what is in the future."""
    return replace(window, stop_ns=min(window.stop_ns, now.realtime_ns))
