# SPDX-License-Identifier: GPL-2.0-or-later
"""The exits of the time line as the page carries them: columns of bytes, compressed, in base64.

Each column is split into planes of one byte, lowest first, since most high bytes are zero; planes
that are zero throughout are left out. Times are whole ticks: 1 ns where the page stays small
enough, 10, 100 or 1,000 ns otherwise. page/exits.js reads it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kvmlog.analysis.report.codes import Kind
from kvmlog.analysis.report.columns import Array
from kvmlog.analysis.report.tracks import Track

# Of the page's 10 MB, in base64.
BYTES_MOST: Final = 7_000_000
_TICKS_NS: Final = (1, 10, 100, 1_000)
# JavaScript's numbers are whole up to 2^53.
_PLANES_MOST: Final = 6


@dataclass(frozen=True)
class Timeline:
    """What the page needs for the time line, JSON-ready but for the names of guests."""

    tick_ns: int
    exits: int  # in the page
    recorded: int  # in the recording
    tracks: Sequence[tuple[Track, int]]  # in the order of the exits, with how many each has
    kinds: Sequence[Kind]
    planes: Mapping[str, int]  # by column
    data: str

    def json_object(self) -> dict[str, Any]:
        """Return it for page/exits.js."""
        return {
            "tick_ns": self.tick_ns,
            "exits": self.exits,
            "recorded": self.recorded,
            "tracks": [
                {"guest": track.guest, "vcpu": track.vcpu, "exits": count}
                for track, count in self.tracks
            ],
            "kinds": [
                [one.reason, one.words, one.returned, int(one.halt), int(one.nested)]
                for one in self.kinds
            ],
            "planes": dict(self.planes),
            "data": self.data,
        }


def timeline(
    exits: Array,
    recorded: int,
    begun_ns: int,
    tracks: Sequence[Track],
    kinds: Sequence[Kind],
    bytes_most: int = BYTES_MOST,
) -> Timeline:
    """Return the exits, which are sorted by track and time, in at most so many bytes.

    begun_ns: the time that times in the page count from.
    """
    order = sorted(range(len(tracks)), key=lambda at: _track_order(tracks[at]))
    place = np.zeros(max(1, len(tracks)), dtype="u4")
    place[order] = np.arange(len(order), dtype="u4")
    exits = exits.copy()
    exits["track"] = place[exits["track"]]
    exits = exits[np.argsort(exits["track"], kind="stable")]
    used, numbers = np.unique(exits["code"], return_inverse=True)
    exits["code"] = numbers
    counts = np.bincount(exits["track"], minlength=len(order)).tolist()
    for tick_ns in _TICKS_NS:
        planes, data = _packed(exits, begun_ns, tick_ns)
        if len(data) <= bytes_most:
            break
    else:
        # Unlikely beyond the limit on exits: every second one, from the shortest on, gives way.
        longest = np.sort(np.argsort(exits["total_ns"], kind="stable")[len(exits) // 2 :])
        kept = exits[longest]
        kept["code"] = used[kept["code"]]
        kept["track"] = np.array(order, dtype="u4")[kept["track"]]
        return timeline(kept, recorded, begun_ns, tracks, kinds, bytes_most)
    return Timeline(
        tick_ns=tick_ns,
        exits=len(exits),
        recorded=recorded,
        tracks=[(tracks[at], counts[number]) for number, at in enumerate(order)],
        kinds=[kinds[code] for code in used.tolist()],
        planes=planes,
        data=data,
    )


def _track_order(track: Track) -> tuple[str, int]:
    return track.guest, -1 if track.vcpu is None else track.vcpu


def _packed(exits: Array, begun_ns: int, tick_ns: int) -> tuple[dict[str, int], str]:
    """Return how many planes each column has, and all of them compressed."""
    tick = np.uint64(tick_ns)
    at = (exits["exit_ns"] - np.uint64(begun_ns)) // tick
    since = at.copy()
    # Of the first exit of a track since the beginning, of others since the one before.
    same = exits["track"][1:] == exits["track"][:-1]
    since[1:][same] = (at[1:] - at[:-1])[same]
    columns = {
        "since": since,
        "total": (exits["total_ns"] + tick // np.uint64(2)) // tick,
        "code": exits["code"].astype("u8"),
        "cpu": exits["cpu"].astype("u8"),
        "vmm": exits["vmm"].astype("u8"),
    }
    planes: dict[str, int] = {}
    parts: list[bytes] = []
    for name, column in columns.items():
        most = int(column.max()) if len(column) else 0
        planes[name] = min(_PLANES_MOST, max(1, (most.bit_length() + 7) // 8))
        column = np.minimum(column, np.uint64((1 << 8 * planes[name]) - 1))
        lanes = column.astype("<u8").view("u1").reshape(-1, 8)
        parts += [lanes[:, number].tobytes() for number in range(planes[name])]
    return planes, base64.b64encode(zlib.compress(b"".join(parts), 6)).decode("ascii")
