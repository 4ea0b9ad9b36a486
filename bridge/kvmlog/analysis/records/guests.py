# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of many records: each number's guest is looked up once for all its exits of a time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kvmlog.analysis.records.distinct import NONE, Dictionary
from kvmlog.analysis.records.structs import Array, record_bytes
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import Guest
from kvmlog.native import lib
from kvmlog.ring.records import decode_record


class GuestColumns:
    """The columns of guests; the view has learnt the records' announcements before."""

    def __init__(self, view: GuestView) -> None:
        self._view = view
        self._known: dict[Guest, int] = {}
        self._guests: list[Guest] = []
        self._names: Final = Dictionary()
        self._uuids: Final = Dictionary()

    def numbers(self, exits: Array) -> Array:
        """Return for each record the number of its guest in guests, NONE where it has none."""
        found = np.full(len(exits), NONE, "i4")
        kinds = exits["type"]
        of_exits = kinds == lib.KVMLOG_RECORD_EXIT
        written_ns = exits["exit_ns"] + exits["total_ns"]
        for number in np.unique(exits["guest"][of_exits]).tolist():
            own = np.flatnonzero(of_exits & (exits["guest"] == number))
            spans = self._view.labels.spans(number)
            holders = np.array([self._number(guest) for _, guest in spans], "i4")
            begins = np.array([from_ns for from_ns, _ in spans], "u8")
            found[own] = holders[np.searchsorted(begins, written_ns[own], "right") - 1]
        for at in np.flatnonzero(kinds == lib.KVMLOG_RECORD_GUEST).tolist():
            announcement = decode_record(record_bytes(exits, at))
            found[at] = self._number(self._view.labels.guest(announcement))
        return found

    def columns(self, numbers: Array) -> dict[str, Any]:
        """Return guest_name, guest_uuid (dictionaries) and guest_pid (masked) of numbers."""
        # One more, which NONE finds as the last.
        names = [self._names.number(guest.name) for guest in self._guests]
        uuids = [self._uuids.number(guest.uuid) for guest in self._guests]
        pids = np.array([*(guest.pid for guest in self._guests), 0], "i8")
        return {
            "guest_name": self._names.column(np.array([*names, NONE], "i4")[numbers]),
            "guest_uuid": self._uuids.column(np.array([*uuids, NONE], "i4")[numbers]),
            "guest_pid": np.ma.masked_array(pids[numbers], numbers == NONE),
        }

    def _number(self, guest: Guest | None) -> int:
        if guest is None:
            return NONE
        found = self._known.get(guest)
        if found is None:
            found = self._known[guest] = len(self._guests)
            self._guests.append(guest)
        return found
