# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of groups as text, as tables of any kind show them; "" where a group has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from kvmlog.ring.statistics.reader import Row
from kvmlog.stat.report import Line
from kvmlog.util import units

Cell: TypeAlias = Callable[[Line], str]


def title(name: str) -> str:
    """Return the title of a figure's column."""
    return "P99.9" if name == "p999" else name.upper()


def share(part: int, whole: int) -> str:
    """Return "12.3%", rounded; "" where there is no whole, or nothing of it."""
    if not whole or not part:
        return ""
    tenths = (part * 1_000 * 2 + whole) // (whole * 2)
    return f"{tenths // 10}.{tenths % 10}%"


def _count(line: Line) -> str:
    return f"{line.row.count}"


def _share(line: Line) -> str:
    return share(line.part_ns, line.whole_ns)


def _time(ns: int) -> str:
    return units.duration(ns) if ns else ""


def _mean(ns: int, count: int) -> str:
    return units.duration((ns + count // 2) // count) if ns and count else ""


def _extreme(of: Callable[[Row], int]) -> Cell:
    return lambda line: units.duration(of(line.row)) if line.row.total_ns else ""


def _percentile(of: Callable[[Row], int]) -> Cell:
    def cell(line: Line) -> str:
        if not line.row.total_ns:
            return ""
        return ("<" if line.row.rough else "") + units.duration(of(line.row))

    return cell


def _part(of: Callable[[Row], int]) -> Cell:
    return lambda line: share(of(line.row), line.row.total_ns)


CELLS: Final[Mapping[str, Cell]] = {
    "count": _count,
    "total": lambda line: _time(line.row.total_ns),
    "share": _share,
    "mean": lambda line: _mean(line.row.total_ns, line.row.count),
    "min": _extreme(lambda row: row.min_ns),
    "p50": _percentile(lambda row: row.p50_ns),
    "p90": _percentile(lambda row: row.p90_ns),
    "p99": _percentile(lambda row: row.p99_ns),
    "p999": _percentile(lambda row: row.p999_ns),
    "max": _extreme(lambda row: row.max_ns),
    "kvm": _part(lambda row: row.kvm_ns),
    "vmm": _part(lambda row: row.vmm_ns),
    "wait": _part(lambda row: row.wait_ns),
    "idle": _part(lambda row: row.idle_ns),
    "paused": _part(lambda row: row.paused_ns),
}
RETURN_CELLS: Final[Mapping[str, Cell]] = {
    "count": _count,
    "total": lambda line: _time(line.row.total_ns),
    "vmm": lambda line: _time(line.row.vmm_ns),
    "share": _share,
    "mean": lambda line: _mean(line.row.vmm_ns, line.row.count),
    "paused": lambda line: _time(line.row.paused_ns),
}
