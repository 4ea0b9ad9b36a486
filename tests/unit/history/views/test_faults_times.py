# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults as documents, and times as they are written and read.

Nova's fault of a server: openstack/nova 00a03040, api-ref/source/servers.inc, "fault".
"""

from __future__ import annotations

import pytest

from kvmlog.history.views import faults, times
from tests.support.history_model import at, fault
from tests.support.schemas import validate
from tests.support.vmstats_samples import WEB1


def test_a_fault_tells_what_was_seen() -> None:
    """Kind, how often, how it became known."""
    found = faults.document(fault())
    validate(found, "fault")
    assert found["details"] == {"device": "vda", "reason": "enospc"}
    assert (found["kind"], found["count"], found["source"]) == ("io-error", 3, "event")
    assert (found["instance_uuid"], found["created"]) == (WEB1, "2026-11-20T19:46:02.500000")


def test_a_servers_fault_is_novas() -> None:
    """Four members, with a text as details and whole seconds with a zone."""
    assert faults.of_server(faults.document(fault())) == {
        "code": 500,
        "created": "2026-11-20T19:46:02Z",
        "message": "vda: I/O error (enospc)",
        "details": "device vda, reason enospc",
    }


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-30T17:00:00",
        "2026-11-30 17:00:00.000000",
        "2026-11-30T17:00:00Z",
        "2026-11-30T18:00:00+01:00",
    ],
)
def test_times_are_utc_unless_they_say_otherwise(given: str) -> None:
    """Nova's clients send these forms."""
    assert times.parse(given) == at("2026-11-30T17:00:00").realtime_ns


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        ("1969-12-31", 0),
        ("0001-01-01T00:00:00+14:00", 0),
        ("9999-12-31T23:59:59-14:00", 2**63 - 1),
    ],
)
def test_what_cannot_be_kept_is_as_far_as_it_can_be(given: str, ns: int) -> None:
    """A period since ever, or until ever, is one."""
    assert times.parse(given) == ns


def test_what_is_written_can_be_read() -> None:
    """Nothing is lost, to the microsecond."""
    moment = at("2018-04-25T01:26:36.036697")
    assert times.parse(times.text(moment)) == moment.realtime_ns


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("yesterday", "'yesterday' is no time; give one like 2026-11-30,"),
        ("2026-13-01", "is no time"),
        ("2" * 100, "is no time"),
        ("", "'' is no time"),
    ],
)
def test_what_is_no_time_is_refused(given: str, sentence: str) -> None:
    """The sentence says what would be one."""
    with pytest.raises(times.TimeError) as caught:
        times.parse(given)
    assert sentence in str(caught.value)
