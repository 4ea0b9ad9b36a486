# SPDX-License-Identifier: GPL-2.0-or-later
"""The last request to the switch: on or off, for which guests, and for how long.

It outlives the source: whenever the source is configured again, it is for the guests that match
now and for what is left of the time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.engine.ratecap import RateCap
from kvmlog.guests.lookup import PinnedWords
from kvmlog.guests.registry import GuestRegistry
from kvmlog.native import lib
from kvmlog.sources.base import SourceStatus, SwitchConfig
from kvmlog.util.errors import SwitchError

# To a source no process at all means every process. This one cannot be: Linux gives pids below
# PID_MAX_LIMIT, 1 << 22 (include/linux/threads.h).
NOBODY: Final = (1 << 31) - 1

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
# A source's clock may be a tick ahead of ours: so little left is nothing left.
_NOTHING_LEFT_NS: Final = 50 * _NS_PER_MS
# A source that has so much less than is left of the time gets it again, when half of the longest
# lease is over.
_RENEW_MS: Final = 60_000


class GuestFilter:
    """The guests that some words name, while guests come and go (kvmlog.guests.lookup).

    `matched`: the pids that each word matched at first. GuestError when a word names no running
    guest, SwitchError when they name too many.
    """

    def __init__(self, registry: GuestRegistry, words: Sequence[str]) -> None:
        self.words = tuple(dict.fromkeys(words))
        self._registry = registry
        found = registry.find(self.words)
        self._pinned = PinnedWords(found)
        self.matched = {word: [guest.pid for guest in guests] for word, guests in found.items()}
        tgids = {tgid for pids in self.matched.values() for tgid in pids}
        if len(tgids) > lib.KVMLOG_MAX_TGIDS:
            raise SwitchError(
                f"{len(tgids)} processes match; at most {lib.KVMLOG_MAX_TGIDS} can be chosen; "
                "name fewer guests, or switch on for all of them"
            )

    def tgids(self) -> tuple[int, ...]:
        """Return all processes that match now, those of the first words first."""
        found = self._pinned.matching(self._registry.traceable())
        return tuple(dict.fromkeys(guest.pid for guest in found))


@dataclass(frozen=True)
class TraceRequest:
    """guest_filter: of which guests, None: of all; tgids: their processes as last looked up.

    rate_cap: what holds max_per_s of the sampling; it outlives the other changes.
    """

    on: bool = False
    guest_filter: GuestFilter | None = None
    tgids: tuple[int, ...] = field(default=())
    until_ns: int | None = None  # CLOCK_MONOTONIC, as the sources measure leases; None: no end
    sampling: Sampling = EVERY_EXIT
    rate_cap: RateCap = field(default_factory=lambda: RateCap(EVERY_EXIT))

    @classmethod
    def begin(
        cls, guest_filter: GuestFilter | None, for_s: float | None, sampling: Sampling = EVERY_EXIT
    ) -> TraceRequest:
        """Return a request for tracing from now on."""
        until_ns = None
        if for_s is not None:
            until_ns = time.monotonic_ns() + round(for_s * _NS_PER_S)
        tgids = () if guest_filter is None else guest_filter.tgids()
        return cls(True, guest_filter, tgids, until_ns, sampling, RateCap(sampling))

    def remaining_ms(self) -> int:
        """Return what is left of the time, at least 1; 0 without an end."""
        if self.until_ns is None:
            return 0
        return max(1, -(-(self.until_ns - time.monotonic_ns()) // _NS_PER_MS))

    def is_over(self, by_ns: int = -_NOTHING_LEFT_NS) -> bool:
        """Return whether the time is over, by so much."""
        return self.until_ns is not None and time.monotonic_ns() >= self.until_ns + by_ns

    def config(self) -> SwitchConfig:
        """Return the source's configuration as of now; a lease beyond its limit is renewed."""
        if not self.on:
            return SwitchConfig(on=False)
        tgids = self.tgids
        if self.guest_filter is not None:
            tgids = tgids[: lib.KVMLOG_MAX_TGIDS] or (NOBODY,)
        return SwitchConfig(
            on=True,
            tgids=tgids,
            one_in=self.rate_cap.one_in,
            on_ms=self.sampling.on_ms,
            off_ms=self.sampling.off_ms,
            lease_ms=min(self.remaining_ms(), lib.KVMLOG_MAX_LEASE_MS),
        )

    def is_met_by(self, status: SourceStatus | None) -> bool:
        """Return whether all exits without end are requested, and traced already."""
        plain = self.guest_filter is None and self.until_ns is None and self.sampling == EVERY_EXIT
        if not plain or status is None or status.tgids or status.lease_ms:
            return False
        return status.one_in <= 1 and not (status.on_ms or status.off_ms)

    def needs_renewal(self, status: SourceStatus | None) -> bool:
        """Return whether the source's lease, which was too short for our time, is to be renewed."""
        has_ms = 0 if status is None else status.lease_ms
        return self.remaining_ms() > has_ms + _RENEW_MS and has_ms < lib.KVMLOG_MAX_LEASE_MS // 2

    def describe(self) -> dict[str, Any]:
        """Return the members of the status answer."""
        chosen = None
        if self.guest_filter is not None:
            chosen = {"vm": list(self.guest_filter.words), "tgids": len(self.tgids)}
        left_s = None if self.until_ns is None else self.remaining_ms() / 1_000
        recorded = None
        if self.sampling != EVERY_EXIT:
            recorded = {**vars(self.sampling), "one_in_now": self.rate_cap.one_in}
        return {
            "wanted": "on" if self.on else "off",
            "filter": chosen,
            "lease_s": left_s,
            "sampling": recorded,
        }
