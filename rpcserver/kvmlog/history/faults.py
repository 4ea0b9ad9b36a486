# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults as they are written: the same fault again, a moment later, is counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from kvmlog.history import journal, rows
from kvmlog.history.model import NS_PER_S, ChangeKind, FaultKind, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction

MESSAGE_CHARACTERS: Final = 255
_TOGETHER_NS: Final = 5 * NS_PER_S
# Of the VM's last faults; a VM may have very many.
_LOOKED_AT: Final = 32


def happened(
    transaction: Transaction,
    kind: FaultKind,
    at: Stamp,
    *,
    uuid: str,
    name: str,
    project_id: str | None,
    message: str,
    details: Mapping[str, Any],
    source: Source,
    count: int = 1,
) -> None:
    """Note a fault, or count it to one of the same kind and details that came a moment ago."""
    text = json.dumps(details, ensure_ascii=False, sort_keys=True)
    last = transaction.one(
        f"SELECT * FROM (SELECT * FROM fault WHERE uuid = ? ORDER BY id DESC LIMIT {_LOOKED_AT}) "
        "WHERE kind = ? AND details = ? ORDER BY id DESC LIMIT 1",
        [uuid, kind, text],
    )
    if last is not None and rows.stamp(last, "created", transaction.boots).until(at) < _TOGETHER_NS:
        transaction.update("fault", last["id"], count=last["count"] + count)
        return
    message = message[:MESSAGE_CHARACTERS]
    transaction.insert(
        "fault",
        uuid=uuid,
        name=name,
        project_id=project_id,
        kind=kind,
        created=at,
        message=message,
        details=text,
        count=count,
        source=source,
    )
    body = {
        "kind": kind,
        "message": message,
        "details": details,
        "count": count,
        "source": source,
        "project_id": project_id,
    }
    journal.add(transaction, ChangeKind.FAULT, at, body, uuid=uuid, name=name)
