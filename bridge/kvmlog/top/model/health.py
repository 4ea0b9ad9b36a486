# SPDX-License-Identifier: GPL-2.0-or-later
"""State of tracing in few words: what is traced, until when, its cost, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kvmlog.control.sampling import Sampling, describe_sampling
from kvmlog.ring.reader import RingInfo
from kvmlog.util import units

OFF: Final = "tracing is off: nothing is counted; s switches it on"
_SHOWN_WORDS: Final = 4


@dataclass(frozen=True)
class Status:
    """The status of bridge and ring; None for one that is unavailable, with a sentence why."""

    bridge: dict[str, Any] | None
    bridge_error: str | None
    ring: RingInfo | None
    ring_error: str | None


@dataclass(frozen=True)
class Health:
    """What the lines above the table say.

    on: None if it is not known. chosen: the words of --vm, None for all guests. problem: what is
    wrong, a sentence, "" for nothing; note: what the figures leave out.
    """

    on: bool | None
    tracing: str
    chosen: tuple[str, ...] | None
    lease_s: float | None
    sampling: Sampling
    cost: str
    cost_short: str
    lost_records: int | None
    problem: str
    note: str

    @property
    def lost(self) -> str:
        """Records lost since the ring was made, "?" if that is not known."""
        return "?" if self.lost_records is None else units.short(self.lost_records, 1_000)


def health_of(status: Status) -> Health:
    """Return the state of tracing, from what bridge and ring tell."""
    bridge, ring = status.bridge, status.ring
    state = None if bridge is None else str(bridge.get("state", ""))
    on = None if bridge is None else state == "on"
    chosen = _chosen(bridge)
    lease_s = None if bridge is None or bridge.get("lease_s") is None else float(bridge["lease_s"])
    long, short = _cost((bridge or {}).get("budget") or {})
    recorded = (bridge or {}).get("sampling")
    return Health(
        on=on,
        tracing=_tracing(state, chosen, lease_s),
        chosen=chosen,
        lease_s=lease_s,
        sampling=_sampling(recorded),
        cost=long,
        cost_short=short,
        lost_records=None if ring is None else ring.lost_records,
        problem=_problem(status, on),
        note="; ".join(describe_sampling(recorded)) if recorded else "",
    )


def _chosen(bridge: dict[str, Any] | None) -> tuple[str, ...] | None:
    chosen = (bridge or {}).get("filter")
    return tuple(map(str, chosen.get("vm", ()))) if chosen else None


def _tracing(state: str | None, chosen: tuple[str, ...] | None, lease_s: float | None) -> str:
    if state is None:
        return "not known"
    if state == "off":
        return "off"
    what = "all guests"
    if chosen is not None:
        what = ", ".join(chosen[:_SHOWN_WORDS])
        if len(chosen) > _SHOWN_WORDS:
            what += f" and {len(chosen) - _SHOWN_WORDS} more"
    words = f"{state}, {what}"
    if lease_s is not None:
        words += f", off in {_left(round(max(1.0, lease_s)))}"
    return words


def _left(seconds: int) -> str:
    """Return "42s", "4m12s", "1h05m"."""
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h{minutes_left:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _sampling(recorded: dict[str, Any] | None) -> Sampling:
    if not recorded:
        return Sampling()
    return Sampling(
        int(recorded.get("one_in") or 1),
        int(recorded.get("on_ms") or 0),
        int(recorded.get("off_ms") or 0),
        int(recorded["max_per_s"]) if recorded.get("max_per_s") else None,
    )


def _cost(budget: dict[str, Any]) -> tuple[str, str]:
    """Return the cost and its limit, in a few words and in fewer."""
    if not budget:
        return "cost ?, budget ?", "?"
    limit = float(budget.get("limit_percent") or 0)
    words = f"budget {limit:.3g}%" if limit else "no budget"
    short = f"/{limit:.3g}%" if limit else "%"
    if not budget.get("span_s"):
        return f"cost 0%, {words}", f"0{short}"
    one, every = float(budget["one_cpu_percent"]), float(budget["percent"])
    return (
        f"cost {one:.2g}% of a CPU, {every:.2g}% of all {budget['cpus']} ({words})",
        f"{every:.2g}{short}",
    )


def _problem(status: Status, on: bool | None) -> str:
    bridge, ring = status.bridge, status.ring
    budget = (bridge or {}).get("budget") or {}
    if bridge is None and ring is not None and not ring.writer_alive:
        return "no bridge writes these statistics now; start it (kvmlog bridge)"
    found = [
        status.bridge_error or "",
        str(budget.get("stopped") or ""),
        str((bridge or {}).get("trouble") or ""),
        status.ring_error or "",
        OFF if on is False and (bridge or {}).get("state") == "off" else "",
    ]
    return next((one for one in found if one), "")
