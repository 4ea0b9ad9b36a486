# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics that can be checked at any moment: an exit's times follow from its reason."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvmlog.native import lib
from kvmlog.ring.statistics.reader import Snapshot
from tests.support.statistics_feed import Counting, Elements, Records, counted, exits, note

REASONS, GUESTS, BATCH = 24, 6, 2_000
NEW_REASONS = 1_024


def value_ns(reason: Any) -> Any:
    """Return the duration of each exit of a reason, in ns.

    Spread over as many octaves as possible.
    """
    return 500 + 777 * reason**3


def busy(seed: int, details: int = 40) -> Records:
    """A batch in which hardly two exits are alike: an entry is folded for nearly each of them."""
    random = np.random.default_rng(seed)
    reason = random.integers(0, REASONS, BATCH)
    return exits(
        BATCH,
        guest=random.integers(1, GUESTS + 1, BATCH),
        vcpu=random.integers(0, 4, BATCH),
        reason=reason,
        flags=lib.KVMLOG_F_DETAIL_VALID,
        detail=random.integers(0, details, BATCH),
        total_ns=value_ns(reason),
        user_ns=value_ns(reason) // 3,
    )


def calm() -> Records:
    """A batch of exits that are all alike."""
    return exits(BATCH, reason=7, total_ns=value_ns(7), user_ns=value_ns(7) // 3)


def write(counting: Counting, batches: int, kind: str) -> None:
    """Feeds so many; kind: calm, busy, scan (details take each other's rows), or churn.

    churn: with guests that go and resets in between.
    """
    details = 5_000 if kind == "scan" else 40
    made = [calm()] if kind == "calm" else [busy(seed, details) for seed in range(8)]
    number = 0
    for batch in range(batches):
        counting.feed(made[batch % len(made)])
        if batch % 50 == 0:
            counting.writer.flush()
        if kind != "churn" or batch % 20:
            continue
        number += 1
        match number % 4:
            case 0:
                counting.writer.reset()
            case 1:
                counting.forget(*range(number % GUESTS + 1))
            case 2:
                counting.writer.begin(fresh=False)
                counting.feed(*(note(guest, guest) for guest in range(1, GUESTS + 1)))
            case 3:
                counting.writer.begin(fresh=True)
                counting.feed(note(1, 2), note(2, 1))


def write_new(counting: Counting, turns: int) -> None:
    """Feeds reasons that were not there yet, whose rows are those that a scan's details lose."""
    for turn in range(turns):
        first = turn * 64
        scan = exits(
            64,
            reason=7,
            flags=lib.KVMLOG_F_DETAIL_VALID,
            detail=np.arange(first, first + 64),
            total_ns=value_ns(7),
            user_ns=value_ns(7) // 3,
        )
        reason = np.arange(first, first + 64) % NEW_REASONS + REASONS
        total_ns = value_ns(reason)
        counting.feed(scan, exits(64, reason=reason, total_ns=total_ns, user_ns=total_ns // 3))
        counting.writer.flush()
        if first % NEW_REASONS == 0:
            counting.writer.reset()


def check_details(reasons: Records, rows: Records) -> None:
    """Nowhere do the details of a reason have more than the reason."""

    def names(found: Records) -> Records:
        key = found["key"]
        names: Records = key["guest"].astype(np.uint64) << 32 | key["reason"] << 8 | key["flags"]
        return names

    has = dict(zip(names(reasons).tolist(), reasons["sums"]["count"].tolist(), strict=True))
    details = rows[rows["key"]["kind"] == lib.KVMLOG_STATISTICS_DETAIL]
    for name in np.unique(names(details)).tolist():
        assert details["sums"]["count"][names(details) == name].sum() <= has[name]


def check(snapshot: Snapshot) -> None:
    """Every row is whole, and no exit is in a row that the header does not know of."""
    elements = Elements(snapshot)
    reasons, rows = elements.reasons, elements.rows
    for found in (reasons, rows):
        sums, count = found["sums"], found["sums"]["count"]
        value = value_ns(found["key"]["reason"].astype(np.uint64))
        assert (sums["total_ns"] == count * value).all()
        assert (sums["vmm_ns"] == count * (value // np.uint64(3))).all()
        assert (sums["kvm_ns"] + sums["vmm_ns"] == sums["total_ns"]).all()
        some = count > 0
        assert (sums["min_ns"][some] == value[some]).all()
        assert (sums["max_ns"][some] == value[some]).all()
    assert snapshot.overflow_histogram == 0
    assert (elements.histogram_counts() == reasons["sums"]["count"]).all()
    with_octaves = rows[rows["key"]["kind"] != lib.KVMLOG_STATISTICS_RETURN]
    assert (with_octaves["octaves"].sum(axis=1) == with_octaves["sums"]["count"]).all()
    check_details(reasons, rows)
    owners = {int(guest) for found in (reasons, rows) for guest in found["key"]["guest"]}
    assert owners <= set(snapshot.guests)
    assert snapshot.exits >= counted(snapshot)
