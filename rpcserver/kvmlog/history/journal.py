# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal: what notifications are made of, in the transaction that holds the change itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kvmlog.history.model import ChangeKind
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction


def add(
    transaction: Transaction,
    kind: ChangeKind,
    at: Stamp,
    body: Mapping[str, Any],
    *,
    uuid: str | None = None,
    name: str | None = None,
) -> None:
    """Append an entry."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    transaction.insert("journal", at=at, kind=kind, uuid=uuid, name=name, body=text)


def consumed(transaction: Transaction, consumer: str, sequence: int) -> None:
    """Note that a consumer has done with the entries up to a sequence."""
    transaction.execute(
        "INSERT INTO consumer (name, sequence, updated, updated_mono, updated_boot) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, "
        "updated = excluded.updated, updated_mono = excluded.updated_mono, "
        "updated_boot = excluded.updated_boot",
        [consumer, sequence, *transaction.moment(transaction.now)],
    )
