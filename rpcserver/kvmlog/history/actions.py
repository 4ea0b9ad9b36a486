# SPDX-License-Identifier: GPL-2.0-or-later
"""Instance actions as they are written: signs that belong together make one action."""

from __future__ import annotations

import sqlite3
import uuid as uuids
from typing import Final

from kvmlog.history import journal, rows
from kvmlog.history.lives import Vm
from kvmlog.history.model import NS_PER_S, ChangeKind, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction

# libvirt tells a guest's reset three times within 0.4 s.
_TOGETHER_NS: Final = NS_PER_S
# An action that has begun and whose end is seen later.
_LONGEST_NS: Final = 24 * 3_600 * NS_PER_S

SUCCESS: Final = "Success"
ERROR: Final = "Error"


def happened(
    transaction: Transaction,
    vm: Vm,
    action: str,
    event: str,
    at: Stamp,
    *,
    source: Source = Source.EVENT,
    details: str | None = None,
    start: Stamp | None = None,
) -> None:
    """Note an action that has been carried out; one that began before ends.

    start: when it began, where that is known. The same event again, within a moment, is one.
    """
    open_step = _open_step(transaction, vm, action, at)
    if open_step is not None:
        _finish(transaction, vm, action, open_step, at, SUCCESS, details)
        return
    last = _last(transaction, vm, action)
    if last is not None and last[1].until(at) < _TOGETHER_NS and _is_same(transaction, last, event):
        transaction.update("action", last[0]["id"], updated=at)
        return
    number = _insert(transaction, vm, action, at, source, start)
    _step(transaction, number, event, start, at, SUCCESS, details)
    _tell(transaction, vm, number, action, "end", at, source, SUCCESS, details)


def begun(
    transaction: Transaction, vm: Vm, action: str, event: str, at: Stamp, details: str | None
) -> None:
    """Note that an action has begun, unless it has already."""
    if _open_step(transaction, vm, action, at) is not None:
        return
    number = _insert(transaction, vm, action, at, Source.EVENT, at)
    _step(transaction, number, event, at, None, None, details)
    _tell(transaction, vm, number, action, "start", at, Source.EVENT, None, details)


def failed(transaction: Transaction, vm: Vm, action: str, at: Stamp, details: str) -> None:
    """Note that an action which has begun ended in vain."""
    open_step = _open_step(transaction, vm, action, at)
    if open_step is not None:
        _finish(transaction, vm, action, open_step, at, ERROR, details)
        transaction.update("action", open_step["action"], message=details)


def is_open(transaction: Transaction, vm: Vm, action: str, at: Stamp) -> bool:
    """Return whether an action has begun and not ended."""
    return _open_step(transaction, vm, action, at) is not None


def _last(transaction: Transaction, vm: Vm, action: str) -> tuple[sqlite3.Row, Stamp] | None:
    """Return the VM's last action, where it is of this name, and when it was updated."""
    row = transaction.one("SELECT * FROM action WHERE uuid = ? ORDER BY id DESC LIMIT 1", [vm.uuid])
    if row is None or row["action"] != action:
        return None
    return row, rows.stamp(row, "updated", transaction.boots)


def _is_same(transaction: Transaction, last: tuple[sqlite3.Row, Stamp], event: str) -> bool:
    step = transaction.one("SELECT event FROM action_event WHERE action = ?", [last[0]["id"]])
    return step is not None and step["event"] == event


def _open_step(transaction: Transaction, vm: Vm, action: str, at: Stamp) -> sqlite3.Row | None:
    row = transaction.one(
        "SELECT action_event.* FROM action_event JOIN action ON action.id = action_event.action "
        "WHERE uuid = ? AND action.action = ? AND finish IS NULL ORDER BY action.id DESC LIMIT 1",
        [vm.uuid, action],
    )
    if row is None:
        return None
    began = rows.stamp(row, "start", transaction.boots)
    return row if began.until(at) < _LONGEST_NS else None


def _insert(
    transaction: Transaction,
    vm: Vm,
    action: str,
    at: Stamp,
    source: Source,
    start: Stamp | None,
) -> int:
    columns = {} if start is None else {"start": start}
    return transaction.insert(
        "action",
        uuid=vm.uuid,
        name=vm.name,
        project_id=vm.project_id,
        action=action,
        request_id=f"req-{uuids.uuid4()}",
        observed=at,
        updated=at,
        source=source,
        **columns,
    )


def _step(
    transaction: Transaction,
    number: int,
    event: str,
    start: Stamp | None,
    finish: Stamp | None,
    result: str | None,
    details: str | None,
) -> None:
    moments = {"start": start, "finish": finish}
    known = {name: moment for name, moment in moments.items() if moment is not None}
    transaction.insert(
        "action_event", action=number, event=event, result=result, details=details, **known
    )


def _finish(
    transaction: Transaction,
    vm: Vm,
    action: str,
    step: sqlite3.Row,
    at: Stamp,
    result: str,
    details: str | None,
) -> None:
    transaction.update(
        "action_event", step["id"], finish=at, result=result, details=details or step["details"]
    )
    transaction.update("action", step["action"], updated=at)
    _tell(transaction, vm, step["action"], action, "end", at, Source.EVENT, result, details)


def _tell(
    transaction: Transaction,
    vm: Vm,
    number: int,
    action: str,
    phase: str,
    at: Stamp,
    source: Source,
    result: str | None,
    details: str | None,
) -> None:
    row = transaction.one("SELECT request_id FROM action WHERE id = ?", [number])
    assert row is not None
    body = {
        "action": action,
        "phase": phase,
        "request_id": row["request_id"],
        "result": result,
        "details": details,
        "source": source,
        "project_id": vm.project_id,
    }
    journal.add(transaction, ChangeKind.ACTION, at, body, uuid=vm.uuid, name=vm.name)
