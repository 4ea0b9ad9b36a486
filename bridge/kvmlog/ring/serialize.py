# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a ring as a JSON-ready object."""

from __future__ import annotations

from typing import Any

from kvmlog.ring.reader import RingInfo
from kvmlog.util.units import iso_time


def info_object(info: RingInfo) -> dict[str, Any]:
    """Return the fields of RingInfo; `created` and `heartbeat` are times of day as text."""
    return {
        **vars(info),
        "created": iso_time(info.created_realtime_ns, info.created_utc_offset_s),
        "heartbeat": iso_time(info.realtime_ns, info.utc_offset_s),
    }
