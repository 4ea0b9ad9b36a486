# SPDX-License-Identifier: GPL-2.0-or-later
"""What records a search of the ring passes; the searching is C (bridge/native/ring/select.c)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib

# One search of the native code: a millisecond or so, and at most 7 MB of records found.
SLOTS: Final = 65_536
# For memory that C fills: zeroing it first would be wasted.
_new_uninitialized: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)
_ALL_TYPES: Final = 2**32 - 1
_MOST_U64: Final = 2**64 - 1


class GuestTime(NamedTuple):
    """A guest number from one time to another, both included (CLOCK_MONOTONIC, ns)."""

    guest: int
    from_ns: int
    until_ns: int


class Filter:
    """A filter as the native code reads it (struct kvmlog_filter); the default passes all records.

    types: enum kvmlog_record_type, the only ones to pass; since_ns: the least time of a record. The
    rest is about exits, of which it passes only some; records of other types pass whatever it is.
    reasons: (enum kvmlog_isa, reason without VMX's flags); returns: KVM_EXIT_*, exits that have
    either pass; total_ns: the least duration; busy_ns: the least without halts and pauses; guests:
    the only guests, sorted and without overlap, by the time an exit was written.
    """

    def __init__(
        self,
        *,
        types: Collection[int] | None = None,
        reasons: Iterable[tuple[int, int]] = (),
        returns: Iterable[int] = (),
        total_ns: int = 0,
        busy_ns: int = 0,
        since_ns: int = 0,
        guests: Iterable[GuestTime] | None = None,
    ) -> None:
        codes = sorted(isa << 32 | reason for isa, reason in reasons)
        numbers = sorted(returns)
        times = [{"guest": g, "from_ns": a, "until_ns": b} for g, a, b in guests or ()]
        # The struct has pointers only, so that the arrays have to stay.
        self._arrays = (
            ffi.new("__u64[]", codes),
            ffi.new("__u16[]", numbers),
            ffi.new("struct kvmlog_guest_time[]", times),
        )
        of_types = _ALL_TYPES if types is None else sum(1 << one for one in set(types))
        self.native: Final[Any] = ffi.new(
            "struct kvmlog_filter *",
            {
                "types": of_types,
                "of_guests": guests is not None,
                "since_ns": max(0, min(since_ns, _MOST_U64)),
                "total_ns": min(total_ns, _MOST_U64),
                "busy_ns": min(busy_ns, _MOST_U64),
                "reasons": self._arrays[0],
                "returns": self._arrays[1],
                "guests": self._arrays[2],
                "reasons_count": len(codes),
                "returns_count": len(numbers),
                "guests_count": len(times),
            },
        )


def passing(records: bytes, passes: Filter) -> bytes:
    """Return those of some whole records, in any memory, that a filter passes."""
    count = len(records) // ffi.sizeof("struct kvmlog_record")
    found = _new_uninitialized("struct kvmlog_record[]", max(count, 1))
    given = ffi.from_buffer("struct kvmlog_record[]", records)
    kept = lib.kvmlog_filter_records(passes.native, given, count, found)
    return bytes(ffi.buffer(found, kept * ffi.sizeof("struct kvmlog_record")))


EVERY_RECORD: Final = Filter()
ANNOUNCEMENTS: Final = Filter(types=(lib.KVMLOG_RECORD_GUEST,))
