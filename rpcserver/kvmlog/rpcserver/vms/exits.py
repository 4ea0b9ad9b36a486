# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of the VMs that run, as engines take them: counters that only grow, and their rates.

A list of equal objects stands where an engine would have a meter for each: Ceilometer's dynamic
pollsters make one of each name. Whoever asks gets the same rates, those since some seconds ago.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from kvmlog.exits.reasons import names as reasons
from kvmlog.guests.names import Guest
from kvmlog.ring.reader import RingInfo
from kvmlog.ring.statistics.reader import Fold, Histogram, Snapshot, StatisticsGuest
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.running import runs
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.units import known

SPENT: Final = ("kvm", "vmm", "wait", "idle", "paused")
_NS_PER_S: Final = 1_000_000_000
# Rates are of at least so long, which is shorter than any engine's interval.
_LEAST_NS: Final = 10 * _NS_PER_S
# Nobody has asked for so long: then there is nothing to compare with.
_MOST_NS: Final = 300 * _NS_PER_S
# One that is kept is so much younger than the one before, so that few reach back far enough.
_APART_NS: Final = _LEAST_NS // 2
_KEPT_MOST: Final = 4


# A VM is a process: its pid and when it started; before its announcement, 0 and the guest's id.
_Key: TypeAlias = tuple[int, int]


@dataclass
class VmExits:
    """The exits of one VM, all of its reasons together; times in ns.

    times: by who spent it; reasons: exits and their time, without halts.
    """

    exits: int = 0
    halts: int = 0
    times: Counter[str] = field(default_factory=Counter)
    reasons: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def add(self, one: Histogram) -> None:
        """Add the exits of one reason."""
        self.exits += one.count
        self.times.update(
            kvm=one.kvm_ns, vmm=one.vmm_ns, wait=one.wait_ns, idle=one.idle_ns, paused=one.paused_ns
        )
        if one.halt:
            self.halts += one.count
            return
        count, ns = self.reasons.get((one.isa, one.reason), (0, 0))
        self.reasons[one.isa, one.reason] = (count + one.count, ns + one.total_ns)


@dataclass(frozen=True)
class Counted:
    """The exits of all VMs at one moment."""

    fold: Fold
    vms: Mapping[_Key, VmExits]


def counted(snapshot: Snapshot) -> Counted:
    """Return what the statistics have of each VM."""
    keys = {guest.id: _key(guest) for guest in snapshot.guests.values()}
    found: dict[_Key, VmExits] = {}
    for one in snapshot.histograms():
        if one.guest in keys:
            found.setdefault(keys[one.guest], VmExits()).add(one)
    return Counted(snapshot.fold, found)


class Earlier:
    """What was counted some seconds ago, for rates; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # covers _kept
        self._kept: list[Counted] = []  # the newest last

    def before(self, now: Counted) -> Counted | None:
        """Return the newest count that is old enough to compare with, and keep this one."""
        with self._lock:
            same = [one for one in self._kept if 0 <= _age_ns(one, now) <= _MOST_NS]
            if not same or _age_ns(same[-1], now) >= _APART_NS:
                self._kept = [*same, now][-_KEPT_MOST:]
            return next((one for one in reversed(same) if _age_ns(one, now) >= _LEAST_NS), None)


def documents(
    snapshot: Snapshot,
    names: StatisticsNames,
    vms: Iterable[Vm],
    *,
    writer_alive: bool,
    now: Counted,
    before: Counted | None,
) -> list[dict[str, Any]]:
    """Return the VMs that run, those first that were seen first.

    vms: those of libvirt, which tell names and owners; before: None: there are no rates.
    """
    names.update(snapshot.guests)
    samples = [vm for vm in vms if vm.sample.active]
    by_uuid = {vm.sample.uuid: vm for vm in samples}
    by_pid = {vm.sample.pid: vm for vm in samples if vm.sample.pid is not None}
    found: dict[_Key, dict[str, Any]] = {}
    for guest in sorted(snapshot.guests.values(), key=lambda one: (one.first_ns, one.id)):
        key, of_bridge = _key(guest), names.guests.get(guest.id)
        exits = now.vms.get(key)
        if exits is None or key in found or not runs(guest, of_bridge, snapshot, writer_alive):
            continue
        vm = by_pid.get(guest.tgid) or by_uuid.get((of_bridge and of_bridge.uuid) or "")
        who = _who(guest, names.labels.get(guest.id, ""), of_bridge, vm)
        rate = None if before is None else _rate(before.vms.get(key), exits, before, now)
        found[key] = {**who, **_counters(exits), **known({"rate": rate})}
    return list(found.values())


def host(snapshot: Snapshot, ring: RingInfo | None, name: str) -> dict[str, Any]:
    """Return the host's exits, and what was lost of them.

    dropped: exits, in the source; records, messages: on the way to the ring; unplaced: exits that
    the statistics had no room for. sampled: exits that were left out on purpose.
    """
    lost = {"unplaced": snapshot.overflow}
    if ring is not None:
        lost |= {
            "dropped": ring.counters["dropped"],
            "records": ring.lost_records,
            "messages": ring.lost_messages,
        }
    sampled = None if ring is None else ring.counters["sampled"]
    return {
        "id": name,
        "exits": snapshot.exits,
        "losses": [{"name": what, "count": count} for what, count in lost.items()],
        **known({"sampled": sampled}),
    }


def _who(
    guest: StatisticsGuest, label: str, of_bridge: Guest | None, vm: Vm | None
) -> dict[str, Any]:
    uuid = vm.sample.uuid if vm is not None else of_bridge and of_bridge.uuid
    instance = None if vm is None else vm.sample.definition.instance
    name = label if vm is None else vm.sample.name
    return {
        "id": uuid or name,
        "name": name,
        **known(
            {
                "uuid": uuid,
                "pid": guest.tgid or None,
                "display_name": instance and instance.name,
                "project_id": instance and instance.project_id,
                "user_id": instance and instance.user_id,
            }
        ),
    }


def _counters(exits: VmExits) -> dict[str, Any]:
    return {
        "exits": exits.exits,
        "halts": exits.halts,
        "time": [{"name": who, "ns": exits.times[who]} for who in SPENT],
        "reasons": [
            {"name": reasons.reason_name(*key), "exits": count, "ns": ns}
            for key, (count, ns) in sorted(
                exits.reasons.items(), key=lambda one: (-one[1][1], one[0])
            )
        ],
    }


def _rate(
    earlier: VmExits | None, exits: VmExits, before: Counted, now: Counted
) -> dict[str, Any] | None:
    """Return what came meanwhile, a second; None for a VM that was not there, or counts anew."""
    if earlier is None or exits.exits < earlier.exits:
        return None
    over_ns = _age_ns(before, now)
    grown = {
        key: ns - earlier.reasons.get(key, (0, 0))[1] for key, (_, ns) in exits.reasons.items()
    }
    largest = max(grown, key=lambda key: (grown[key], key), default=None)
    whole_ns = sum(grown.values())
    found: dict[str, Any] = {
        "over_s": over_ns / _NS_PER_S,
        "exits_per_s": (exits.exits - earlier.exits) * _NS_PER_S / over_ns,
        # Of one CPU: a VM with two vCPUs that only wait has 200.
        "time": [
            {
                "name": who,
                "percent": 100 * max(0, exits.times[who] - earlier.times[who]) / over_ns,
            }
            for who in SPENT
        ],
    }
    if largest is not None and grown[largest] > 0:
        found["largest_reason"] = reasons.reason_name(*largest)
        found["largest_share"] = grown[largest] / whole_ns
    return found


def _key(guest: StatisticsGuest) -> _Key:
    return (guest.tgid, guest.start_boottime_ns) if guest.tgid else (0, guest.id)


def _age_ns(before: Counted, now: Counted) -> int:
    """Return how much later `now` was counted; -1 for other statistics, or after a reset."""
    if (before.fold.statistics_id, before.fold.since_ns) != (
        now.fold.statistics_id,
        now.fold.since_ns,
    ):
        return -1
    return now.fold.folded_ns - before.fold.folded_ns
