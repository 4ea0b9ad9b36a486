# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that exits tell: KVM internal errors, failed entries, triple faults.

A vCPU whose entry fails, or whose guest KVM cannot go on with, seldom enters its guest again, and
an exit becomes a record only then: those under way are asked for as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.control.client import SwitchClient
from kvmlog.exits.reasons.names import isa_name, reason_name
from kvmlog.exits.search import Search, Selection
from kvmlog.guests.labels import GuestLabels
from kvmlog.guests.names import Guest, GuestNames
from kvmlog.history import faults, lives
from kvmlog.history.model import FaultKind, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction
from kvmlog.native import lib
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import NO_VCPU, Record, unpack_records
from kvmlog.util.errors import KvmlogError

_POSITION: Final = "ring"
# KVM_EXIT_*: kvmlog.exits.reasons.userspace.
_KINDS: Final = {
    8: (FaultKind.TRIPLE_FAULT, "The guest's vCPU {} met a triple fault"),
    9: (FaultKind.FAILED_ENTRY, "The processor refused to enter the guest on vCPU {}"),
    17: (FaultKind.INTERNAL_ERROR, "KVM cannot go on with vCPU {} (internal error)"),
}
_SELECTION: Final = Selection(returns=frozenset(_KINDS))
# Of one look; a guest that resets itself in a loop makes more.
_MOST: Final = 1_000
# Exits that were seen while they were under way, and come again as records.
_REMEMBERED: Final = 256


@dataclass(frozen=True)
class _Key:
    """What no two exits have in common."""

    guest: int
    vcpu: int
    exit_ns: int


class ExitFaults:
    """Looks for such exits in the ring at a path, and among those under way."""

    def __init__(self, ring: str, switch: str, timeout_s: float) -> None:
        self._path = ring
        self._switch = SwitchClient(switch, timeout_s=timeout_s)
        self._names = GuestNames(ring)
        self._labels = GuestLabels(self._names)
        self._ring: RingReader | None = None
        self._pending: list[Record] = []
        self._seen: dict[_Key, None] = {}
        self._noted: list[_Key] = []  # in the transaction that is under way

    def ask(self) -> None:
        """Ask the bridge for the exits under way; what it tells is taken by the next take()."""
        self._pending = []
        try:
            raw, _ = self._switch.pending()
        except KvmlogError:
            return  # no bridge, which its service tells
        self._pending = [
            record
            for record in unpack_records(raw)
            if isinstance(record, Record) and _is_fault(record)
        ]

    def take(self, transaction: Transaction, boot_id: str) -> int:
        """Note the faults since the last look; return how many records were lost before it.

        committed() follows, unless the transaction is undone: then they are found again.
        """
        self._noted = []
        ring_id, after = _position(transaction)
        lost = 0
        found: list[Record] = list(self._pending)
        ring = self._current()
        if ring is not None:
            if ring_id is None:
                ring_id, after = _end(ring)
            part = Search(ring, _SELECTION).since(after, _MOST)
            if part.ring_id != ring_id:
                part = Search(ring, _SELECTION).since(0, _MOST)
            lost = part.overwritten
            found += [one for one in unpack_records(part.records) if isinstance(one, Record)]
            value = json.dumps([part.ring_id, part.next_index])
            transaction.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", [_POSITION, value])
        if lost:
            transaction.execute("UPDATE meta SET lost_records = lost_records + ?", [lost])
        if found:
            self._names.reload()
            self._labels.learn(found)
            for record in found:
                self._note(transaction, record, boot_id)
        return lost

    def _note(self, transaction: Transaction, record: Record, boot_id: str) -> None:
        key = _Key(record.guest, record.vcpu, record.exit_ns)
        if key in self._seen or key in self._noted or not _is_fault(record):
            return
        guest = self._labels.guest(record)
        if guest is None or guest.uuid is None:
            return  # no VM of libvirt's or an engine's
        self._noted.append(key)
        _write(transaction, record, guest, boot_id)

    def committed(self) -> None:
        """Remember what take() has noted."""
        self._pending = []
        for key in self._noted:
            self._seen[key] = None
        self._noted = []
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _current(self) -> RingReader | None:
        """Return the ring; None where there is none that can be read."""
        if self._ring is None or not self._ring.is_current():
            if self._ring is not None:
                self._ring.close()
                self._ring = None
            try:
                self._ring = RingReader(self._path)
            except KvmlogError:
                return None
        return self._ring

    def close(self) -> None:
        """Unmap the ring."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None


def _is_fault(record: Record) -> bool:
    return bool(record.flags & lib.KVMLOG_F_USER_REASON) and record.user_reason in _KINDS


def _write(transaction: Transaction, record: Record, guest: Guest, boot_id: str) -> None:
    assert guest.uuid is not None
    kind, message = _KINDS[record.user_reason]
    vm = lives.find(transaction, guest.uuid)
    now = transaction.now
    age_ns = max(0, now.monotonic_ns - record.exit_ns)
    vcpu = None if record.vcpu == NO_VCPU else record.vcpu
    details: dict[str, Any] = {
        "vcpu": vcpu,
        "isa": isa_name(record.isa),
        "reason": reason_name(record.isa, record.reason),
    }
    if record.flags & lib.KVMLOG_F_RIP_VALID:
        details["rip"] = f"{record.rip:#x}"
    faults.happened(
        transaction,
        kind,
        Stamp(now.realtime_ns - age_ns, record.exit_ns, boot_id),
        uuid=guest.uuid,
        name=guest.name if vm is None else vm.name,
        project_id=None if vm is None else vm.project_id,
        message=message.format("of unknown number" if vcpu is None else vcpu),
        details=details,
        source=Source.EXITS,
    )


def _position(transaction: Transaction) -> tuple[str | None, int]:
    row = transaction.one("SELECT value FROM position WHERE source = ?", [_POSITION])
    if row is None:
        return None, 0
    ring_id, after = json.loads(row["value"])
    return ring_id, after


def _end(ring: RingReader) -> tuple[str, int]:
    """Return where a history that begins looks on from: what was before is not its time."""
    info = ring.info()
    return info.ring_id, info.head
