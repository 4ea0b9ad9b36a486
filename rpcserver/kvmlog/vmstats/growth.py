# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums of what a domain's counters grew by, over all its restarts.

In doubt less is counted, never more: what an engine bills must not jump.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Final

from kvmlog.vmstats.accumulated import Accumulated
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Sample

_BLOCK: Final = ("read_bytes", "read_requests", "write_bytes", "write_requests")
_INTERFACE: Final = ("rx_bytes", "tx_bytes")

_Counters = dict[str, int]


class _Devices:
    """The devices of one kind, and how far their counters had got."""

    def __init__(self) -> None:
        # Whether a device that is not among the known ones has counted from zero since we looked:
        # not before the first look, at which counters have any value.
        self.from_zero = False
        self._known: dict[Hashable, _Counters] = {}

    def restart(self) -> None:
        """Forget them: all count from zero."""
        self.from_zero = True
        self._known = {}

    def grow(self, devices: Mapping[Hashable, Mapping[str, int | None]]) -> _Counters:
        """Return by how much they all grew since the last look, by counter."""
        grown: _Counters = {}
        looked: dict[Hashable, _Counters] = {}
        for key, values in devices.items():
            counters = {name: value for name, value in values.items() if value is not None}
            before = self._known.get(key)
            if before is None:
                before = {} if self.from_zero else counters
            elif any(counters.get(name, old) < old for name, old in before.items()):
                # It was detached and attached again.
                before = {}
            for name, value in counters.items():
                grown[name] = grown.get(name, 0) + value - before.get(name, 0)
            looked[key] = {**before, **counters}
        self._known = looked
        self.from_zero = True
        return grown


class Growth:
    """The sums of one domain, since it was first seen."""

    def __init__(self, since: Moment) -> None:
        self.accumulated = Accumulated(since)
        self._cpu_ns: int | None = None
        self._blocks = _Devices()
        self._interfaces = _Devices()

    def restart(self) -> None:
        """Note that the domain has a new process: what that counts begins at zero.

        Not so a network device of the host that outlives it, which has the same name then.
        """
        self._cpu_ns = 0
        self._blocks.restart()
        self._interfaces.from_zero = True

    def add(self, sample: Sample) -> None:
        """Add what a newer sample has more than those before."""
        grown: _Counters = {"cpu_time_ns": self._cpu(sample)}
        if sample.blocks is not None:
            counting = {disk.target for disk in sample.definition.disks if disk.counts}
            grown |= self._blocks.grow(
                {
                    block.target: {name: getattr(block, name) for name in _BLOCK}
                    for block in sample.blocks
                    if block.target in counting
                }
            )
        if sample.interfaces is not None:
            grown |= self._interfaces.grow(
                {
                    (one.key, one.target): {name: getattr(one, name) for name in _INTERFACE}
                    for one in sample.interfaces
                }
            )
        sums = {name: getattr(self.accumulated, name) + more for name, more in grown.items()}
        self.accumulated = replace(self.accumulated, **sums)

    def _cpu(self, sample: Sample) -> int:
        now_ns = None if sample.cpu is None else sample.cpu.time_ns
        if now_ns is None:
            return 0
        before_ns, self._cpu_ns = self._cpu_ns, now_ns
        # Without a new process a smaller value means that libvirt has begun to count otherwise.
        return 0 if before_ns is None else max(0, now_ns - before_ns)
