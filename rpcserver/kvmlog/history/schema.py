# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the history's file, and which file is one.

A moment is three columns: NAME (CLOCK_REALTIME), NAME_mono (CLOCK_MONOTONIC), NAME_boot.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from kvmlog.util.errors import HistoryError

VERSION: Final = 1
# "kvmh", in the header of the file: file(1) shows it.
APPLICATION_ID: Final = 0x6B766D68


def _moment(name: str, *, null: bool = False) -> str:
    rule = "" if null else " NOT NULL"
    return f"{name} INTEGER{rule}, {name}_mono INTEGER{rule}, {name}_boot INTEGER{rule}"


_TABLES: Final = f"""
CREATE TABLE boot (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE);
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    host TEXT NOT NULL, host_uuid TEXT NOT NULL, version TEXT NOT NULL,
    {_moment("begun")}, {_moment("written")},
    lost_events INTEGER NOT NULL DEFAULT 0, lost_records INTEGER NOT NULL DEFAULT 0,
    warning TEXT);
CREATE TABLE service (
    binary TEXT PRIMARY KEY, uuid TEXT NOT NULL, zone TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1, disabled_reason TEXT,
    forced_down INTEGER NOT NULL DEFAULT 0, report_count INTEGER NOT NULL DEFAULT 0,
    {_moment("seen")}, {_moment("updated")}, detail TEXT,
    -- What the journal said last.
    told_up INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
CREATE TABLE life (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, name TEXT NOT NULL, uri TEXT NOT NULL,
    {_moment("began")}, witnessed INTEGER NOT NULL, {_moment("ended", null=True)}, end_source TEXT,
    state INTEGER, reason INTEGER, domain_id INTEGER, persistent INTEGER,
    -- The newest evidence of its state; samples that are older say nothing.
    {_moment("evident")});
CREATE UNIQUE INDEX life_open ON life (uuid) WHERE ended IS NULL;
CREATE INDEX life_uuid ON life (uuid, id);
CREATE INDEX life_ended ON life (ended);
CREATE TABLE span (
    id INTEGER PRIMARY KEY, life INTEGER NOT NULL REFERENCES life ON DELETE CASCADE,
    {_moment("began")}, {_moment("ended", null=True)},
    project_id TEXT, project_name TEXT, user_id TEXT, user_name TEXT, owned INTEGER NOT NULL,
    vcpus INTEGER NOT NULL, memory_bytes INTEGER NOT NULL, disk_bytes INTEGER,
    flavor_id TEXT, flavor_name TEXT);
CREATE INDEX span_life ON span (life, id);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, life INTEGER NOT NULL REFERENCES life ON DELETE CASCADE,
    {_moment("began")}, witnessed INTEGER NOT NULL, {_moment("ended", null=True)}, end_source TEXT);
CREATE INDEX run_life ON run (life, id);
CREATE TABLE action (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, name TEXT NOT NULL, project_id TEXT,
    action TEXT NOT NULL, request_id TEXT NOT NULL UNIQUE,
    {_moment("start", null=True)}, {_moment("observed")}, {_moment("updated")},
    source TEXT NOT NULL, message TEXT);
CREATE INDEX action_uuid ON action (uuid, id);
CREATE INDEX action_updated ON action (updated);
CREATE TABLE action_event (
    id INTEGER PRIMARY KEY, action INTEGER NOT NULL REFERENCES action ON DELETE CASCADE,
    event TEXT NOT NULL, {_moment("start", null=True)}, {_moment("finish", null=True)},
    result TEXT, details TEXT);
CREATE INDEX action_event_action ON action_event (action, id);
CREATE TABLE fault (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, name TEXT NOT NULL, project_id TEXT,
    kind TEXT NOT NULL, {_moment("created")}, message TEXT NOT NULL, details TEXT NOT NULL,
    count INTEGER NOT NULL, source TEXT NOT NULL);
CREATE INDEX fault_uuid ON fault (uuid, id);
CREATE INDEX fault_created ON fault (created);
CREATE TABLE state_change (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, name TEXT NOT NULL, {_moment("at")},
    before INTEGER, after INTEGER, reason INTEGER, source TEXT NOT NULL);
CREATE INDEX state_change_uuid ON state_change (uuid, id);
CREATE INDEX state_change_at ON state_change (at);
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, {_moment("at")}, kind TEXT NOT NULL,
    uuid TEXT, name TEXT, body TEXT NOT NULL);
CREATE INDEX journal_at ON journal (at);
CREATE TABLE consumer (
    name TEXT PRIMARY KEY, sequence INTEGER NOT NULL, {_moment("updated")}) WITHOUT ROWID;
-- How far a source has been read, in the transaction that holds what came of it.
CREATE TABLE position (source TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, within the caller's transaction."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def check(path: str, connection: sqlite3.Connection) -> None:
    """Raise HistoryError unless the file is a history that this kvmlog knows."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise HistoryError(
            f"{path}: is no history of kvmlog's; name the file of kvmlog history (--history-file)"
        )
    if version != VERSION:
        raise HistoryError(
            f"{path}: format {version}, this kvmlog knows {VERSION}; upgrade kvmlog, or move the "
            "file away: a new one is begun"
        )
