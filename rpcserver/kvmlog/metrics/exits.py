# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of each VM that runs: by reason, by who spent the time, and by duration.

Histograms have a VM's exits of all reasons, halts in one of their own: with a histogram for each
reason a host would have ten times the series. Their bounds are those of the statistics' octaves,
at which no exit has to be guessed: 2^k - 1 ns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString

from kvmlog.exits.reasons import names as reasons
from kvmlog.metrics.series import NS_PER_S, Families, Kind, Labels, Room, apart, label
from kvmlog.ring.statistics.reader import (
    OCTAVE_ENDS_NS,
    Histogram,
    Snapshot,
)
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.running import runs
from kvmlog.stat.serialize import HANDLERS

# Each doubling from 1 us to 1 ms, where exits are; above that, where they are rare, every other.
WORK_OCTAVES: Final = (*range(5, 16), *range(17, 27, 2))
# From 4 us to 69 s.
HALT_OCTAVES: Final = tuple(range(7, 33, 2))
_UNTOLD: Final = "unknown"

FAMILIES: Final[Mapping[str, tuple[Kind, str]]] = {
    "kvmlog_exits_total": (
        "counter",
        "Exits of a VM's vCPUs by reason; nested: of a guest within it, by who handled them.",
    ),
    "kvmlog_exit_time_seconds_total": (
        "counter",
        "Time from exit to re-entry by who spent it: kvm, vmm, wait (for a CPU), idle (asleep in "
        "a halt), paused (by the VMM).",
    ),
    "kvmlog_exit_seconds": ("histogram", "Time from exit to re-entry; without halts."),
    "kvmlog_halt_seconds": ("histogram", "Time from exit to re-entry of halts."),
}


@dataclass
class _Reason:
    """One reason of one VM."""

    labels: Labels
    count: int = 0
    kvm_ns: int = 0
    vmm_ns: int = 0
    wait_ns: int = 0
    paused_ns: int = 0
    idle_ns: int = 0
    halts: bool = False

    def add(self, one: Histogram) -> None:
        self.count += one.count
        self.kvm_ns += one.kvm_ns
        self.vmm_ns += one.vmm_ns
        self.wait_ns += one.wait_ns
        self.paused_ns += one.paused_ns
        self.idle_ns += one.idle_ns
        self.halts |= one.halt

    def spent(self) -> Iterator[tuple[str, int]]:
        """Yield who spent the time, and how much: the same for a reason from its first exit on."""
        yield "kvm", self.kvm_ns
        yield "vmm", self.vmm_ns
        yield "wait", self.wait_ns
        yield "paused", self.paused_ns
        if self.halts:  # nothing else sleeps
            yield "idle", self.idle_ns


@dataclass
class _Durations:
    """A histogram of one VM."""

    octaves: tuple[int, ...]  # whose ends are its bounds
    count: int = 0
    sum_ns: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(OCTAVE_ENDS_NS))

    def add(self, one: Histogram) -> None:
        self.count += one.count
        self.sum_ns += one.total_ns
        self.counts = [mine + more for mine, more in zip(self.counts, one.octaves, strict=True)]

    def buckets(self) -> Iterator[tuple[str, int]]:
        up_to, octave = 0, 0
        for last in self.octaves:
            up_to += sum(self.counts[octave : last + 1])
            octave = last + 1
            # More than all: the file was written meanwhile, or is damaged.
            yield BOUNDS[last], min(up_to, self.count)

    @property
    def series(self) -> int:
        return len(self.octaves) + 3 if self.count else 0


BOUNDS: Final = tuple(
    str(floatToGoString(end_ns / NS_PER_S))  # type: ignore[no-untyped-call]
    for end_ns in OCTAVE_ENDS_NS
)


class VmExits:
    """The exits of one VM; labels: uuid and name."""

    def __init__(self, labels: Labels, rows: Iterable[Histogram]) -> None:
        self._labels = labels
        self._reasons: dict[tuple[int, int, str], _Reason] = {}
        self._work = _Durations(WORK_OCTAVES)
        self._halts = _Durations(HALT_OCTAVES)
        for one in rows:
            self._add(one)

    @property
    def series(self) -> int:
        """Return how many series it has."""
        by_reason = sum(5 + one.halts for one in self._reasons.values())
        return by_reason + self._work.series + self._halts.series

    def write(self, families: Families) -> None:
        """Add all its samples."""
        for one in self._reasons.values():
            families.add("kvmlog_exits_total", one.labels, one.count)
            for who, ns in one.spent():
                labels = {**one.labels, "spent": who}
                families.add_seconds("kvmlog_exit_time_seconds_total", labels, ns)
        for name, found in (
            ("kvmlog_exit_seconds", self._work),
            ("kvmlog_halt_seconds", self._halts),
        ):
            if found.count:
                families.add_histogram(
                    name, self._labels, found.buckets(), found.count, found.sum_ns
                )

    def _add(self, one: Histogram) -> None:
        nested = HANDLERS.get(one.handler, _UNTOLD) if one.nested else ""
        key = (one.isa, one.reason, nested)
        found = self._reasons.get(key)
        if found is None:
            labels = {
                **self._labels,
                "isa": reasons.isa_name(one.isa),
                "reason": reasons.reason_name(one.isa, one.reason),
                **({"nested": nested} if nested else {}),
            }
            found = self._reasons[key] = _Reason(labels)
        found.add(one)
        (self._halts if one.halt else self._work).add(one)


def vms(snapshot: Snapshot, names: StatisticsNames, writer_alive: bool) -> list[VmExits]:
    """Return the exits of the VMs that run, those first that were seen first.

    writer_alive: a bridge keeps the list of guests up to date; else processes are looked at.
    """
    names.update(snapshot.guests)
    rows: dict[int, list[Histogram]] = {}
    for one in snapshot.histograms():
        rows.setdefault(one.guest, []).append(one)
    found: list[VmExits] = []
    taken: dict[str, set[str]] = {}
    for guest in sorted(snapshot.guests.values(), key=lambda one: (one.first_ns, one.id)):
        known = names.guests.get(guest.id)
        if guest.id not in rows or not runs(guest, known, snapshot, writer_alive):
            continue
        uuid = (known.uuid if known else None) or ""
        name = apart(
            taken.setdefault(uuid, set()), label(names.labels.get(guest.id)), f"{guest.id}"
        )
        found.append(VmExits({"uuid": uuid, "name": name}, rows[guest.id]))
    return found


def families(found: Sequence[VmExits], room: Room) -> list[Metric]:
    """Return the families of these VMs, as far as there is room."""
    made = Families(FAMILIES)
    for one in found:
        if room.admit(one.series):
            one.write(made)
    return made.metrics()
