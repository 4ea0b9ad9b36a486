# SPDX-License-Identifier: GPL-2.0-or-later
"""The legacy text of getKvmLog: at most 1,024 exits, newest first, 9 characters each.

    RR MM SS mmm    reason (two hex digits, capitals), then minute, second and
                    millisecond of the exit in local time (decimal)

The reason is the basic one, without VMX's flags; above 0xFE it is written FF.
There is no separator. Without any exit the text is 'none'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MAX_RECORDS: Final = 1024
RECORD_CHARACTERS: Final = 9
EMPTY: Final = "none"

_TOO_LARGE: Final = 0xFF
_NS_PER_MS: Final = 1_000_000


def encode(exits: Sequence[tuple[int, int]], to_wall_ns: int, utc_offset_s: int) -> str:
    """Return the legacy text of exits given in the order they arrived.

    exits: (exit_ns on CLOCK_MONOTONIC, reason). to_wall_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC.
    utc_offset_s: local time minus UTC, in seconds. Of two exits in the same nanosecond, the later
    arrival is the newer one.
    """
    newest = sorted(exits, key=lambda item: item[0])[-MAX_RECORDS:]
    text = "".join(
        _encode_one(reason, exit_ns + to_wall_ns, utc_offset_s)
        for exit_ns, reason in reversed(newest)
    )
    return text or EMPTY


def _encode_one(reason: int, wall_ns: int, utc_offset_s: int) -> str:
    # Milliseconds are cut, not rounded: 59.9999 s must not become 60.000.
    local_ms = wall_ns // _NS_PER_MS + utc_offset_s * 1_000
    seconds, ms = divmod(local_ms, 1_000)
    minutes, second = divmod(seconds, 60)
    return f"{min(reason, _TOO_LARGE):02X}{minutes % 60:02d}{second:02d}{ms:03d}"
