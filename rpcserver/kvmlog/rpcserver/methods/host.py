# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmStatus, kvmGuests and kvmExplain: the host, its guests, and what exit reasons mean."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.exits.explain import tables
from kvmlog.exits.explain.serialize import explained_object
from kvmlog.exits.reasons import lookup
from kvmlog.guests.names import GuestNames
from kvmlog.guests.serialize import exits_by_process, guest_object
from kvmlog.ring.reader import host_clocks
from kvmlog.ring.serialize import info_object
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.bridge import SharedAnswer
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.readers import ring_reader
from kvmlog.rpcserver.methods.records import reasons
from kvmlog.rpcserver.methods.status import BRIDGE
from kvmlog.util.errors import RingError, StatisticsError, SwitchError
from kvmlog.util.version import version

_GUESTS: Final[Mapping[str, Check]] = {"all": params.boolean}
# Memory for a guest of a reply while that is made, as a struct, then as XML.
_GUEST_BYTES: Final = 4 * 1024
_WORD_CHARACTERS: Final = 64
# The bridge has looked for new guests.
_LOOKED: Final = SharedAnswer(lambda path: SwitchClient(path).guests())


def status(call: Call) -> dict[str, Any]:
    """Serve kvmStatus: what `kvmlog status --json` shows."""
    bridge, bridge_error, ring, ring_error = {}, "", {}, ""
    try:
        bridge = BRIDGE.get(call)
    except SwitchError as error:
        bridge_error = str(error)
    try:
        with ring_reader(call.ring_path) as reader:
            ring = info_object(reader.info())
    except RingError as error:
        ring_error = str(error)
    return {
        "version": version(),
        "bridge": bridge,
        "bridge_error": bridge_error,
        "ring": ring,
        "ring_error": ring_error,
    }


def guests(call: Call) -> dict[str, Any]:
    """Serve kvmGuests: running guests, or all known ones."""
    given = params.parse(call.parameters, "kvmGuests", _GUESTS)
    bridge_error = ""
    try:
        _LOOKED.get(call)
    except SwitchError as error:
        bridge_error = str(error)
    names = GuestNames(call.ring_path)
    known = names.guests()
    exits = None
    # The list is of use without them: kvmStatistics says what is wrong.
    with contextlib.suppress(StatisticsError):
        exits = exits_by_process(call.ring_path)
    listed = [one for one in known if given.get("all") or one.ended_realtime_ns is None]
    clocks = host_clocks(call.ring_path)
    call.work.reserve(len(listed) * _GUEST_BYTES)
    found = [
        {**guest_object(one, exits, clocks), "announced_ns": [ns for _, ns in one.numbers]}
        for one in listed
    ]
    return {
        "guests": found,
        "clocks": clocks.objects(),
        "ended": sum(one.ended_realtime_ns is not None for one in known),
        "bridge_error": bridge_error,
        "guests_error": names.problem or names.absent,
    }


def explain_reasons(call: Call) -> list[Any]:
    """Serve kvmExplain: what an exit reason is; without one, all."""
    for value in call.parameters:
        if not isinstance(value, str) or not 0 < len(value) <= _WORD_CHARACTERS:
            raise faults.fault(
                faults.INVALID_PARAMETERS,
                f"kvmExplain takes strings of 1 to {_WORD_CHARACTERS} characters, not "
                f"{faults.shown(value)}.",
            )
    word, isa = (*call.parameters, None, None)[:2]
    if isa is not None and isa not in lookup.ISAS:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"kvmExplain: the ISA is {faults.shown(isa)}; give one of {', '.join(lookup.ISAS)}.",
        )
    found = lookup.all_reasons() if word is None else reasons(word, isa)
    return [explained_object(tables.explain(one)) for one in found]
