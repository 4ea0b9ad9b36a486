# SPDX-License-Identifier: GPL-2.0-or-later
"""What a history holds, by hand: services, a life of web1, its actions and faults."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kvmlog.history.model import (
    Action,
    ActionEvent,
    Binary,
    Fault,
    FaultKind,
    Life,
    Owner,
    Service,
    Size,
    Source,
    Span,
)
from kvmlog.history.moment import Stamp
from tests.support.vmstats_samples import GIB, MIB, WEB1

BOOT = "7d3c0f6e-58e2-4ab7-9a43-a7f1f1d5a001"
PROJECT = "6f70656e737461636b20342065766572"


def at(text: str, boot: str = BOOT) -> Stamp:
    """A moment by its time of day, UTC."""
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    ns = round((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000) * 1_000
    return Stamp(ns, ns, boot)


def service(**changed: Any) -> Service:
    """The collector, which an operator has disabled."""
    values: dict[str, Any] = {
        "uuid": "e81d66a4-ddd3-4aba-8a84-171d1cb4d339",
        "binary": Binary.VMSTATS,
        "host": "host1",
        "zone": "nova",
        "enabled": False,
        "disabled_reason": "test2",
        "forced_down": False,
        "last_seen": at("2012-10-29T13:42:05"),
        "report_count": 17,
        "updated": at("2012-10-29T13:42:05"),
        "detail": None,
    }
    return Service(**{**values, **changed})


def span(began: str, ended: str | None = None, **changed: Any) -> Span:
    """A time with the flavor m1.tiny."""
    size: dict[str, Any] = {
        "vcpus": 1,
        "memory_bytes": 512 * MIB,
        "disk_bytes": GIB,
        "flavor_id": "1",
        "flavor_name": "m1.tiny",
    }
    owner: Owner | None = Owner(PROJECT, "shop", "u", "alice")
    if "owner" in changed:
        owner = changed.pop("owner")
    return Span(at(began), None if ended is None else at(ended), owner, Size(**{**size, **changed}))


def life(*spans: Span, **changed: Any) -> Life:
    """The life of an instance from the beginning of its first span to the end of the last."""
    values: dict[str, Any] = {
        "number": 1,
        "uuid": "1f1deceb-17b5-4c04-84c7-e0d4499c8fe0",
        "name": "instance-2",
        "uri": "qemu:///system",
        "began": spans[0].began,
        "witnessed": True,
        "ended": spans[-1].ended,
        "end_source": None if spans[-1].ended is None else Source.EVENT,
        "state": 1,
        "spans": spans,
        "runs": (),
    }
    return Life(**{**values, **changed})


def action(**changed: Any) -> Action:
    """A stop, as Nova's published sample has it."""
    values: dict[str, Any] = {
        "number": 4,
        "uuid": "4bf3473b-d550-4b65-9409-292d44ab14a2",
        "name": "instance-4",
        "project_id": PROJECT,
        "action": "stop",
        "request_id": "req-0d819d5c-1527-4669-bdf0-ffad31b5105b",
        "start": at("2018-04-25T01:26:36.341290"),
        "observed": at("2018-04-25T01:26:36.341290"),
        "updated": at("2018-04-25T01:26:36.790544"),
        "source": Source.EVENT,
        "message": None,
        "events": (
            ActionEvent(
                "compute_stop_instance",
                at("2018-04-25T01:26:36.539271"),
                at("2018-04-25T01:26:36.790544"),
                "Success",
                None,
            ),
        ),
    }
    return Action(**{**values, **changed})


def fault(**changed: Any) -> Fault:
    """A disk that was full."""
    values: dict[str, Any] = {
        "number": 2,
        "uuid": WEB1,
        "name": "web1",
        "project_id": PROJECT,
        "kind": FaultKind.IO_ERROR,
        "created": at("2026-11-20T19:46:02.5"),
        "message": "vda: I/O error (enospc)",
        "details": {"device": "vda", "reason": "enospc"},
        "count": 3,
        "source": Source.EVENT,
    }
    return Fault(**{**values, **changed})
