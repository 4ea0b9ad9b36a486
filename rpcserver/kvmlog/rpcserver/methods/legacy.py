# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the first cloud engines, kept for good: the switch as a word, the log as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.exits.reasons.names import basic_reason
from kvmlog.native import ffi, lib
from kvmlog.ring.reader import RingReader
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import legacy_format, status
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.readers import open_ring
from kvmlog.rpcserver.methods.switch import perform_switch

# Records of different CPUs arrive up to a flush interval late and out of order, and some are no
# exits: read more than were asked for, then sort.
_READ_FACTOR: Final = 4

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
        exits = newest_exits(ring, legacy_format.MAX_RECORDS)
        info = ring.info()
    return legacy_format.encode(exits, info.realtime_ns - info.monotonic_ns, info.utc_offset_s)


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


def newest_exits(ring: RingReader, count: int) -> list[tuple[int, int]]:
    """Return (exit_ns, reason without VMX flags) of exits in the order they arrived.

    At least the newest `count` by arrival, when the ring holds as many. Of each record only time
    and reason are decoded.
    """
    read = count * _READ_FACTOR
    while True:
        snapshot = ring.snapshot(count=read)
        records = ffi.from_buffer("struct kvmlog_record[]", snapshot.records)
        exits = [
            (record.exit_ns, basic_reason(record.isa, record.reason))
            for record in records
            if record.type == lib.KVMLOG_RECORD_EXIT
        ]
        # Too few, but the ring holds no more.
        if len(exits) >= count or read >= min(ring.capacity, snapshot.next_index):
            return exits
        read *= 2
