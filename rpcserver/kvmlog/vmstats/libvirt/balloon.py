# SPDX-License-Identifier: GPL-2.0-or-later
"""The period of balloons' statistics, set where it is missing; only where the user asked for it.

The only call that changes a domain, and the only read-write connection: open while there is
something to set.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final

import libvirt

from kvmlog.util.ratelimit import LogLimiter
from kvmlog.vmstats import log
from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.calls import name_of
from kvmlog.vmstats.libvirt.lane import Lane
from kvmlog.vmstats.sample import Sample

_REMEMBERED_MOST: Final = 16_384


class BalloonPeriod:
    """Sets a period in domains that have a balloon without one; once in each life of a domain.

    done: called with a domain's UUID, in another thread, when it has one: its XML is another.
    """

    def __init__(self, uri: str, period_s: int, done: Callable[[str], None]) -> None:
        self._uri = uri
        self._period_s = period_s
        self._done = done
        self._tried: set[tuple[str, int | None]] = set()
        self._lane: Lane | None = None
        self._log = LogLimiter(log)

    def apply(self, samples: Iterable[Sample]) -> None:
        """Begin to set it where it is missing, without waiting: a domain that hangs blocks that."""
        if not self._period_s or (self._lane is not None and not self._lane.ended):
            return
        self._lane = None
        wanted = [one for one in samples if self._lacks(one)]
        if not wanted:
            return
        if len(self._tried) > _REMEMBERED_MOST:
            self._tried.clear()
        self._tried.update((one.uuid, one.domain_id) for one in wanted)
        self._lane = Lane(self._uri, read_only=False)
        self._lane.opened.add_done_callback(self._report)
        for one in wanted:
            self._lane.begin(functools.partial(self._set, one.uuid))
        self._lane.leave()

    def _lacks(self, sample: Sample) -> bool:
        return (
            sample.active
            and not sample.timed_out
            and sample.definition.balloon
            and not sample.definition.balloon_period_s
            and (sample.uuid, sample.domain_id) not in self._tried
        )

    def _set(self, uuid: str, connection: libvirt.virConnect | None) -> None:
        if connection is None:
            return  # it did not open, which has been reported
        with contextlib.suppress(libvirt.libvirtError):  # it has gone
            domain = connection.lookupByUUIDString(uuid)
            try:
                domain.setMemoryStatsPeriod(self._period_s, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            except libvirt.libvirtError as error:
                self._log(
                    f"{name_of(domain)}: the period of its balloon's statistics cannot be "
                    f"set: {binding.sentence(error)}"
                )
            else:
                self._done(uuid)

    def _report(self, opened: Future[None]) -> None:
        error = opened.exception()
        if isinstance(error, libvirt.libvirtError):
            self._log(
                f"{self._uri}: no period of balloons' statistics can be set: "
                f"{binding.sentence(error)}"
            )
