# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest exits of a ring, found without decoding more than time and reason."""

from __future__ import annotations

from typing import Final

from kvmlog.bridge.ring import RingReader
from kvmlog.exits.reasons import basic_reason
from kvmlog.native import ffi, lib

# Records of different CPUs arrive up to a flush interval late and out of order, and
# some are no exits: look at more than was asked for, then sort.
_LOOK_AT: Final = 4


def newest_exits(ring: RingReader, count: int) -> list[tuple[int, int]]:
    """Returns (exit_ns, reason without VMX flags) of exits in the order they arrived.

    At least the newest `count` by arrival, when the ring holds as many.
    """
    wanted = count * _LOOK_AT
    while True:
        snapshot = ring.snapshot(count=wanted)
        records = ffi.from_buffer("struct kvmlog_record[]", snapshot.records)
        exits = [
            (record.exit_ns, basic_reason(record.isa, record.reason))
            for record in records
            if record.type == lib.KVMLOG_RECORD_EXIT
        ]
        # Else all that the ring holds has been looked at.
        if len(exits) >= count or wanted >= min(ring.capacity, snapshot.next_index):
            return exits
        wanted *= 2
