# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's counters add up over restarts of the source."""

from __future__ import annotations

from kvmlog.engine.counters import CounterTotals

NAMES = ("seen", "emitted", "filtered", "sampled", "dropped", "pending", "dropped_table", "notes")


def counts(**values: int) -> dict[str, int]:
    """All counters, 0 but for `values`."""
    return dict.fromkeys(NAMES, 0) | values


def balanced(totals: dict[str, int]) -> bool:
    """The promise: every exit is accounted for."""
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    return totals["seen"] == sum(totals[name] for name in parts)


def test_what_the_source_counted_before_is_not_the_rings() -> None:
    """Only the change since it was opened is added."""
    counters = CounterTotals(counts(seen=100, emitted=100))
    counters.begin(counts(seen=7, emitted=7))
    totals = counters.update(counts(seen=10, emitted=8, pending=2))
    assert totals == counts(seen=103, emitted=101, pending=2)
    assert balanced(totals)
    assert counters.update(counts(seen=10, emitted=10)) == counts(seen=103, emitted=103)


def came(emitted: int = 0, notes: int = 0, dropped: int = 0) -> dict[str, int]:
    """Return the counters of what arrived from a source since it was opened."""
    return {"emitted": emitted, "notes": notes, "dropped": dropped}


def test_a_source_that_was_reloaded_counts_on() -> None:
    """Its new numbers begin at 0; pending exits of the old one that never came are dropped."""
    counters = CounterTotals(counts())
    counters.begin(counts())
    counters.update(counts(seen=10, emitted=8, pending=2))
    assert balanced(counters.lose(came(emitted=8)))
    counters.begin(counts())
    totals = counters.update(counts(seen=5, emitted=5))
    assert totals == counts(seen=15, emitted=13, dropped=2)
    assert balanced(totals)


def test_what_came_after_the_last_status_is_counted() -> None:
    """Exits that were pending and came, new ones, drops that a batch told, other records."""
    counters = CounterTotals(counts(seen=1, emitted=1))
    counters.begin(counts(seen=50, emitted=50))
    counters.update(counts(seen=60, emitted=58, pending=2, notes=1))
    totals = counters.lose(came(emitted=13, notes=2, dropped=4))
    assert totals == counts(seen=18, emitted=14, dropped=4, notes=2)
    assert balanced(totals)


def test_one_of_the_pending_came() -> None:
    """The other one is lost."""
    counters = CounterTotals(counts())
    counters.begin(counts())
    counters.update(counts(seen=10, emitted=8, pending=2))
    assert counters.lose(came(emitted=9)) == counts(seen=10, emitted=9, dropped=1)


def test_what_was_emitted_and_never_came_stays_emitted() -> None:
    """The missing message is written down elsewhere, as lost."""
    counters = CounterTotals(counts())
    counters.begin(counts())
    counters.update(counts(seen=10, emitted=10))
    assert counters.lose(came(emitted=7)) == counts(seen=10, emitted=10)


def test_losing_a_source_that_never_reported_changes_nothing() -> None:
    """Nor does losing it twice."""
    counters = CounterTotals(counts(seen=4, emitted=4))
    assert counters.lose(came()) == counts(seen=4, emitted=4)
    counters.begin(counts())
    assert counters.lose(came(emitted=3)) == counts(seen=7, emitted=7)
    assert counters.lose(came(emitted=3)) == counts(seen=7, emitted=7)
