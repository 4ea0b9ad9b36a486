# SPDX-License-Identifier: GPL-2.0-or-later
"""The struct of kvmLogStatus: always the same members, all of them text.

Counters are decimal text because an XML-RPC integer has 32 bits. An unavailable member is empty,
and an `..._error` member says why in a sentence.
"""

from __future__ import annotations

from typing import Final

from kvmlog.control.client import SwitchClient
from kvmlog.ring.reader import RingInfo
from kvmlog.rpcserver.methods.bridge import SharedAnswer
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.readers import ring_reader
from kvmlog.util.errors import RingError, RingMissingError, SwitchError
from kvmlog.util.version import version

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


BRIDGE: Final = SharedAnswer(lambda path: SwitchClient(path).status())


def status(call: Call) -> dict[str, str]:
    """Return the status struct: ask the bridge, then read the ring; raises no Fault."""
    out = {"version": version(), **_bridge_members(call), "tracing": "off"}
    out |= {"ring": "ok", "ring_error": "", "ring_path": call.ring_path}
    try:
        with ring_reader(call.ring_path) as ring:
            info = ring.info()
    except RingError as error:
        missing = isinstance(error, RingMissingError)
        out |= {"ring": "missing" if missing else "unreadable", "ring_error": str(error)}
        out |= dict.fromkeys(_RING_MEMBERS, "")
        out["tracing"] = "unknown" if out["bridge"] == "up" else "off"
        return out
    if not info.writer_alive and out["bridge"] == "up":
        # The last answer may be that of a bridge that has ended since.
        BRIDGE.forget(call.switch_path)
        out |= _bridge_members(call)
    # A bridge that ended cannot have left tracing on: its socket's end switches it off.
    if info.switched_on and info.writer_alive:
        out["tracing"] = "on"
    return out | _ring_members(info)


def _bridge_members(call: Call) -> dict[str, str]:
    try:
        BRIDGE.get(call)
    except SwitchError as error:
        return {"bridge": "down", "bridge_error": str(error)}
    return {"bridge": "up", "bridge_error": ""}


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
