# SPDX-License-Identifier: GPL-2.0-or-later
"""Clocks that are set and zones that change, told to a ring without the host's doing so."""

from __future__ import annotations

from kvmlog.ring.writer import RingWriter
from tests.native import lib


def set_clocks(writer: RingWriter, *pairs: tuple[int, int, int], keep: bool = False) -> None:
    """Write pairs of (from_ns, realtime_offset_ns, utc_offset_s), sorted; keep: after the others.

    They are written as the bridge does it, one after the other; a heartbeat adds the host's own.
    """
    if not keep:
        lib.kvmlog_test_forget_clocks(writer.native)
    for from_ns, realtime_offset_ns, utc_offset_s in pairs:
        lib.kvmlog_test_clock(
            writer.native, from_ns, realtime_offset_ns, utc_offset_s, utc_offset_s, 0
        )
