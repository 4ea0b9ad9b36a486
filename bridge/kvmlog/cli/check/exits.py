# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of VMs, and what was lost of them, over some seconds, as `kvmlog rpc` counts them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from kvmlog.cli.check.figures import Extra, Figure, Measured
from kvmlog.cli.check.vms import NotMeasuredError
from kvmlog.client import Client
from kvmlog.ring.reader import RingInfo
from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query
from kvmlog.stat.report import GuestFigures, Report

_MS: Final = 1e6
# As many groups as a server gives.
_BY_GUEST: Final = Query(By.GUEST, "count", 4_096)
_NOT_TRACED: Final = "is not traced: tracing is on for other VMs"


def rate(client: Client, words: Sequence[str], over_s: float) -> Measured:
    """Return the exits of each VM per second, halts included."""
    bridge = _tracing(client)
    if bridge.get("sampling"):
        raise NotMeasuredError("only a sample of the exits is recorded, so that their rate is not")
    report = _report(client, words, over_s)
    span_s = (report.until_realtime_ns - report.since_realtime_ns) / 1e9
    figures = []
    for one in _guests(report):
        value = one.exits / span_s if span_s > 0 else None
        figures.append(replace(_figure(one, bridge, value, "", ""), per="a second"))
    return Measured(figures, nothing=_nothing(words))


def latency(client: Client, words: Sequence[str], over_s: float) -> Measured:
    """Return the 99th percentile of each VM's exits, without halts, in ms."""
    bridge = _tracing(client)
    report = _report(client, words, over_s)
    slowest = {
        one.statistics.id: max(
            (line.row.p99_ns for line in report.lines if line.row.guest == one.statistics.id),
            default=None,
        )
        for one in report.guests
    }
    figures = []
    for one in _guests(report):
        ns = slowest[one.statistics.id]
        about = "99th percentile" if ns is not None else "no exits but halts"
        figures.append(_figure(one, bridge, (ns or 0) / _MS, "ms", about))
    return Measured(figures, nothing=_nothing(words))


def losses(client: Client, over_s: float) -> Measured:
    """Return the exits that were lost, in percent of those that were seen meanwhile."""
    before = _ring(client)
    time.sleep(over_s)
    now = _ring(client)
    if now.ring_id != before.ring_id:
        raise NotMeasuredError("the ring was made anew meanwhile; check again")
    seen = now.counters["seen"] - before.counters["seen"]
    dropped = now.counters["dropped"] - before.counters["dropped"]
    lost = dropped + now.lost_records - before.lost_records
    percent = 100 * lost / max(seen, lost) if lost else 0.0
    extras = (
        Extra("dropped", now.counters["dropped"], "c"),
        Extra("records", now.lost_records, "c"),
        Extra("messages", now.lost_messages, "c"),
    )
    about = f"{lost} of {seen} exits"
    return Measured([Figure("lost", percent, "%", 0, 100, about=about, extras=extras)])


def _tracing(client: Client) -> dict[str, Any]:
    """Return the bridge's status; NotMeasuredError unless it traces."""
    status = client.status()
    if status.bridge is None:
        raise NotMeasuredError(status.bridge_error or "no bridge answers")
    if status.bridge.get("state") != "on":
        raise NotMeasuredError("tracing is off; switch it on (kvmlog switch on)")
    return status.bridge


def _ring(client: Client) -> RingInfo:
    status = client.status()
    if status.ring is None:
        raise NotMeasuredError(status.ring_error or "the ring cannot be read")
    if not status.ring.writer_alive:
        raise NotMeasuredError("no bridge writes the ring; start it (kvmlog bridge)")
    return status.ring


def _report(client: Client, words: Sequence[str], over_s: float) -> Report:
    return client.statistics(_BY_GUEST, words, over_s)[0]


def _guests(report: Report) -> list[GuestFigures]:
    """Return those that have not ended."""
    return [
        one for one in report.guests if one.guest is None or one.guest.ended_realtime_ns is None
    ]


def _figure(
    one: GuestFigures, bridge: dict[str, Any], value: float | None, unit: str, about: str
) -> Figure:
    chosen = bridge.get("filter")
    label = one.label or f"guest {one.statistics.number}"
    if chosen and one.statistics.tgid not in chosen.get("tgids", ()):
        return Figure(label, None, unit, why=_NOT_TRACED)
    return Figure(label, value, unit, about=about)


def _nothing(words: Sequence[str]) -> str:
    return f"{', '.join(words)}: no exits" if words else "no exits"
