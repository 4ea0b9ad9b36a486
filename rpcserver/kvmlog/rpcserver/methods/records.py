# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmRecords and kvmPending: records as one binary block, or as structs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.protocol import MOST_NAMES, NAME_CHARACTERS
from kvmlog.exits.format import serialize
from kvmlog.exits.reasons import lookup
from kvmlog.exits.selection import Selection
from kvmlog.guests.names import GuestError, GuestNames
from kvmlog.guests.view import GuestView
from kvmlog.ring import block
from kvmlog.ring.block import Span
from kvmlog.ring.records import RECORD_BYTES, unpack_records
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params, ring_page
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.files import open_ring
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.reply import plain
from kvmlog.util.errors import SwitchError

DEFAULT_RECORDS: Final = 1_024
MOST_STRUCTS: Final = 1_024
_MOST_REASONS: Final = 64
_MOST_U64: Final = 2**64 - 1
_NO_RING_ID: Final = "00" * 16
_RING_ID: Final = re.compile(r"[0-9a-fA-F]{32}")

_FORM: Final[Check] = params.one_of("binary", "structs")
VM: Final[Check] = params.texts(MOST_NAMES, NAME_CHARACTERS)


def _ring_id(value: Any) -> str:
    if not isinstance(value, str) or _RING_ID.fullmatch(value) is None:
        raise ValueError("give the 32 hex digits of an earlier reply's ring_id")
    return value.lower()


_RECORDS: Final[Mapping[str, Check]] = {
    "count": params.whole(1, ring_page.MOST_RECORDS),
    "since": params.whole(0, _MOST_U64),
    "ring_id": _ring_id,
    "vm": VM,
    "reason": params.texts(_MOST_REASONS, NAME_CHARACTERS),
    "slower_than_ns": params.whole(0, _MOST_U64),
    "form": _FORM,
}
_PENDING: Final[Mapping[str, Check]] = {"vm": VM, "form": _FORM}


def records(call: Call) -> dict[str, Any]:
    """kvmRecords: a page of the ring."""
    asked = params.members(call.parameters, "kvmRecords", _RECORDS)
    as_structs = asked.get("form", "binary") == "structs"
    count = asked.get("count", DEFAULT_RECORDS)
    if as_structs and count > MOST_STRUCTS:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"kvmRecords: count is {count}; give 1 to {MOST_STRUCTS} for structs, or form binary.",
        )
    if ("since" in asked) != ("ring_id" in asked):
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            "kvmRecords: a position is since and ring_id; give both, or neither for the newest.",
        )
    view = _view(call, asked)
    wanted = Selection.of(
        (one for word in asked.get("reason", ()) for one in reasons(word)),
        asked.get("slower_than_ns", 0),
        view if "vm" in asked else None,
    )
    with open_ring(call) as ring:
        if "since" in asked:
            at = (asked["ring_id"], asked["since"])
            page = ring_page.since(ring, at, count, wanted, view)
        else:
            page = ring_page.newest(ring, count, wanted, view)
    said = {"more": page.more, "replaced": page.replaced}
    return _reply(page.span, page.records, as_structs, view, said)


def pending(call: Call) -> dict[str, Any]:
    """kvmPending: vCPUs that are in an exit now."""
    asked = params.members(call.parameters, "kvmPending", _PENDING)
    try:
        raw, count = SwitchClient(call.switch_path).pending()
    except SwitchError as error:
        raise faults.fault(faults.SWITCH_FAILED, f"{error}.") from error
    view = _view(call, asked)
    size = RECORD_BYTES
    found = unpack_records(raw)
    view.learn(found)
    shown = [at for at, record in enumerate(found) if view.shows(record)]
    chosen = b"".join(raw[at * size : (at + 1) * size] for at in shown)
    now_ns = time.monotonic_ns()
    span = Span(
        _NO_RING_ID,
        *(0,) * 6,
        monotonic_ns=now_ns,
        realtime_ns=time.time_ns(),
        boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        utc_offset_s=time.localtime().tm_gmtoff,
    )
    said = {"pending": str(count), "left_out": str(count - len(found))}
    as_structs = asked.get("form", "structs") == "structs"
    return said | _records_of(span, chosen, as_structs, view)


def reasons(word: str, isa: str | None = None) -> list[lookup.Reason]:
    """The exit reasons that a word means; Fault INVALID_PARAMETERS when it means none."""
    found = lookup.find(word, isa)
    if not found:
        sentence = f"{lookup.unknown_message(word, isa)}."
        raise faults.fault(faults.INVALID_PARAMETERS, sentence)
    return found


def _view(call: Call, asked: dict[str, Any]) -> GuestView:
    names = GuestNames(call.ring_path)
    try:
        return GuestView(names, asked.get("vm", ()))
    except GuestError as error:
        raise faults.fault(faults.NO_GUEST, f"{error}.") from error


def _reply(
    span: Span, raw: bytes, as_structs: bool, view: GuestView, said: dict[str, Any]
) -> dict[str, Any]:
    return {**plain(span._asdict()), **said, **_records_of(span, raw, as_structs, view)}


def _records_of(span: Span, raw: bytes, as_structs: bool, view: GuestView) -> dict[str, Any]:
    count = str(len(raw) // RECORD_BYTES)
    if not as_structs:
        return {"count": count, "records": block.encode(span, raw)}
    found = unpack_records(raw)
    view.learn(found)
    to_wall_ns = span.realtime_ns - span.monotonic_ns
    structs = [
        serialize.record_object(one, one.ns + to_wall_ns, span.utc_offset_s, view.labels.guest(one))
        for one in found
    ]
    return {"count": count, "records": plain(structs)}
