# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the first cloud engines, kept for ever: the switch as a word, the log as a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import legacy_format, status
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.newest import newest_exits
from kvmlog.rpcserver.methods.readers import open_ring
from kvmlog.rpcserver.methods.switch import carried_out

_SWITCH_VALUES: Final[Mapping[str, bool]] = {
    "on": True,
    "true": True,
    "1": True,
    "off": False,
    "false": False,
    "0": False,
}


def switch_value(value: object) -> bool:
    """Returns which way to switch; raises Fault for a value that says neither way."""
    if isinstance(value, bool):
        return value
    wanted = None
    if isinstance(value, int | str):
        wanted = _SWITCH_VALUES.get(str(value).lower())
    if wanted is None:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"The switch takes 'on' or 'off' (also true, false, 1, 0, or these as text), "
            f"not {faults.shown(value)}.",
        )
    return wanted


def switch(call: Call) -> str:
    """kvmLogSwitch: all guests, without end."""
    carried_out(call, switch_value(call.parameters[0]))
    return "true"


def log_text(call: Call) -> str:
    """getKvmLog: the newest exits as text."""
    with open_ring(call) as ring:
        exits = newest_exits(ring, legacy_format.MAX_RECORDS)
        info = ring.info()
    return legacy_format.encode(exits, info.realtime_ns - info.monotonic_ns, info.utc_offset_s)


def log_status(call: Call) -> dict[str, str]:
    """kvmLogStatus: a flat struct of strings."""
    return status.status(call.ring_path, call.switch_path)
