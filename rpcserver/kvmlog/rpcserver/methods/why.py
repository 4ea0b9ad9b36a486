# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmWhy: what slows a VM down, after watching it for some seconds.

A call holds one of a few places of its own while it watches: neither a turn to compute nor one of
those that kvmStatistics waits in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.places import Places as CallPlaces
from kvmlog.rpcserver.methods.shared_snapshot import SharedSnapshot
from kvmlog.rpcserver.vms.documents import vms_of
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.why.gather.target import Places, UnknownVmError
from kvmlog.why.gather.watch import DEFAULT_S, LEAST_S, MOST_S, watch
from kvmlog.why.serialize import verdict_object
from kvmlog.why.verdict import judge

# Each holds two copies of all statistics for its time, unless others have the same ones.
WATCHES: Final = 4
WATCHES_PER_CALLER: Final = 2
# Memory for a verdict while that is made, as a struct, then as XML.
_VERDICT_BYTES: Final = 128 * 1024
_places: Final = CallPlaces(WATCHES, WATCHES_PER_CALLER, "kvmWhy")
_shared: Final = SharedSnapshot()


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= NAME_CHARACTERS:
        raise ValueError(f"give a string of 1 to {NAME_CHARACTERS} characters")
    return value


_WHY: Final[Mapping[str, Check]] = {
    "vm": _word,
    "for_s": params.seconds(LEAST_S, MOST_S),
    "trace": params.boolean,
}


def why(call: Call) -> dict[str, Any]:
    """Serve kvmWhy: a verdict."""
    given = params.parse(call.parameters, "kvmWhy", _WHY)
    params.require(given, "kvmWhy", "vm")
    vms = vms_of(call.vmstats_path, call.ring_path)

    def find(snapshot: Snapshot, word: str) -> Vm:
        poll = vms.poll(call.work.waiting)
        if poll.snapshot is snapshot:
            return vms.find(poll, word)
        # Another has come just now.
        return Poll(snapshot).index(call.ring_path).one(word)

    def trace(vm: str, for_s: float) -> None:
        # As the caller: whoever may not switch is refused, and a switch is logged.
        call.dispatch("kvmSwitch", ({"on": True, "vm": [vm], "for_s": for_s},))

    places = Places(
        call.ring_path,
        call.switch_path,
        lambda: vms.poll(call.work.waiting).snapshot,
        find,
        _shared.copy,
        call.work.waiting,
    )
    with _places.hold(call.caller_key):
        call.work.reserve(_VERDICT_BYTES)
        try:
            evidence = watch(
                places,
                given["vm"],
                given.get("for_s", DEFAULT_S),
                trace if given.get("trace") else None,
            )
        except UnknownVmError as error:
            raise faults.fault(faults.NO_GUEST, f"{error}.") from error
    return verdict_object(judge(evidence))
