# SPDX-License-Identifier: GPL-2.0-or-later
"""Services as they are written: heartbeats, and what an operator or an engine sets."""

from __future__ import annotations

import sqlite3
import uuid as uuids
from typing import Any

from kvmlog.history import journal, rows
from kvmlog.history.model import Binary, ChangeKind, Service
from kvmlog.history.moment import Stamp
from kvmlog.history.protocol import Update
from kvmlog.history.store import Transaction
from kvmlog.util.errors import HistoryError


def beat(
    transaction: Transaction,
    binary: Binary,
    zone: str,
    host_uuid: str,
    at: Stamp,
    detail: str | None = None,
) -> None:
    """Note a heartbeat; detail: what the service says of itself."""
    row = _find(transaction, binary)
    if row is None:
        # The same for as long as the host is, whatever becomes of the file.
        made = str(uuids.uuid5(uuids.UUID(host_uuid), binary))
        transaction.insert(
            "service",
            binary=binary,
            uuid=made,
            zone=zone,
            seen=at,
            updated=at,
            report_count=1,
            detail=detail,
        )
        _tell(transaction, at, "up", binary)
        return
    _set(
        transaction,
        binary,
        zone=zone,
        seen=at,
        updated=at,
        report_count=row["report_count"] + 1,
        detail=detail,
    )


def note(transaction: Transaction, binary: Binary, detail: str | None) -> None:
    """Note what is known of a service that gives no heartbeat, if it was ever seen."""
    if _find(transaction, binary) is not None:
        _set(transaction, binary, detail=detail)


def update(transaction: Transaction, binary: str, wanted: Update) -> Service:
    """Set what is wanted of a service; return it. HistoryError for one that there is not."""
    row = _find(transaction, binary)
    if row is None:
        known = transaction.all("SELECT binary FROM service ORDER BY binary")
        names = ", ".join(one["binary"] for one in known) or "none yet"
        raise HistoryError(
            f"no service {binary[:80]!r} has been seen on this host; give one of {names}"
        )
    found = Binary(row["binary"])
    columns: dict[str, Any] = {}
    if wanted.enabled is not None:
        # Enabling clears the reason.
        reason = None if wanted.enabled else wanted.disabled_reason
        if (bool(row["enabled"]), row["disabled_reason"]) != (wanted.enabled, reason):
            columns |= {"enabled": wanted.enabled, "disabled_reason": reason}
    if wanted.forced_down is not None and bool(row["forced_down"]) != wanted.forced_down:
        columns["forced_down"] = wanted.forced_down
    if columns:
        _set(transaction, found, updated=transaction.now, **columns)
        _tell(transaction, transaction.now, "updated", found, **columns)
    service = find(transaction, found)
    assert service is not None
    return service


def find(transaction: Transaction, binary: Binary) -> Service | None:
    """Return a service; None for one that has never been seen."""
    row = _find(transaction, binary)
    meta = transaction.one("SELECT host FROM meta")
    assert meta is not None
    return None if row is None else rows.service(row, meta["host"], transaction.boots)


def tell_up_and_down(transaction: Transaction) -> None:
    """Append to the journal which services have gone down, or come up, since it was told."""
    for row in transaction.all("SELECT * FROM service"):
        service = rows.service(row, "", transaction.boots)
        up = service.is_up(transaction.now)
        if up != bool(row["told_up"]):
            _set(transaction, service.binary, told_up=up)
            _tell(transaction, transaction.now, "up" if up else "down", service.binary)


def _find(transaction: Transaction, binary: str) -> sqlite3.Row | None:
    return transaction.one("SELECT * FROM service WHERE binary = ?", [binary])


def _set(transaction: Transaction, binary: Binary, **columns: Any) -> None:
    names, values = transaction.columns(columns)
    assigned = ", ".join(f"{name} = ?" for name in names)
    transaction.execute(f"UPDATE service SET {assigned} WHERE binary = ?", [*values, binary])


def _tell(transaction: Transaction, at: Stamp, what: str, binary: Binary, **more: Any) -> None:
    body = {"what": what, "binary": binary, **more}
    journal.add(transaction, ChangeKind.SERVICE, at, body)
