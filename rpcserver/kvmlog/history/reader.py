# SPDX-License-Identifier: GPL-2.0-or-later
"""The history as all others read it: without waiting for its writer, and without stopping it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from kvmlog.history import rows, schema
from kvmlog.history.model import (
    Action,
    Binary,
    Change,
    Fault,
    Life,
    Service,
    StateChange,
    Status,
)
from kvmlog.util.errors import (
    HistoryError,
    HistoryMarkerError,
    HistoryMissingError,
)

# The option that has the file's path.
OPTION: Final = "--history-file"
# What one call returns at most, whatever limit is asked for.
MOST: Final = 1_000
# Lives of one call: a host has 8,192 domains at most, and usage needs all of a period.
LIVES_MOST: Final = 100_000
_BUSY_S: Final = 2.0
# A life that an event began has no size until the collector has sampled the VM.
_SAMPLED: Final = "EXISTS (SELECT 1 FROM span WHERE life = life.id)"
_START: Final = "start it (kvmlog history)"


class HistoryReader:
    """A reader of the file at a path; thread-safe. It holds nothing between calls.

    Each call sees one state of the file. HistoryMissingError: there is no file; HistoryError: it
    cannot be used. named_by: the option or key that has the path, for errors.
    """

    def __init__(self, path: str, named_by: str = OPTION) -> None:
        self.path = path
        self._named_by = named_by

    def status(self) -> Status:
        """Return what the history says of itself."""
        with self._open() as file:
            row = file.one("SELECT * FROM meta")
            ends = file.one(
                "SELECT coalesce(min(sequence), 0) AS oldest, "
                "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0) AS newest "
                "FROM journal"
            )
            return Status(
                host=row["host"],
                host_uuid=row["host_uuid"],
                version=row["version"],
                observed_since=rows.stamp(row, "begun", file.boots),
                written=rows.stamp(row, "written", file.boots),
                oldest_sequence=ends["oldest"],
                newest_sequence=ends["newest"],
                lost_events=row["lost_events"],
                lost_records=row["lost_records"],
                warning=row["warning"],
            )

    def services(
        self, *, host: str | None = None, binary: str | None = None
    ) -> tuple[Service, ...]:
        """Return the services, by binary; host and binary: only exactly these, unknown: none."""
        with self._open() as file:
            (own,) = file.one("SELECT host FROM meta")
            if host not in (None, own):
                return ()
            found = [
                rows.service(row, own, file.boots) for row in file.all("SELECT * FROM service")
            ]
        order = list(Binary)
        return tuple(
            sorted(
                (one for one in found if binary in (None, one.binary)),
                key=lambda one: order.index(one.binary),
            )
        )

    def lives(
        self,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
        uuid: str | None = None,
        project_id: str | None = None,
        there: bool = False,
    ) -> tuple[Life, ...]:
        """Return the lives that reach into a period (ns since 1970), oldest first.

        uuid, project_id: of this VM, with a span of this owner; there: only those that go on.
        """
        where = _Where()
        where.add("uuid = ?", uuid)
        where.add("began < ?", stop_ns)
        where.add("(ended IS NULL OR ended >= ?)", start_ns)
        where.add("EXISTS (SELECT 1 FROM span WHERE life = life.id AND project_id = ?)", project_id)
        where.add(_SAMPLED)
        if there:
            where.add("ended IS NULL")
        with self._open() as file:
            return file.lives(f"{where} ORDER BY id LIMIT {LIVES_MOST}", where.values)

    def last_life(self, uuid: str) -> Life | None:
        """Return a VM's life, the newest where it had several; None for a VM never seen."""
        with self._open() as file:
            found = file.lives(f" WHERE uuid = ? AND {_SAMPLED} ORDER BY id DESC LIMIT 1", [uuid])
            return found[0] if found else None

    def uuids_named(self, name: str) -> tuple[str, ...]:
        """Return the UUIDs of all VMs that have, or had in the end, this name."""
        with self._open() as file:
            found = file.all("SELECT DISTINCT uuid FROM life WHERE name = ? ORDER BY uuid", [name])
            return tuple(row["uuid"] for row in found)

    def owners(self) -> dict[str, str | None]:
        """Return the names of all owners, the last ones, by their project's id."""
        with self._open() as file:
            found = file.all(
                # max() has SQLite take the name from the same row.
                "SELECT project_id, project_name, max(id) FROM span "
                "WHERE project_id IS NOT NULL GROUP BY project_id"
            )
            return {row["project_id"]: row["project_name"] for row in found}

    def actions(
        self,
        *,
        uuid: str | None = None,
        limit: int = MOST,
        marker: str | None = None,
        changes_since_ns: int | None = None,
        changes_before_ns: int | None = None,
    ) -> tuple[Action, ...]:
        """Return actions, newest first, at most `limit` (MOST) of them.

        marker: the request_id of the last one of the call before; HistoryMarkerError for one that
        is none of these. changes_since_ns, changes_before_ns: by `updated`, both inclusive.
        """
        where = _Where()
        where.add("uuid = ?", uuid)
        where.add("updated >= ?", changes_since_ns)
        where.add("updated <= ?", changes_before_ns)
        with self._open() as file:
            if marker is not None:
                row = file.maybe(
                    "SELECT id FROM action WHERE request_id = ? AND uuid = coalesce(?, uuid)",
                    [marker, uuid],
                )
                if row is None:
                    raise HistoryMarkerError(
                        f"no action has the request_id {marker[:80]!r}; give one of the last reply"
                    )
                where.add("id < ?", row["id"])
            return file.actions(f"{where} ORDER BY id DESC LIMIT {_limit(limit)}", where.values)

    def action(self, uuid: str, request_id: str) -> Action | None:
        """Return one action of a VM; None where there is no such."""
        with self._open() as file:
            found = file.actions(" WHERE uuid = ? AND request_id = ?", [uuid, request_id])
            return found[0] if found else None

    def faults(
        self, *, uuid: str | None = None, limit: int = MOST, since_ns: int | None = None
    ) -> tuple[Fault, ...]:
        """Return faults, newest first, at most `limit` (MOST) of them."""
        where = _Where()
        where.add("uuid = ?", uuid)
        where.add("created >= ?", since_ns)
        with self._open() as file:
            found = file.all(
                f"SELECT * FROM fault{where} ORDER BY id DESC LIMIT {_limit(limit)}", where.values
            )
            return tuple(rows.fault(row, file.boots) for row in found)

    def states(
        self, *, uuid: str | None = None, limit: int = MOST, since_ns: int | None = None
    ) -> tuple[StateChange, ...]:
        """Return changes of state, newest first, at most `limit` (MOST) of them."""
        where = _Where()
        where.add("uuid = ?", uuid)
        where.add("at >= ?", since_ns)
        with self._open() as file:
            found = file.all(
                f"SELECT * FROM state_change{where} ORDER BY id DESC LIMIT {_limit(limit)}",
                where.values,
            )
            return tuple(rows.state_change(row, file.boots) for row in found)

    def changes(self, after_sequence: int, limit: int = MOST) -> tuple[Change, ...]:
        """Return the journal's entries after a sequence, oldest first, at most `limit` (MOST).

        Where the first of them is not after_sequence + 1, those in between are no longer kept.
        """
        with self._open() as file:
            found = file.all(
                f"SELECT * FROM journal WHERE sequence > ? ORDER BY sequence LIMIT {_limit(limit)}",
                [after_sequence],
            )
            return tuple(rows.change(row, file.boots) for row in found)

    def cursor(self, consumer: str) -> int | None:
        """Return the last sequence that a consumer of the journal has done with; None: unknown."""
        with self._open() as file:
            row = file.maybe("SELECT sequence FROM consumer WHERE name = ?", [consumer])
            return None if row is None else row["sequence"]

    @contextlib.contextmanager
    def _open(self) -> Iterator[_File]:
        try:
            with contextlib.closing(self._connection()) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("BEGIN")
                schema.check(self.path, connection)
                yield _File(connection)
        except sqlite3.OperationalError as error:
            raise HistoryError(
                f"{self.path}: the history cannot be read ({error}); look at kvmlog history "
                "(journalctl -u kvmlog-history)"
            ) from None
        except sqlite3.DatabaseError as error:
            raise HistoryError(
                f"{self.path}: the history is damaged ({error}); restart kvmlog history, which "
                "moves the file aside and begins another"
            ) from None

    def _connection(self) -> sqlite3.Connection:
        self._check()
        # Beside a file whose writer has ended there is nothing to share with one, and a reader
        # that may not write into the folder could not make it.
        alone = not os.path.exists(f"{self.path}-wal")
        address = urllib.parse.quote(os.path.abspath(self.path))
        return sqlite3.connect(
            f"file:{address}?mode=ro{'&immutable=1' if alone else ''}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
        )

    def _check(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            raise HistoryMissingError(f"{self.path}: there is no history; {_START}") from None
        except PermissionError as error:
            raise HistoryError(
                f"{self.path}: cannot be read ({error.strerror}); run as root or join the group "
                "kvmlog"
            ) from None
        except OSError as error:
            raise HistoryError(
                f"{self.path}: cannot be read ({error.strerror}); check {self._named_by}"
            ) from None


class _File:
    """An open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.boots: rows.Boots = dict(connection.execute("SELECT id, boot_id FROM boot").fetchall())

    def all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def maybe(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        found = self._connection.execute(query, values).fetchone()
        assert found is None or isinstance(found, sqlite3.Row)
        return found

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row:
        found = self.maybe(query, values)
        if found is None:
            raise sqlite3.DatabaseError("a row is missing")
        return found

    def lives(self, where: str, values: Sequence[Any]) -> tuple[Life, ...]:
        found = self.all(f"SELECT * FROM life{where}", values)
        spans = self._of("span", "life", found)
        runs = self._of("run", "life", found)
        return tuple(
            rows.life(
                row,
                (rows.span(one, self.boots) for one in spans.get(row["id"], ())),
                (rows.run(one, self.boots) for one in runs.get(row["id"], ())),
                self.boots,
            )
            for row in found
        )

    def actions(self, where: str, values: Sequence[Any]) -> tuple[Action, ...]:
        found = self.all(f"SELECT * FROM action{where}", values)
        events = self._of("action_event", "action", found)
        return tuple(
            rows.action(
                row,
                (rows.action_event(one, self.boots) for one in events.get(row["id"], ())),
                self.boots,
            )
            for row in found
        )

    def _of(
        self, table: str, parent: str, parents: Iterable[sqlite3.Row]
    ) -> dict[int, list[sqlite3.Row]]:
        """Return the rows of a table by what they belong to, in their order."""
        found: dict[int, list[sqlite3.Row]] = {}
        ids = [row["id"] for row in parents]
        for at in range(0, len(ids), MOST):
            some = ids[at : at + MOST]
            marks = ",".join("?" * len(some))
            for row in self.all(
                f"SELECT * FROM {table} WHERE {parent} IN ({marks}) ORDER BY {parent}, id", some
            ):
                found.setdefault(row[parent], []).append(row)
        return found


class _Where:
    """The conditions of a query that apply."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[Any] = []

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition, unless its value is None."""
        if None not in values:
            self._conditions.append(condition)
            self.values += values

    def __str__(self) -> str:
        return f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""


def _limit(asked: int) -> int:
    return max(0, min(asked, MOST))
