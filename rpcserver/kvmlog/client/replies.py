# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies as objects, with numbers in place of the strings that XML-RPC carries.

The parsers raise RpcError for a reply that lacks what every kvmlog server sends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from kvmlog.client.connection import RpcError
from kvmlog.control.sampling import Sampling
from kvmlog.exits.explain.explanation import Explained, Explanation
from kvmlog.guests.model import Guest
from kvmlog.ring.block import Span, decode
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.reader import RingInfo
from kvmlog.ring.records import AnyRecord, unpack_records

_T = TypeVar("_T")
# Members of the bridge's status that stay text, whatever they look like.
_TEXTS: Final = frozenset({"vm", "version", "name", "notes", "trouble", "stopped"})


@dataclass(frozen=True)
class Switched:
    """The state after kvmSwitch. matched: the pids of each word of vm; for_s: None for no end."""

    on: bool
    matched: dict[str, list[int]]
    for_s: float | None
    sampling: Sampling


@dataclass(frozen=True)
class Records:
    """Whole records in the order they came; the next page is at (span.ring_id, span.next_index).

    more: others have come since. replaced: the position was in another ring, and this page begins
    with the first record of the present one.
    """

    span: Span
    raw: bytes
    clocks: Clocks  # the host's: clocks.at(record.ns) is a record's time of day
    more: bool = False
    replaced: bool = False

    def decoded(self) -> list[AnyRecord]:
        """Return all of them, as the classes of kvmlog.ring.records."""
        return unpack_records(self.raw)


@dataclass(frozen=True)
class Pending:
    """vCPUs in an exit: the host's total, those in the reply as records, and how many are not."""

    pending: int
    left_out: int
    records: Records


@dataclass(frozen=True)
class Status:
    """The status of bridge and ring; None for one that is unavailable, with a sentence why."""

    version: str
    bridge: dict[str, Any] | None
    bridge_error: str | None
    ring: RingInfo | None
    ring_error: str | None


@dataclass(frozen=True)
class Guests:
    """Guests, and the exits counted of each; exits: None without statistics."""

    guests: list[Guest]
    exits: dict[tuple[int, int], int] | None  # by (pid, start_ticks)
    ended: int  # number of known guests that have ended
    clocks: Clocks  # the host's: clocks.of(ns) has its zone
    bridge_error: str | None = None  # why the list may be old: these are the guests known last
    guests_error: str | None = None  # why nothing is known of guests


def parse_switch(reply: Any) -> Switched:
    """Parse a kvmSwitch reply."""
    return _read(
        reply,
        lambda it: Switched(
            on=it["on"],
            matched={one["vm"]: list(map(int, one["pids"])) for one in it["matched"]},
            for_s=None if it["for_s"] == "" else float(it["for_s"]),
            sampling=Sampling(
                int(it["one_in"]),
                int(it["on_ms"]),
                int(it["off_ms"]),
                int(it["max_per_s"]) if it["max_per_s"] else None,
            ),
        ),
    )


def parse_records(reply: Any) -> Records:
    """Parse a kvmRecords reply in binary form."""
    return _read(
        reply,
        lambda it: Records(*decode(it["records"]), _clocks(it), it["more"], it["replaced"]),
    )


def parse_pending(reply: Any) -> Pending:
    """Parse a kvmPending reply in binary form."""
    return _read(
        reply,
        lambda it: Pending(
            int(it["pending"]), int(it["left_out"]), Records(*decode(it["records"]), _clocks(it))
        ),
    )


def parse_status(reply: Any) -> Status:
    """Parse a kvmStatus reply."""

    def read(it: Mapping[str, Any]) -> Status:
        return Status(
            version=it["version"],
            bridge=numbers(it["bridge"]) or None,
            bridge_error=it["bridge_error"] or None,
            ring=_ring_info(it["ring"]) if it["ring"] else None,
            ring_error=it["ring_error"] or None,
        )

    return _read(reply, read)


def parse_guests(reply: Any) -> Guests:
    """Parse a kvmGuests reply."""

    def read(it: Mapping[str, Any]) -> Guests:
        found = [_guest(one) for one in it["guests"]]
        exits = {
            (guest.pid, guest.start_ticks): int(one["exits"])
            for guest, one in zip(found, it["guests"], strict=True)
            if one["exits"] != ""
        }
        return Guests(
            found,
            exits if exits or not found else None,
            int(it["ended"]),
            _clocks(it),
            it["bridge_error"] or None,
            it["guests_error"] or None,
        )

    return _read(reply, read)


def parse_explain(reply: Any) -> list[Explained]:
    """Parse a kvmExplain reply."""
    return [_read(one, _reason) for one in _read(reply, _elements)]


def numbers(value: Any, name: str = "") -> Any:
    """Return a struct with its strings of digits as integers, except in members that are text."""
    if isinstance(value, dict):
        return {key: numbers(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [numbers(member, name) for member in value]
    if not isinstance(value, str) or name in _TEXTS:
        return value
    if value == "":
        return None
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() else value


def _ring_info(it: Mapping[str, Any]) -> RingInfo:
    values = {}
    for one in dataclasses.fields(RingInfo):
        value = it[one.name]
        if one.type == "int":
            value = int(value)
        elif one.name == "counters":
            value = {name: int(count) for name, count in value.items()}
        values[one.name] = value
    return RingInfo(**values)


def _clocks(it: Mapping[str, Any]) -> Clocks:
    pairs = [
        ClockPair(*(int(one[name]) for name in ClockPair._fields))
        for one in _elements(it["clocks"])
    ]
    if not pairs:
        raise ValueError("no clocks")
    return Clocks(pairs)


def _guest(it: Mapping[str, Any]) -> Guest:
    announced = zip(it["numbers"], it["announced_ns"], strict=True)
    ended = it["ended_realtime_ns"]
    return Guest(
        pid=int(it["pid"]),
        start_ticks=int(it["start_ticks"]),
        comm=it["comm"],
        kind=it["kind"],
        name=it["name"],
        named=it["named"],
        uuid=it["uuid"] or None,
        aliases=tuple(it["aliases"]),
        cgroup=it["cgroup"],
        container=it["container"] or None,
        pod=it["pod"] or None,
        numbers=tuple((int(number), int(ns)) for number, ns in announced),
        first_seen_realtime_ns=int(it["first_seen_realtime_ns"]),
        ended_realtime_ns=None if ended == "" else int(ended),
    )


def _reason(it: Mapping[str, Any]) -> Explained:
    return Explained(
        isa=it["isa"] or "kvm",
        number=int(it["reason"]),
        name=it["name"],
        flags=tuple(it["flags"]),
        meaning=it["meaning"],
        explanation=Explanation(it["what"], it["causes"], tuple(it["remedies"])),
    )


def _elements(it: Iterable[Any]) -> list[Any]:
    return list(it)


def _read(reply: Any, read: Callable[[Any], _T]) -> _T:
    try:
        return read(reply)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RpcError(
            f"the reply lacks something ({type(error).__name__}: {ascii(str(error))[:80]}); use "
            "client and server of one version"
        ) from None
