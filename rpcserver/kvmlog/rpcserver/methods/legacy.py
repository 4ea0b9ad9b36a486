# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the first cloud engines, kept for good: the switch as a word, the log as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import status
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.readers import open_ring
from kvmlog.rpcserver.methods.switch import perform_switch

_NO_EXITS: Final = "none"
_SWITCH_VALUES: Final[Mapping[str, bool]] = {
    "on": True,
    "true": True,
    "1": True,
    "off": False,
    "false": False,
    "0": False,
}


def switch(call: Call) -> str:
    """Serve kvmLogSwitch and kvmLogSwitchSC: all guests, until switched off."""
    perform_switch(call, switch_value(call.parameters[0]))
    return "true"


def log_text(call: Call) -> str:
    """Serve getKvmLog and getKvmLogSC: the newest exits as text."""
    with open_ring(call) as ring:
        return ring.legacy_text() or _NO_EXITS


def log_status(call: Call) -> dict[str, str]:
    """Serve kvmLogStatus: a flat struct of strings."""
    return status.status(call)


def switch_value(value: object) -> bool:
    """Return True for on, False for off; raises Fault for a value that means neither."""
    if isinstance(value, bool):
        return value
    on = None
    if isinstance(value, int | str):
        on = _SWITCH_VALUES.get(str(value).lower())
    if on is None:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"The switch takes 'on' or 'off' (also true, false, 1, 0, or these as text), "
            f"not {faults.shown(value)}.",
        )
    return on
