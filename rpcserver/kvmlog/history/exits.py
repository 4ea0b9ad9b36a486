# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that exits tell: KVM internal errors, failed entries, triple faults.

A vCPU whose entry fails, or whose guest KVM cannot go on with, seldom enters its guest again, and
an exit becomes a record only then: those under way are asked for as well.
"""

from __future__ import annotations

import contextlib
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
    """Looks for such exits in the ring at a path, and among those under way.

    What a look finds is kept until it is committed.
    """

    def __init__(self, ring: str, switch: SwitchClient) -> None:
        self._path = ring
        self._switch = switch
        self._names = GuestNames(ring)
        self._labels = GuestLabels(self._names)
        self._ring: RingReader | None = None
        self._ring_id: str | None = None
        self._after = 0
        self._found: list[Record] = []
        self._lost = 0
        self._seen: dict[_Key, None] = {}  # committed

    def load(self, transaction: Transaction) -> None:
        """Go on where the history stopped; one that begins looks at what is new."""
        row = transaction.one("SELECT value FROM position WHERE source = ?", [_POSITION])
        if row is not None:
            self._ring_id, self._after = json.loads(row["value"])

    def look(self) -> bool:
        """Look at the ring; return whether there is something to be taken."""
        ring = self._current()
        if ring is not None and len(self._found) < _MOST:
            # A file that was replaced or cut: the next look opens another.
            with contextlib.suppress(KvmlogError):
                self._search(ring)
        return bool(self._found or self._lost)

    def ask(self) -> None:
        """Ask the bridge for the exits under way."""
        try:
            raw, _ = self._switch.pending()
        except KvmlogError:
            return  # no bridge, which its service tells
        self._keep(raw)

    def take(self, transaction: Transaction, boot_id: str) -> None:
        """Note what has been found; committed() follows, unless the transaction is undone."""
        if self._lost:
            transaction.execute("UPDATE meta SET lost_records = lost_records + ?", [self._lost])
        if self._found:
            self._names.reload()
            self._labels.learn(self._found)
        noted: set[_Key] = set()
        for record in self._found:
            guest = self._labels.guest(record)
            key = _key(record)
            # Others are no VMs of libvirt's or an engine's.
            if guest is not None and guest.uuid is not None and key not in noted:
                noted.add(key)
                _write(transaction, record, guest, boot_id)
        if self._ring_id is not None:
            value = json.dumps([self._ring_id, self._after])
            transaction.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", [_POSITION, value])

    def committed(self) -> None:
        """Forget what take() has noted."""
        for record in self._found:
            self._seen[_key(record)] = None
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._found, self._lost = [], 0

    def close(self) -> None:
        """Unmap the ring."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _search(self, ring: RingReader) -> None:
        if self._ring_id is None:
            info = ring.info()
            self._ring_id, self._after = info.ring_id, info.head
        part = Search(ring, _SELECTION).since(self._after, _MOST)
        if part.ring_id != self._ring_id:
            part = Search(ring, _SELECTION).since(0, _MOST)
        self._ring_id, self._after = part.ring_id, part.next_index
        self._lost += part.overwritten
        self._keep(part.records)

    def _keep(self, records: bytes) -> None:
        for record in unpack_records(records):
            if isinstance(record, Record) and _is_fault(record) and _key(record) not in self._seen:
                self._found.append(record)

    def _current(self) -> RingReader | None:
        """Return the ring; None where there is none that can be read."""
        if self._ring is None or not self._ring.is_current():
            self.close()
            try:
                self._ring = RingReader(self._path)
            except KvmlogError:
                return None
        return self._ring


def _key(record: Record) -> _Key:
    return _Key(record.guest, record.vcpu, record.exit_ns)


def _is_fault(record: Record) -> bool:
    return bool(record.flags & lib.KVMLOG_F_USER_REASON) and record.user_reason in _KINDS


def _write(transaction: Transaction, record: Record, guest: Guest, boot_id: str) -> None:
    assert guest.uuid is not None
    kind, message = _KINDS[record.user_reason]
    if _is_noted(transaction, guest.uuid, kind, record.exit_ns, boot_id):
        return
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


def _is_noted(
    transaction: Transaction, uuid: str, kind: FaultKind, exit_ns: int, boot_id: str
) -> bool:
    """Return whether a history before this one saw the exit, while it was under way."""
    row = transaction.one(
        f"SELECT 1 FROM (SELECT * FROM fault WHERE uuid = ? ORDER BY id DESC LIMIT {_REMEMBERED}) "
        "JOIN boot ON boot.id = created_boot "
        "WHERE kind = ? AND created_mono = ? AND boot_id = ?",
        [uuid, kind, exit_ns, boot_id],
    )
    return row is not None
