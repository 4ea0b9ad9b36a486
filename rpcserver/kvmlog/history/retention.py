# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no longer kept: what is too old, and the oldest where the file has grown too large.

Rows go some at a time, and the file shrinks by some pages at a time: no transaction is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.history.model import NS_PER_S
from kvmlog.history.store import Transaction

_ROWS: Final = 1_000
_PAGES: Final = 1_000
_DAY_NS: Final = 86_400 * NS_PER_S
# By which moment rows age; lives go once they have ended.
_TABLES: Final = {
    "journal": "at",
    "state_change": "at",
    "action": "updated",
    "fault": "created",
    "life": "ended",
}
_KEYS: Final = {"journal": "sequence"}
_ROOM: Final = 0.9


@dataclass(frozen=True)
class Limits:
    """How much is kept."""

    days: int
    bytes: int


def trim(transaction: Transaction, limits: Limits) -> bool:
    """Delete some of what is not kept; return whether there is more."""
    limit = transaction.now.realtime_ns - limits.days * _DAY_NS
    more = False
    for table, column in _TABLES.items():
        key = _KEYS.get(table, "id")
        deleted = transaction.execute(
            f"DELETE FROM {table} WHERE {key} IN "
            f"(SELECT {key} FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT {_ROWS})",
            [limit],
        )
        more |= deleted == _ROWS
    more |= _trim_runs(transaction, limit)
    used, size = _bytes(transaction)
    # Emptied a little further than need be, so that not each row makes it too large again.
    if used > _ROOM * limits.bytes and size > limits.bytes:
        more |= _delete_oldest(transaction)
        used, size = _bytes(transaction)
    if size > used:
        transaction.shrink(_PAGES)
        more |= size > limits.bytes
    return more


def _trim_runs(transaction: Transaction, limit: int) -> bool:
    """Delete old runs and spans of lives that go on; the last one of each stays."""
    more = False
    for table in ("run", "span"):
        deleted = transaction.execute(
            f"DELETE FROM {table} WHERE id IN "
            f"(SELECT id FROM {table} AS one WHERE ended < ? AND id < "
            f"(SELECT max(id) FROM {table} WHERE life = one.life) LIMIT {_ROWS})",
            [limit],
        )
        more |= deleted == _ROWS
    return more


def _delete_oldest(transaction: Transaction) -> bool:
    """Delete the oldest rows of the table that has most; return whether there were any."""
    sizes = {
        table: row["n"]
        for table in _TABLES
        if (
            row := transaction.one(
                f"SELECT count(*) AS n FROM {table}"
                + (" WHERE ended IS NOT NULL" if table == "life" else "")
            )
        )
        is not None
    }
    table = max(sizes, key=lambda name: sizes[name])
    key, column = _KEYS.get(table, "id"), _TABLES[table]
    return bool(
        transaction.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} "
            f"WHERE {column} IS NOT NULL ORDER BY {key} LIMIT {_ROWS})"
        )
    )


def _bytes(transaction: Transaction) -> tuple[int, int]:
    """Return how many bytes of the file are used, and how many it has."""
    pages, free, size = (
        transaction.pragma(name) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size, pages * size
