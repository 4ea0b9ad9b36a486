# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog pending`: its rows, without a bridge."""

from __future__ import annotations

import json

import pytest

from kvmlog.cli import pending
from kvmlog.guests.labels import GuestView
from kvmlog.guests.names import GuestList
from kvmlog.ring.clocks import of_this_process
from kvmlog.ring.records import Record, decode_record
from tests.support import records as make
from tests.support import statistics_rows


def test_a_vcpu_of_a_guest_that_ended_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The thread of a VM that is gone lives on: nobody waits for its vCPU to come back."""
    guests = [
        statistics_rows.named(7, "web1", numbers=((1, 0),)),
        statistics_rows.named(8, "old", numbers=((2, 0),), ended_realtime_ns=9),
    ]
    view = GuestView(GuestList(guests))
    raw = [make.exit_bytes(guest=number, exit_ns=5, reason=0x78) for number in (1, 2)]
    found = [record for one in raw if isinstance(record := decode_record(one), Record)]
    pending.show(found, of_this_process(), view, as_json=False)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [pending.ENDED in row for row in rows] == [False, True]
    pending.show(found, of_this_process(), view, as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["guest_running"] for one in objects] == [True, False]
