# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the history's tables as the model has them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from kvmlog.history.model import (
    Action,
    ActionEvent,
    Binary,
    Change,
    ChangeKind,
    Fault,
    FaultKind,
    Life,
    Owner,
    Run,
    Service,
    Size,
    Source,
    Span,
    StateChange,
)
from kvmlog.history.moment import Stamp

Boots = Mapping[int, str]  # boot ids by their number in the file


def stamp(row: sqlite3.Row, name: str, boots: Boots) -> Stamp:
    """Return a moment of a row, which has one."""
    return Stamp(row[name], row[f"{name}_mono"], boots[row[f"{name}_boot"]])


def maybe_stamp(row: sqlite3.Row, name: str, boots: Boots) -> Stamp | None:
    """Return a moment of a row; None for NULL."""
    return None if row[name] is None else stamp(row, name, boots)


def _maybe_source(text: str | None) -> Source | None:
    return None if text is None else Source(text)


def service(row: sqlite3.Row, host: str, boots: Boots) -> Service:
    """Return a row of `service`."""
    return Service(
        uuid=row["uuid"],
        binary=Binary(row["binary"]),
        host=host,
        zone=row["zone"],
        enabled=bool(row["enabled"]),
        disabled_reason=row["disabled_reason"],
        forced_down=bool(row["forced_down"]),
        last_seen=stamp(row, "seen", boots),
        report_count=row["report_count"],
        updated=stamp(row, "updated", boots),
        detail=row["detail"],
    )


def span(row: sqlite3.Row, boots: Boots) -> Span:
    """Return a row of `span`."""
    owner = None
    if row["owned"]:
        owner = Owner(row["project_id"], row["project_name"], row["user_id"], row["user_name"])
    return Span(
        began=stamp(row, "began", boots),
        ended=maybe_stamp(row, "ended", boots),
        owner=owner,
        size=Size(
            vcpus=row["vcpus"],
            memory_bytes=row["memory_bytes"],
            disk_bytes=row["disk_bytes"],
            flavor_id=row["flavor_id"],
            flavor_name=row["flavor_name"],
        ),
    )


def run(row: sqlite3.Row, boots: Boots) -> Run:
    """Return a row of `run`."""
    return Run(
        number=row["id"],
        began=stamp(row, "began", boots),
        witnessed=bool(row["witnessed"]),
        ended=maybe_stamp(row, "ended", boots),
        end_source=_maybe_source(row["end_source"]),
    )


def life(row: sqlite3.Row, spans: Iterable[Span], runs: Iterable[Run], boots: Boots) -> Life:
    """Return a row of `life` with those that belong to it."""
    return Life(
        number=row["id"],
        uuid=row["uuid"],
        name=row["name"],
        uri=row["uri"],
        began=stamp(row, "began", boots),
        witnessed=bool(row["witnessed"]),
        ended=maybe_stamp(row, "ended", boots),
        end_source=_maybe_source(row["end_source"]),
        state=row["state"],
        spans=tuple(spans),
        runs=tuple(runs),
    )


def action_event(row: sqlite3.Row, boots: Boots) -> ActionEvent:
    """Return a row of `action_event`."""
    return ActionEvent(
        event=row["event"],
        start=maybe_stamp(row, "start", boots),
        finish=maybe_stamp(row, "finish", boots),
        result=row["result"],
        details=row["details"],
    )


def action(row: sqlite3.Row, events: Iterable[ActionEvent], boots: Boots) -> Action:
    """Return a row of `action` with its events."""
    return Action(
        number=row["id"],
        uuid=row["uuid"],
        name=row["name"],
        project_id=row["project_id"],
        action=row["action"],
        request_id=row["request_id"],
        start=maybe_stamp(row, "start", boots),
        observed=stamp(row, "observed", boots),
        updated=stamp(row, "updated", boots),
        source=Source(row["source"]),
        message=row["message"],
        events=tuple(events),
    )


def fault(row: sqlite3.Row, boots: Boots) -> Fault:
    """Return a row of `fault`."""
    return Fault(
        number=row["id"],
        uuid=row["uuid"],
        name=row["name"],
        project_id=row["project_id"],
        kind=FaultKind(row["kind"]),
        created=stamp(row, "created", boots),
        message=row["message"],
        details=json.loads(row["details"]),
        count=row["count"],
        source=Source(row["source"]),
    )


def state_change(row: sqlite3.Row, boots: Boots) -> StateChange:
    """Return a row of `state_change`."""
    return StateChange(
        number=row["id"],
        uuid=row["uuid"],
        name=row["name"],
        at=stamp(row, "at", boots),
        before=row["before"],
        after=row["after"],
        reason=row["reason"],
        source=Source(row["source"]),
    )


def change(row: sqlite3.Row, boots: Boots) -> Change:
    """Return a row of `journal`."""
    return Change(
        sequence=row["sequence"],
        at=stamp(row, "at", boots),
        kind=ChangeKind(row["kind"]),
        uuid=row["uuid"],
        name=row["name"],
        body=json.loads(row["body"]),
    )
