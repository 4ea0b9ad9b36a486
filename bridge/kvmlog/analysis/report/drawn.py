# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scripts of the page draw, JSON-ready: page/base.js says what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kvmlog.analysis.report import durations
from kvmlog.analysis.report.compare import Comparison
from kvmlog.analysis.report.gather import Model
from kvmlog.analysis.report.groups import PARTS, reason
from kvmlog.analysis.report.series import HEAT_COLUMNS
from kvmlog.ring.statistics.reader import Row
from kvmlog.stat.report import Line
from kvmlog.stat.serialize import detail_words
from kvmlog.util.units import NS_PER_S

_REASONS: Final = 14
_CHANGES: Final = 14
# Reasons below this share of all have no bar; such parts of the icicle are drawn as one, "more".
_LEAST_SHARE: Final = 0.0005


def drawn(model: Model, comparison: Comparison | None) -> dict[str, Any]:
    """Return all that is drawn of a recording, and of what changed since another."""
    wall = model.clocks.at(model.scan.begun_ns)
    begun_s, begun_ns = divmod(wall.realtime_ns, NS_PER_S)
    return {
        "begun_s": begun_s,
        "begun_ns": begun_ns,
        "utc_offset_s": wall.utc_offset_s,
        "length_ns": max(1, model.scan.length_ns),
        "timeline": model.timeline.json_object(),
        "heat": _heat(model),
        "parts": _parts(model.groups["reason"].lines),
        "icicle": _icicle(model.groups["detail"].lines),
        "changes": None if comparison is None else _changes(comparison),
    }


def _heat(model: Model) -> dict[str, Any]:
    heat = model.series.heat
    used = heat[0].sum(axis=0).nonzero()[0]
    low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
    names = ["all guests", *model.series.heat_guests]
    maps = []
    for name, counts in zip(names, heat, strict=True):
        columns, buckets = counts.nonzero()
        cells = [
            [x, y - low, int(counts[x, y])]
            for x, y in zip(columns.tolist(), buckets.tolist(), strict=True)
        ]
        if cells:
            maps.append({"name": name, "cells": cells})
    bounds = [durations.coarse_from_ns(bucket) for bucket in range(low, high + 1)]
    return {"columns": HEAT_COLUMNS, "from_ns": bounds, "maps": maps}


def _parts(lines: Sequence[Line]) -> dict[str, Any]:
    rows: dict[tuple[int, int, bool], list[Row]] = {}
    for line in lines:
        row = line.row
        rows.setdefault((row.isa, row.reason, row.nested), []).append(row)
    reasons: list[dict[str, Any]] = [
        {
            "name": reason(own[0]) + (" (nested)" if own[0].nested else ""),
            "ns": [sum(of(row) for row in own) for _, of, _ in PARTS],
        }
        for own in rows.values()
    ]
    reasons.sort(key=lambda one: -sum(one["ns"]))
    least = sum(sum(one["ns"]) for one in reasons) * _LEAST_SHARE
    shown = [one for one in reasons if sum(one["ns"]) > least][:_REASONS]
    return {"parts": [title for title, _, _ in PARTS], "reasons": shown}


def _icicle(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the tree: all, guest, reason, detail, each with its time and its exits."""
    root: dict[str, Any] = {"name": "all exits", "ns": 0, "exits": 0, "children": {}}
    for line in lines:
        row = line.row
        path = [line.guest or "?", reason(row) + (" (nested)" if row.nested else "")]
        path += [detail_words(row)] if detail_words(row) else []
        node = root
        for name in ("", *path):
            if name:
                empty = {"name": name, "ns": 0, "exits": 0, "children": {}}
                node = node["children"].setdefault(name, empty)
            node["ns"] += row.total_ns
            node["exits"] += row.count
    return _pruned(root, root["ns"] * _LEAST_SHARE)


def _pruned(node: dict[str, Any], least: float) -> dict[str, Any]:
    """Return a node with its children as a list, largest first, small ones together."""
    children = sorted(node["children"].values(), key=lambda one: (-one["ns"], one["name"]))
    kept = [_pruned(one, least) for one in children if one["ns"] >= max(1, least)]
    rest = [one for one in children if 0 < one["ns"] < least]
    if rest:
        kept.append(
            {
                "name": f"{len(rest):,} more",
                "ns": sum(one["ns"] for one in rest),
                "exits": sum(one["exits"] for one in rest),
                "children": [],
            }
        )
    return {**node, "children": kept}


def _changes(comparison: Comparison) -> list[dict[str, Any]]:
    shown = [one for one in comparison.changes if not one.halt and one.spent_change_ns]
    return [
        {"name": f"{one.guest}: {one.reason}", "ns": one.spent_change_ns}
        for one in shown[:_CHANGES]
    ]
