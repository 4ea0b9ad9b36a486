# SPDX-License-Identifier: GPL-2.0-or-later
"""The exits of a watch: whether they are counted, and what was counted meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling
from kvmlog.guests.model import GuestError
from kvmlog.guests.names import GuestNames
from kvmlog.ring.records import Record, unpack_records
from kvmlog.ring.statistics.reader import SUFFIX, StatisticsReader
from kvmlog.stat.query import Query
from kvmlog.stat.report import Moment as Counted
from kvmlog.stat.sampler import Sampler
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import StatisticsError, SwitchError
from kvmlog.why.evidence import Exits, Gap
from kvmlog.why.gather.exits import exits_of, with_pending
from kvmlog.why.gather.target import Places, Target

# What a lease for a watch has beyond it: for switching on, and for the last exits.
_LEASE_S: Final = 5.0
_TRACE: Final = "--trace switches it on for the time of the watch"
# Of exits that have neither reason nor times (kvmlog.exits.reasons.names.lacks_reason).
_NO_ISA: Final = "none"


class ExitWatch(Closeable):
    """The exits of the watch; a gap where they are not counted."""

    def __init__(
        self,
        places: Places,
        target: Target,
        trace: Callable[[str, float], None] | None,
        over_s: float,
        gaps: list[Gap],
    ) -> None:
        self._places = places
        self._target = target
        self._gaps = gaps
        self._switch = SwitchClient(places.switch)
        self._reader: StatisticsReader | None = None
        self._sampler: Sampler | None = None
        self._base: Counted | None = None
        self._last: Counted | None = None
        self._pending = b""
        if target.pid is None:
            return
        try:
            if self._is_traced(trace, over_s):
                self._reader = StatisticsReader(places.ring + SUFFIX)
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")

    def close(self) -> None:
        """Close the statistics."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def begin(self) -> None:
        """Take the first sample."""
        reader, places = self._reader, self._places
        if reader is None:
            return
        copy = places.copy
        made = None if copy is None else lambda: copy(reader)
        try:
            self._sampler = Sampler(
                reader, places.ring, places.switch, Query(), (), lambda _: None, made
            )
            self._base = self._sampler.now()
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")

    def end(self) -> None:
        """Take the last sample."""
        if self._base is None or self._sampler is None:
            return
        try:
            self._last = self._sampler.now()
            self._pending, _ = self._switch.pending(self._numbers())
        except (SwitchError, StatisticsError) as error:
            self._missing(str(error), "")
            self._last = None

    def seen(self) -> Exits | None:
        """Return the exits from begin() to end(); None where they are not known."""
        if self._base is None or self._last is None:
            return None
        before, after = self._base.snapshot, self._last.snapshot
        over_ns = after.folded_ns - before.folded_ns
        if (before.statistics_id, before.since_ns) != (after.statistics_id, after.since_ns):
            self._missing("the statistics began anew meanwhile", "try again")
            return None
        if over_ns <= 0:
            self._missing("the bridge has counted nothing meanwhile", "look at its log")
            return None
        ids = {one.id for one in after.guests.values() if one.tgid == self._target.pid}
        numbers = self._numbers()
        pending = [
            one
            for one in unpack_records(self._pending)
            if isinstance(one, Record) and one.guest in numbers
        ]
        exits = exits_of(after, before, ids, over_ns)
        if exits.groups and all(group.isa == _NO_ISA for group in exits.groups):
            self._missing(
                "this kernel's KVM shows no exits, only returns to QEMU",
                "kvmlog stat --by guest,return counts those",
            )
            return None
        return with_pending(exits, pending)

    def _numbers(self) -> frozenset[int]:
        """Return the numbers that the source knows the VM by."""
        names = GuestNames(self._places.ring)
        return frozenset(
            number
            for one in names.guests()
            if one.pid == self._target.pid and one.ended_realtime_ns is None
            for number, _ in one.numbers
        )

    def _is_traced(self, trace: Callable[[str, float], None] | None, over_s: float) -> bool:
        """Return whether the VM's exits are counted, after switching that on where asked to."""
        status = self._status()
        if status.get("wanted") != "on":
            if trace is None:
                self._missing("tracing is off", _TRACE)
                return False
            trace(str(self._target.pid), over_s + _LEASE_S)
            status = self._status()
            if status.get("wanted") != "on":
                self._missing("tracing was switched on and is off again", "kvmlog status says why")
                return False
        if not self._matches(status):
            self._missing(
                "tracing is on for other VMs only",
                f"add it: kvmlog switch on --vm {self._target.name} (with the others' names)",
            )
            return False
        if recorded := status.get("sampling"):
            self._gaps.append(
                Gap(
                    "every exit",
                    f"only some are recorded ({'; '.join(describe_sampling(recorded))}), so that "
                    "times of exits are too low",
                    "kvmlog switch on without sampling",
                )
            )
        return True

    def _status(self) -> dict[str, Any]:
        with self._places.waiting():
            return self._switch.status()

    def _matches(self, status: dict[str, object]) -> bool:
        chosen = status.get("filter")
        if not isinstance(chosen, dict):
            return True
        try:
            guests = GuestNames(self._places.ring).matching(chosen.get("vm", []), chosen["vm"])
        except (GuestError, KeyError):
            return False
        return any(one.pid == self._target.pid for one in guests)

    def _missing(self, why: str, remedy: str) -> None:
        if not remedy:
            why, _, remedy = why.partition("; ")
        self._gaps.append(Gap("exits", why, remedy or "start the bridge (kvmlog bridge)"))
