# SPDX-License-Identifier: GPL-2.0-or-later
"""What exits were, as small numbers: reason, detail, return and halt, with their words once each.

A guest may touch a million addresses. Of those that are rare only the reason is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kvmlog.analysis.report.columns import Array, basic_reasons, halts, returns
from kvmlog.exits.decode import detail
from kvmlog.exits.reasons import names, userspace
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import NO_RETURN

# Kinds that have words of their own.
CODES_MOST: Final = 3_000
# Kinds that are counted at all, until the rarest are given up.
_COUNTED_MOST: Final = 200_000

# The parts of a kind beside the detail, in one number.
_HAS_DETAIL: Final = 1 << 62
_HALT: Final = 1 << 61
_NESTED: Final = 1 << 60
_DETAIL_FLAGS: Final = (1 << 64) - 1 - _HAS_DETAIL


class Kind(NamedTuple):
    """What an exit was; words: its detail, "" for none, OTHERS for those that are not kept."""

    reason: str
    words: str
    returned: str  # KVM_EXIT_*, "" where it did not leave the kernel
    halt: bool
    nested: bool


OTHERS: Final = "other"


@dataclass(frozen=True)
class Codes:
    """The kinds kept, by number, and how to find the number of an exit."""

    kinds: tuple[Kind, ...]
    wholes: Array  # the sorted keys, each `what` and detail
    details: Array
    numbers: Array  # of these, their codes
    rest_whats: Array  # sorted keys without a detail
    rest_numbers: Array

    def of(self, exits: Array) -> Array:
        """Return the code of each exit."""
        what, key = keys(exits)
        bare = what & np.uint64(_DETAIL_FLAGS)
        rest = np.searchsorted(self.rest_whats, bare)
        # A kind that was too rare to be counted at all has the last code: unknown.
        rest = np.minimum(rest, len(self.rest_whats) - 1)
        known = self.rest_whats[rest] == bare
        found = np.where(known, self.rest_numbers[rest], len(self.kinds) - 1)
        if len(self.wholes):
            at = _search(self.wholes, self.details, what, key)
            exact = (self.wholes[at] == what) & (self.details[at] == key)
            found = np.where(exact, self.numbers[at], found)
        return found.astype("u4")


class CodeCounter:
    """Counts kinds of exits, block by block."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, exits: Array) -> None:
        """Count the exits of a block."""
        what, key = keys(exits)
        order = np.lexsort((key, what))
        what, key = what[order], key[order]
        first = np.ones(len(what), dtype=bool)
        first[1:] = (what[1:] != what[:-1]) | (key[1:] != key[:-1])
        at = np.flatnonzero(first)
        amounts = np.diff(np.append(at, len(what)))
        for one, two, amount in zip(
            what[at].tolist(), key[at].tolist(), amounts.tolist(), strict=True
        ):
            self._counts[one, two] = self._counts.get((one, two), 0) + amount
        if len(self._counts) > _COUNTED_MOST:
            self._give_up_rarest()

    def codes(self) -> Codes:
        """Return the most frequent kinds, and each reason without a detail."""
        chosen = sorted(self._counts, key=lambda one: (-self._counts[one], one))[:CODES_MOST]
        exact = sorted(one for one in chosen if one[0] & _HAS_DETAIL)
        rest = sorted({one[0] & _DETAIL_FLAGS for one in self._counts})
        # Those without a detail, and those whose detail is not kept, are told apart by words.
        detailed = {one[0] & _DETAIL_FLAGS for one in self._counts if one[0] & _HAS_DETAIL}
        kinds = [_kind(what, key) for what, key in exact]
        kinds += [_kind(what, None, others=what in detailed) for what in rest]
        kinds.append(Kind("unknown", OTHERS, "", halt=False, nested=False))
        return Codes(
            kinds=tuple(kinds),
            wholes=np.array([what for what, _ in exact], dtype="u8"),
            details=np.array([key for _, key in exact], dtype="u8"),
            numbers=np.arange(len(exact), dtype="u4"),
            rest_whats=np.array(rest or [0], dtype="u8"),
            rest_numbers=np.arange(len(exact), len(exact) + max(1, len(rest)), dtype="u4"),
        )

    def _give_up_rarest(self) -> None:
        """Keep the more frequent half, and every reason's total under no detail."""
        by_count = sorted(self._counts.items(), key=lambda item: -item[1])
        kept = dict(by_count[: _COUNTED_MOST // 2])
        for (what, _), count in by_count[_COUNTED_MOST // 2 :]:
            bare = (what & _DETAIL_FLAGS, 0)
            kept[bare] = kept.get(bare, 0) + count
        self._counts = kept


def keys(exits: Array) -> tuple[Array, Array]:
    """Return of each exit a number for all but its detail, and its detail."""
    flags = exits["flags"]
    has_detail = (flags & lib.KVMLOG_F_DETAIL_VALID) != 0
    what = basic_reasons(exits).astype("u8")
    what |= returns(exits).astype("u8") << np.uint64(32)
    what |= exits["isa"].astype("u8") << np.uint64(48)
    for bits, is_set in (
        (_HAS_DETAIL, has_detail),
        (_HALT, halts(exits)),
        (_NESTED, (flags & lib.KVMLOG_F_NESTED) != 0),
    ):
        what |= np.where(is_set, np.uint64(bits), np.uint64(0))
    return what, np.where(has_detail, exits["detail"], np.uint64(0))


def _search(wholes: Array, details: Array, what: Array, key: Array) -> Array:
    """Return for each (what, key) a place in the sorted pairs where it is if it is there."""
    size = len(wholes)
    low = np.searchsorted(wholes, what, side="left")
    high = np.searchsorted(wholes, what, side="right")
    # Within a range of equal wholes, by bisection of all exits at once.
    for _ in range(int(size).bit_length()):
        middle = (low + high) // 2
        below = (low < high) & (details[np.minimum(middle, size - 1)] < key)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    found: Array = np.minimum(low, size - 1)
    return found


def _kind(what: int, key: int | None, others: bool = False) -> Kind:
    isa, reason = what >> 48 & 0xFF, what & 0xFFFFFFFF
    returned, nested = what >> 32 & 0xFFFF, bool(what & _NESTED)
    came_back = returned != NO_RETURN
    words = OTHERS if others else ""
    if key is not None:
        is_device = returned == userspace.MMIO
        words = detail.detail_words(isa, reason, key, is_device=is_device, is_nested=nested)
    lacks_reason = isa == lib.KVMLOG_ISA_NONE and not reason
    return Kind(
        reason="-" if lacks_reason else names.reason_name(isa, reason),
        words=words,
        returned=names.user_reason_name(returned) if came_back else "",
        halt=bool(what & _HALT),
        nested=nested,
    )
