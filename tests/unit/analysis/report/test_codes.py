# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog.analysis.report.codes: what exits were, as numbers with words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kvmlog.analysis.report import codes
from kvmlog.analysis.report.codes import OTHERS, CodeCounter
from kvmlog.exits.format.lines import exit_cells
from kvmlog.ring.records import Record, decode_record
from tests.support import busy_host
from tests.support.statistics_feed import Records, exits

NPF = 0x400
IOIO = 0x7B
DETAIL = 1 << 3
USER_REASON = 1 << 8


def counted(*blocks: Records) -> CodeCounter:
    """A counter of these blocks."""
    counter = CodeCounter()
    for block in blocks:
        counter.add(block)
    return counter


def test_words_are_those_of_dump() -> None:
    """Reason, detail and return of each exit, from blocks of any size."""
    records = busy_host.exits(2_000)
    known = counted(records[:700], records[700:701], records[701:]).codes()
    for at, code in enumerate(known.of(records).tolist()):
        record = decode_record(records[at : at + 1].tobytes())
        assert isinstance(record, Record)
        cells, kind = exit_cells(record), known.kinds[code]
        assert (kind.reason, kind.words) == (cells.reason, cells.detail)
        assert kind.halt == (cells.reason == "hlt")
        assert bool(kind.returned) == bool(record.flags & USER_REASON)


def test_rare_details_share_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has the most frequent of a million addresses, and the reason of all."""
    monkeypatch.setattr(codes, "CODES_MOST", 3)
    details = [0x1000] * 5 + [0x2000] * 4 + list(range(0x10000, 0x10100))
    records = exits(len(details), reason=NPF, detail=details, flags=DETAIL)
    plain = exits(2, reason=0x60)
    known = counted(records, plain).codes()
    found = Counter(
        (known.kinds[code].reason, known.kinds[code].words) for code in known.of(records)
    )
    assert found["npf", "gpa 0x1000"] == 5
    assert found["npf", OTHERS] >= 255
    assert sum(found.values()) == len(details)
    assert {known.kinds[code][:2] for code in known.of(plain)} == {("interrupt", "")}


def test_what_is_counted_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frequent ones survive when the rarest are given up."""
    monkeypatch.setattr(codes, "_COUNTED_MOST", 100)
    often = exits(50, reason=IOIO, detail=0x3F8, flags=DETAIL)
    rare = exits(400, reason=NPF, detail=np.arange(400) * 4096, flags=DETAIL)
    counter = counted(often, rare, often, rare)
    known = counter.codes()
    assert len(counter._counts) <= 100
    assert {known.kinds[code].words for code in known.of(often)} == {"port 0x3f8 (com1)"}
    assert {known.kinds[code].reason for code in known.of(rare)} == {"npf"}


def test_an_exit_that_was_not_counted_is_unknown() -> None:
    """As in a file that changes while it is read."""
    known = counted(exits(1, reason=0x60)).codes()
    assert [known.kinds[code].reason for code in known.of(exits(1, reason=0x72))] == ["unknown"]
    assert [one.reason for one in counted().codes().kinds] == ["unknown"]
