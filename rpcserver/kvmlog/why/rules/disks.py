# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on disks: errors, limits that are reached, and storage that is slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kvmlog.exits.format.notes import counted
from kvmlog.util.units import duration, short
from kvmlog.why.budget import Budget
from kvmlog.why.evidence import Disk, Evidence, Operations
from kvmlog.why.rules.model import Figure, Match, percent

# Fewer requests tell nothing of a disk's latency.
_LEAST_PER_S: Final = 0.5


class _Use(NamedTuple):
    """How much of a limit is used."""

    share: float
    disk: Disk
    words: str
    latency_ns: float | None


def errors(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find I/O errors."""
    failing = [disk for disk in evidence.disks or () if disk.errors >= least]
    if not failing:
        return None
    named = ", ".join(f"{disk.target} ({disk.source or 'no source'})" for disk in failing)
    total = sum(disk.errors for disk in failing)
    return Match(
        1.0,
        f"its storage returned {counted(total, 'I/O error')}: {named}.",
        (Figure("io_errors", total, "count"),),
    )


def throttled(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a disk that has reached its limit."""
    used = [one for disk in evidence.disks or () for one in _uses(disk)]
    worst = max(used, key=lambda one: one.share, default=None)
    if worst is None or worst.share * 100 < least:
        return None
    figures = [Figure("of_limit", worst.share * 100, "percent")]
    details = []
    if worst.latency_ns is not None:
        figures.append(Figure("latency", worst.latency_ns, "ns"))
        details.append(f"A request takes {duration(round(worst.latency_ns))} at that.")
    target = worst.disk.target
    return Match(
        0.6,
        f"disk {target} has reached its limit: {worst.words}.",
        tuple(figures),
        tuple(details),
        (
            f"raise the limit (virsh blkdeviotune {evidence.name} {target}, or the volume's QoS), "
            "or have the guest do less I/O",
        ),
    )


def slow(evidence: Evidence, _budget: Budget | None, least: float) -> Match | None:
    """Find a disk whose requests take long, and that no limit holds back."""
    found: list[tuple[float, Disk, Operations]] = []
    for disk in evidence.disks or ():
        if any(one.share >= _LIMIT_REACHED for one in _uses(disk)):
            continue
        found += [
            (one.latency_ns, disk, one)
            for one in disk.operations
            if one.latency_ns is not None and one.requests_per_s >= _LEAST_PER_S
        ]
    if not found:
        return None
    latency_ns, disk, one = max(found, key=lambda each: each[0])
    if latency_ns < least * 1e6:
        return None
    busy = min(1.0, latency_ns * one.requests_per_s / 1e9)
    return Match(
        max(0.3, busy),
        f"its storage is slow: a {one.kind} of disk {disk.target} takes "
        f"{duration(round(latency_ns))} on average.",
        (
            Figure("latency", latency_ns, "ns"),
            Figure("requests", one.requests_per_s, "per_s"),
        ),
        (
            f"{one.requests_per_s:.0f} {one.kind}s a second to "
            f"{disk.source or 'its source'}, with no limit of libvirt's in the way.",
        ),
    )


# Part of a limit: QEMU's throttling lets bursts through, and rounds.
_LIMIT_REACHED: Final = 0.9


def _uses(disk: Disk) -> Iterator[_Use]:
    reads_writes = [one for one in disk.operations if one.kind != "flush"]
    latency_ns = max((one.latency_ns for one in reads_writes if one.latency_ns), default=None)
    for one in reads_writes:
        yield from _use(disk, one.requests_per_s, one.limit_requests_per_s, one.kind, latency_ns)
        yield from _use(disk, one.bytes_per_s, one.limit_bytes_per_s, one.kind, latency_ns, "B")
    requests = sum(one.requests_per_s for one in reads_writes)
    size = sum(one.bytes_per_s or 0 for one in reads_writes)
    yield from _use(disk, requests, disk.total_limit_requests_per_s, "", latency_ns)
    yield from _use(disk, size, disk.total_limit_bytes_per_s, "", latency_ns, "B")


def _use(
    disk: Disk,
    rate: float | None,
    limit: int | None,
    kind: str,
    latency_ns: float | None,
    unit: str = "",
) -> Iterator[_Use]:
    if rate is None or not limit:
        return
    what = f"{kind} requests" if kind else "requests"
    if unit:
        what = f"B/s of {kind}s" if kind else "B/s"
        words = f"{short(rate, 1_000)}{what} of {short(limit, 1_000)}B/s allowed"
    else:
        words = f"{short(rate, 1_000)} {what} a second of {short(limit, 1_000)} allowed"
    yield _Use(rate / limit, disk, f"{words} ({percent(rate / limit)})", latency_ns)
