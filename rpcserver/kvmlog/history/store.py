# SPDX-License-Identifier: GPL-2.0-or-later
"""The history's file as its only writer has it: opened, begun anew, written in transactions.

What a transaction holds is on the disk when it ends: SQLite in WAL mode with synchronous=FULL.
Readers are never waited for, and never wait.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.history import log, schema
from kvmlog.history.moment import Stamp
from kvmlog.util import ownership, permissions, whole_file
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import HistoryError

_MODE: Final = 0o640
_PLACE: Final = "choose another place (--history-file)"
_INTEGER_MOST: Final = (1 << 63) - 1
_MAGIC: Final = b"SQLite format 3\0"
_BESIDE: Final = ("", "-wal", "-shm")
# A reader that holds the file longer while a checkpoint wants to reset the log.
_BUSY_S: Final = 1.0
# The log is cut to this after a checkpoint.
_LOG_BYTES: Final = 4 << 20
# Primary codes, https://www.sqlite.org/rescode.html: the file itself is at fault.
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; make room: it is tried again",
    sqlite3.SQLITE_READONLY: "it is read-only; make it writable (owner, mode, mount): it is tried "
    "again",
    sqlite3.SQLITE_IOERR: "the disk fails or is full; look at the kernel log: it is tried again",
    sqlite3.SQLITE_CANTOPEN: "its folder cannot be written; correct its owner and mode: it is "
    "tried again",
    sqlite3.SQLITE_BUSY: "another process has locked it; end that one: it is tried again",
}


@dataclass(frozen=True)
class Identity:
    """Whose history it is."""

    host: str
    host_uuid: str
    version: str  # of this kvmlog


class DamagedStoreError(HistoryError):
    """The file is damaged: it has to be opened again, which moves it aside."""


class Transaction:
    """A transaction that writes. Moments are given as three values, in their columns' order."""

    def __init__(self, connection: sqlite3.Connection, now: Stamp) -> None:
        self.now = now
        self._connection = connection
        self._boots: dict[str, int] = {
            boot: number
            for number, boot in connection.execute("SELECT id, boot_id FROM boot").fetchall()
        }

    @property
    def boots(self) -> dict[int, str]:
        """Return the boot ids by their number."""
        return {number: boot for boot, number in self._boots.items()}

    def moment(self, stamp: Stamp | None) -> tuple[int | None, int | None, int | None]:
        """Return a moment as its three columns; NULL for None."""
        if stamp is None:
            return None, None, None
        number = self._boots.get(stamp.boot_id)
        if number is None:
            number = self.insert("boot", boot_id=stamp.boot_id)
            self._boots[stamp.boot_id] = number
        return stamp.realtime_ns, stamp.monotonic_ns, number

    def execute(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement that changes rows; return how many it changed."""
        return self._connection.execute(statement, values).rowcount

    def insert(self, table: str, **columns: Any) -> int:
        """Insert a row; return its id. A Stamp becomes its three columns."""
        names, values = self.columns(columns)
        cursor = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            values,
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def update(self, table: str, row_id: int, **columns: Any) -> None:
        """Change the row of an id. A Stamp becomes its three columns."""
        names, values = self.columns(columns)
        assigned = ", ".join(f"{name} = ?" for name in names)
        self._connection.execute(f"UPDATE {table} SET {assigned} WHERE id = ?", [*values, row_id])

    def all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query; None for none."""
        found = self._connection.execute(query, values).fetchone()
        assert found is None or isinstance(found, sqlite3.Row)
        return found

    def pragma(self, name: str) -> int:
        """Return the value of a pragma that is a number."""
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def shrink(self, pages: int) -> None:
        """Give at most so many free pages back to the file system."""
        # A step of the statement frees one page.
        self._connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()

    def columns(self, columns: dict[str, Any]) -> tuple[list[str], list[Any]]:
        """Return names and values of columns, of which a Stamp is three."""
        names: list[str] = []
        values: list[Any] = []
        for name, value in columns.items():
            if isinstance(value, Stamp):
                names += [name, f"{name}_mono", f"{name}_boot"]
                values += self.moment(value)
            else:
                names.append(name)
                values.append(storable(value))
        return names, values


class Store(Closeable):
    """The file at a path, in an existing folder; one process at a time has it.

    One that is damaged is moved aside, which is logged, and another is begun. HistoryError: it
    cannot be had.
    """

    def __init__(self, path: str, identity: Identity, now: Stamp) -> None:
        self.path = path
        self._identity = identity
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        ownership.check_folder(path, remedy=_PLACE)
        self._lock: int | None = whole_file.lock(
            path, HistoryError, writer="another kvmlog history", place=_PLACE
        )
        try:
            self._connection = self._opened(now)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self, now: Stamp) -> Iterator[Transaction]:
        """Begin a transaction, and commit it at the end of the `with`; after an error it is undone.

        HistoryError: it cannot be written, with the reason and the remedy. DamagedStoreError.
        """
        connection = self._connection
        if connection is None or not self.is_named():
            log(f"{self.path}: the file has been moved or removed; opened anew")
            self.open_again(now)
            connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection, now)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def open_again(self, now: Stamp) -> None:
        """Open the file of the name anew: one that was damaged, or that somebody has replaced."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        self._connection = self._opened(now)

    def is_named(self) -> bool:
        """Return whether readers find this file by its path."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self, now: Stamp) -> sqlite3.Connection:
        try:
            connection = self._connected()
        except sqlite3.DatabaseError as error:
            if _primary(error) not in _DAMAGED:
                raise self._failure(error) from None
            self._move_aside(now, str(error))
            connection = self._connected()
        try:
            self._prepare(connection, now)
            status = os.stat(self.path)
            self._file = status.st_dev, status.st_ino
        except sqlite3.Error as error:
            connection.close()
            raise self._failure(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> sqlite3.Connection:
        """Return a connection to the file, which is sound; sqlite3.DatabaseError."""
        self._create()
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            # Before there are tables, or it takes a VACUUM.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damage(found, sqlite3.SQLITE_CORRUPT)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Create the missing file, with mode and group, from which SQLite takes those beside it."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | ownership.OPEN_FLAGS, _MODE)
        except OSError as error:
            raise HistoryError(f"{self.path}: {ownership.open_words(error)}; {_PLACE}") from None
        try:
            ownership.check(self.path, fd, HistoryError, remedy=_PLACE)
            head = os.pread(fd, len(_MAGIC), 0)
            if not head:
                os.fchmod(fd, _MODE)
                permissions.hand_to_group(fd)
            elif head != _MAGIC:
                # SQLite itself would overwrite a short one.
                raise _damage("file is not a database", sqlite3.SQLITE_NOTADB)
        finally:
            os.close(fd)

    def _prepare(self, connection: sqlite3.Connection, now: Stamp) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
            schema.create(connection)
            transaction = Transaction(connection, now)
            transaction.insert("meta", id=1, begun=now, written=now, **vars(self._identity))
        else:
            schema.check(self.path, connection)
            Transaction(connection, now).update("meta", 1, **vars(self._identity))
        connection.execute("COMMIT")

    def _move_aside(self, now: Stamp, why: str) -> None:
        aside = f"{self.path}.damaged-{now.realtime_ns // 1_000_000_000}"
        try:
            for ending in _BESIDE:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self.path}{ending}", f"{aside}{ending}")
        except OSError as error:
            raise HistoryError(
                f"{self.path}: is damaged ({why}) and cannot be moved aside ({error.strerror}); "
                "move it away"
            ) from error
        log(
            f"{self.path}: was damaged ({why}): it is now {aside}, and another was begun; services "
            "that were disabled are enabled"
        )

    def _failure(self, error: sqlite3.Error) -> HistoryError:
        code = _primary(error)
        if code in _DAMAGED:
            return DamagedStoreError(f"{self.path}: is damaged ({error})")
        remedy = _REMEDIES.get(code, "it is tried again")
        return HistoryError(f"{self.path}: cannot be written ({error}): {remedy}")


def storable(value: Any) -> Any:
    """Return a value as SQLite takes it: of what a foreign file may hold, nothing ends the writer.

    Integers have 64 bits, and text has no half of a pair of surrogates.
    """
    if isinstance(value, int):
        return max(-_INTEGER_MOST, min(_INTEGER_MOST, value))
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value


def _damage(what: str, code: int) -> sqlite3.DatabaseError:
    """Return the error that SQLite itself gives for damage of this kind."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = code
    return error


def _primary(error: sqlite3.Error) -> int:
    """Return SQLite's primary code; 0 for an error of the binding's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
