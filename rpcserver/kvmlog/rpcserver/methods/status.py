# SPDX-License-Identifier: GPL-2.0-or-later
"""The struct of kvmLogStatus: always the same members, all of them text.

Counters are decimal text because an XML-RPC integer has 32 bits. An unavailable member is empty,
and an `..._error` member says why in a sentence.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.ring.reader import RingInfo, RingReader
from kvmlog.util.errors import RingError, RingMissingError, SwitchError

COUNTERS: Final = ("seen", "emitted", "filtered", "sampled", "dropped", "pending", "notes")

_RING_MEMBERS: Final = (
    "ring_id",
    "ring_state",
    "source",
    "capacity",
    "records",
    *COUNTERS,
    "lost_records",
    "lost_messages",
    "bad_messages",
    "heartbeat_age_ns",
    "utc_offset_s",
)


def status(ring_path: str, switch_path: str) -> dict[str, str]:
    """Return the status struct: ask the bridge, then read the ring. Raises nothing."""
    out = {"version": version(), "bridge": "up", "bridge_error": "", "tracing": "off"}
    try:
        SwitchClient(switch_path).status()
    except SwitchError as error:
        out |= {"bridge": "down", "bridge_error": str(error)}
    out |= {"ring": "ok", "ring_error": "", "ring_path": ring_path}
    try:
        with RingReader(ring_path) as ring:
            info = ring.info()
    except RingError as error:
        missing = isinstance(error, RingMissingError)
        out |= {"ring": "missing" if missing else "unreadable", "ring_error": str(error)}
        out |= dict.fromkeys(_RING_MEMBERS, "")
        out["tracing"] = "unknown" if out["bridge"] == "up" else "off"
        return out
    # A bridge that ended cannot have left tracing on: its socket's end switches it off.
    if info.switched_on and info.writer_alive:
        out["tracing"] = "on"
    return out | _ring_members(info)


def _ring_members(info: RingInfo) -> dict[str, str]:
    members: dict[str, object] = {
        "ring_id": info.ring_id,
        "ring_state": info.state,
        "source": info.source,
        "capacity": info.capacity,
        "records": info.head,
        "lost_records": info.lost_records,
        "lost_messages": info.lost_messages,
        "bad_messages": info.bad_messages,
        "heartbeat_age_ns": info.heartbeat_age_ns,
        "utc_offset_s": info.utc_offset_s,
    }
    members |= {name: info.counters[name] for name in COUNTERS}
    return {name: str(members[name]) for name in _RING_MEMBERS}


@functools.cache
def version() -> str:
    """Return the version of kvmlog, of this process: an upgrade restarts the server."""
    try:
        return metadata.version("kvmlog")
    except metadata.PackageNotFoundError:
        return "unknown"
