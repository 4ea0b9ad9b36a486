# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmRecords and kvmPending: records as one binary block, or as structs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.control.protocol import MOST_NAMES, NAME_CHARACTERS
from kvmlog.exits.format import serialize
from kvmlog.exits.reasons import lookup
from kvmlog.exits.search import Selection
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestError, GuestNames
from kvmlog.ring import block
from kvmlog.ring.block import Span
from kvmlog.ring.clocks import Clocks
from kvmlog.ring.reader import host_clocks
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, unpack_records
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.paging import MOST_RECORDS, Pager
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.readers import open_ring
from kvmlog.util.errors import SwitchError

DEFAULT_RECORDS: Final = 1_024
MOST_STRUCTS: Final = 1_024
_MOST_REASONS: Final = 64
_MOST_U64: Final = 2**64 - 1
_NO_RING_ID: Final = "00" * 16
_RING_ID: Final = re.compile(r"[0-9a-fA-F]{32}")

# Memory for a record of a reply while that is made: as a struct, then as XML; in a block, of which
# there are copies: the snapshot, its records, the block, base64.
_STRUCT_BYTES: Final = 8 * 1024
_BLOCK_BYTES: Final = 5 * RECORD_BYTES

_FORM: Final[Check] = params.one_of("binary", "structs")
VM: Final[Check] = params.strings(MOST_NAMES, NAME_CHARACTERS)


def _ring_id(value: Any) -> str:
    if not isinstance(value, str) or _RING_ID.fullmatch(value) is None:
        raise ValueError("give the 32 hex digits of an earlier reply's ring_id")
    return value.lower()


_RECORDS: Final[Mapping[str, Check]] = {
    "count": params.integer(1, MOST_RECORDS),
    "since": params.integer(0, _MOST_U64),
    "ring_id": _ring_id,
    "vm": VM,
    "reason": params.strings(_MOST_REASONS, NAME_CHARACTERS),
    "slower_than_ns": params.integer(0, _MOST_U64),
    "form": _FORM,
}
_PENDING: Final[Mapping[str, Check]] = {"vm": VM, "form": _FORM}


def records(call: Call) -> dict[str, Any]:
    """Serve kvmRecords: a page of the ring."""
    given = params.parse(call.parameters, "kvmRecords", _RECORDS)
    as_structs = given.get("form", "binary") == "structs"
    count = given.get("count", DEFAULT_RECORDS)
    if as_structs and count > MOST_STRUCTS:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"kvmRecords: count is {count}; give 1 to {MOST_STRUCTS} for structs, or form binary.",
        )
    if ("since" in given) != ("ring_id" in given):
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            "kvmRecords: a position is since and ring_id; give both, or neither for the newest.",
        )
    view = _view(call, given)
    selection = Selection.of(
        (one for word in given.get("reason", ()) for one in reasons(word)),
        given.get("slower_than_ns", 0),
        view if "vm" in given else None,
    )
    with open_ring(call) as ring:
        pager = Pager(ring, selection, view, decoded=as_structs)
        size = _STRUCT_BYTES if as_structs else _BLOCK_BYTES
        call.work.reserve(min(count, pager.most_records) * size)
        if "since" in given:
            page = pager.since((given["ring_id"], given["since"]), count)
        else:
            page = pager.newest(count)
    reply = {
        **page.span._asdict(),
        "clocks": page.clocks.objects(),
        "more": page.more,
        "replaced": page.replaced,
    }
    if as_structs:
        return reply | _structs(page.decoded, page.clocks, view)
    return reply | _block(page.records, page.span)


def pending(call: Call) -> dict[str, Any]:
    """Serve kvmPending: vCPUs that are in an exit now."""
    given = params.parse(call.parameters, "kvmPending", _PENDING)
    view = _view(call, given)
    try:
        with call.work.waiting():
            raw, count = SwitchClient(call.switch_path).pending(view.numbers())
    except SwitchError as error:
        raise faults.fault(faults.SWITCH_FAILED, f"{error}.") from error
    size = RECORD_BYTES
    found = unpack_records(raw)
    view.learn(found)
    shown = [n for n, record in enumerate(found) if view.shows(record)]
    now_ns = time.monotonic_ns()
    clocks = host_clocks(call.ring_path)
    wall = clocks.at(now_ns)
    span = Span(
        _NO_RING_ID,
        *(0,) * 6,
        monotonic_ns=now_ns,
        realtime_ns=wall.realtime_ns,
        boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        utc_offset_s=wall.utc_offset_s,
    )
    reply = {
        "pending": count,
        "left_out": count - len(found),
        "clocks": clocks.objects(),
    }
    if given.get("form", "structs") == "structs":
        return reply | _structs([found[n] for n in shown], clocks, view)
    return reply | _block(b"".join(raw[n * size : (n + 1) * size] for n in shown), span)


def reasons(word: str, isa: str | None = None) -> list[lookup.Reason]:
    """Return the exit reasons that a word names; an INVALID_PARAMETERS fault when it names none."""
    found = lookup.find(word, isa)
    if not found:
        sentence = f"{lookup.unknown_message(word, isa)}."
        raise faults.fault(faults.INVALID_PARAMETERS, sentence)
    return found


def _view(call: Call, given: dict[str, Any]) -> GuestView:
    names = GuestNames(call.ring_path)
    try:
        return GuestView(names, given.get("vm", ()))
    except GuestError as error:
        raise faults.fault(faults.NO_GUEST, f"{error}.") from error


def _block(raw: bytes, span: Span) -> dict[str, Any]:
    """Return the members of a reply in binary form."""
    return {"count": len(raw) // RECORD_BYTES, "records": block.encode(span, raw)}


def _structs(found: Sequence[AnyRecord], clocks: Clocks, view: GuestView) -> dict[str, Any]:
    """Return the members of a reply as structs; the view has learned from these records."""
    structs = [
        serialize.record_object(one, *clocks.at(one.ns), view.labels.guest(one)) for one in found
    ]
    return {"count": len(found), "records": structs}
