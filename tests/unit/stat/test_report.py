# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups that `kvmlog stat` shows, their order and guests, and the whole of each share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kvmlog.guests.names import GuestError
from kvmlog.ring.statistics.reader import By, Row
from kvmlog.stat.names import StatisticsNames
from kvmlog.stat.query import Query
from kvmlog.stat.report import report
from tests.support import statistics_rows as make
from tests.support.statistics_rows import HLT, IO, NPF, Made, row

GUESTS = {1: make.guest(1, 4_242, exits=50), 2: make.guest(2, 4_243, exits=60)}
ROWS = [
    row(guest=1, reason=IO, count=30, total_ns=6_000, max_ns=900),
    row(guest=1, reason=NPF, count=10, total_ns=2_000, max_ns=1_500),
    row(guest=1, reason=HLT, halt=True, count=10, total_ns=90_000, idle_ns=80_000),
    row(guest=2, reason=IO, count=60, total_ns=4_000, max_ns=100),
]


def shares(
    folder: Path, query: Query, rows: list[Row] | None = None
) -> list[tuple[int, int, float]]:
    """(guest, reason, share in percent) of the groups above the halts."""
    made = make.told(folder, Made(ROWS if rows is None else rows, GUESTS), query)
    return [(one.row.guest, one.row.reason, 100 * one.part_ns / one.whole_ns) for one in made.lines]


def test_shares_are_of_the_guest_without_halts(tmp_path: Path) -> None:
    """6 and 2 us of 8 us; the other guest's only group is all of its time."""
    assert shares(tmp_path, Query()) == [(1, IO, 75), (2, IO, 100), (1, NPF, 25)]


def test_shares_with_halts(tmp_path: Path) -> None:
    """Asked for, they are groups like all others."""
    found = shares(tmp_path, Query(halts=True))
    assert found[0] == (1, HLT, 100 * 90_000 / 98_000)
    assert sum(share for number, _, share in found if number == 1) == pytest.approx(100)


def test_shares_by_guest_alone_are_of_all(tmp_path: Path) -> None:
    """Within the guest each would be all."""
    rows = [row(guest=1, total_ns=8_000), row(guest=2, total_ns=24_000)]
    assert shares(tmp_path, Query(By.GUEST), rows) == [(2, IO, 75), (1, IO, 25)]


def test_shares_without_guests_are_of_all(tmp_path: Path) -> None:
    """Groups by reason have shares of the host's time."""
    rows = [row(reason=IO, total_ns=1_000), row(reason=NPF, total_ns=3_000)]
    assert shares(tmp_path, Query(By.REASON), rows) == [(0, NPF, 75), (0, IO, 25)]


def test_shares_by_return_are_of_the_time_in_the_vmm(tmp_path: Path) -> None:
    """The time in the VMM is the subject of such a table."""
    rows = [
        row(user_reason=2, total_ns=9_000, vmm_ns=1_000),
        row(user_reason=6, total_ns=4_000, vmm_ns=3_000),
    ]
    found = make.told(tmp_path, Made(rows, GUESTS), Query(By.RETURN, sort="vmm")).lines
    assert [(one.row.user_reason, one.part_ns, one.whole_ns) for one in found] == [
        (6, 3_000, 4_000),
        (2, 1_000, 4_000),
    ]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("count", [(2, IO), (1, IO), (1, NPF)]),
        ("total", [(1, IO), (2, IO), (1, NPF)]),
        ("max", [(1, NPF), (1, IO), (2, IO)]),
        ("mean", [(1, IO), (1, NPF), (2, IO)]),
        ("wait", [(1, IO), (1, NPF), (2, IO)]),  # all equal: by guest and reason
    ],
)
def test_sorting(tmp_path: Path, sort: str, expected: list[tuple[int, int]]) -> None:
    """The greatest first, equals in an order that does not change."""
    assert [found[:2] for found in shares(tmp_path, Query(sort=sort))] == expected


def test_top_leaves_out_groups_and_says_so(tmp_path: Path) -> None:
    """Shares stay what they are; halts are counted for themselves."""
    made = make.told(tmp_path, Made(ROWS, GUESTS), Query(top=1))
    assert [(one.row.guest, one.row.reason) for one in made.lines] == [(1, IO)]
    assert (made.lines[0].part_ns, made.lines[0].whole_ns) == (6_000, 8_000)
    assert [one.row.reason for one in made.halts] == [HLT]
    assert (made.left_out, made.shown_exits) == (2, 110)


def test_what_came_after_a_base(tmp_path: Path) -> None:
    """Counts of the account are differences; the rows are asked for with the base."""
    before = Made([], {1: make.guest(1, 4_242, exits=20)}, exits=100, overflow=1, forgotten=3)
    after = Made(ROWS, GUESTS, exits=190, overflow=3, forgotten=3, overflow_histogram=4)
    names = make.names(tmp_path, [], after)
    base = make.moment(before, 2, lost_records=5)
    found = report(make.moment(after, 3, lost_records=7), base, names, Query())
    assert after.asked == [(Query().by, before)]
    assert (found.exits, found.overflow, found.forgotten, found.lost_records) == (90, 2, 0, 2)
    assert found.overflow_histogram == 4
    assert [(one.label, one.exits) for one in found.guests] == [
        ("qemu-system-x86:4242", 30),
        ("qemu-system-x86:4243", 60),
    ]
    assert found.until_realtime_ns - found.since_realtime_ns == make.SECOND


@pytest.mark.parametrize("anew", [{"statistics_id": "0d" * 16}, {"since_ns": 6}])
def test_statistics_that_began_anew_are_shown_from_their_beginning(
    tmp_path: Path, anew: dict[str, object]
) -> None:
    """Nothing is subtracted after a reset, or in a new file."""
    before = Made([], GUESTS, exits=1_000)
    after = dataclasses.replace(Made(ROWS, GUESTS, exits=110), **anew)  # type: ignore[arg-type]
    names = make.names(tmp_path, [], after)
    found = report(make.moment(after), make.moment(before, 0.5), names, Query())
    assert after.asked == [(Query().by, None)]
    assert (found.exits, found.since_realtime_ns) == (110, make.SINCE_NS)


def test_guests_have_their_names(tmp_path: Path) -> None:
    """And what tells them apart where a name is not enough."""
    made = Made(
        [],
        {
            1: make.guest(1, 10),
            2: make.guest(2, 11),
            3: make.guest(3, 12),
            4: make.guest(4, 13),
            5: make.guest(5, 13),
            6: make.guest(6, 14),
            7: make.guest(7, 15),
            8: make.guest(8, 16),
            9: make.guest(9, 0, comm=""),
        },
    )
    known = [
        make.named(10, "web1"),
        make.named(11, "old", ended_realtime_ns=5),
        make.named(12, "old"),
        make.named(13, "two"),
        make.named(14, "same"),
        make.named(15, "same"),
    ]
    assert make.names(tmp_path, known, made).labels == {
        1: "web1",
        2: "old:11",
        3: "old",
        4: "two#4",
        5: "two#5",
        6: "same:14",
        7: "same:15",
        8: "qemu-system-x86:16",
        9: "#9",
    }


def chosen(names: StatisticsNames, *words: str) -> set[int]:
    """The ids that the words mean."""
    return set(names.matching(words))


def test_choosing_guests(tmp_path: Path) -> None:
    """A name, UUID, pid or label chooses, also a guest that only the statistics know.

    Nonsense is refused.
    """
    uuid = "6f5c2d10-0f4e-4b0c-9f6b-1f2f3a4b5c6d"
    made = Made([], {1: make.guest(1, 10), 2: make.guest(2, 11), 3: make.guest(3, 12)})
    known = [
        make.named(10, "web1", uuid=uuid),
        make.named(11, "web1", ended_realtime_ns=5),
        make.named(77, "idle"),
    ]
    names = make.names(tmp_path, known, made)
    assert chosen(names, "web1") == {1, 2}
    assert chosen(names, "web1:11") == {2}
    assert chosen(names, uuid.upper()) == {1}
    assert chosen(names, "12") == {3}
    assert chosen(names, "10", "qemu-system-x86:12") == {1, 3}
    assert chosen(names, "idle") == set()
    with pytest.raises(GuestError, match="web1"):
        chosen(names, "wbe1")


def test_a_guest_that_the_file_forgot_meanwhile(tmp_path: Path) -> None:
    """The words are looked up again at each interval of -i."""
    made = Made([], {1: make.guest(1, 10)})
    names = make.names(tmp_path, [make.named(10, "web1")], made)
    assert chosen(names, "web1") == {1}
    (tmp_path / "ring.guests").unlink()
    names.update(made.guests)
    assert chosen(names, "web1") == set()


def test_groups_of_chosen_guests(tmp_path: Path) -> None:
    """A chosen guest without exits is told too."""
    made = Made(ROWS, {**GUESTS, 3: make.guest(3, 4_244)}, exits=110)
    names = make.names(tmp_path, [], made)
    found = report(make.moment(made), None, names, Query(), guest_ids={2, 3})
    assert [one.row.guest for one in found.lines] == [2]
    assert [(one.statistics.id, one.exits) for one in found.guests] == [(2, 60), (3, 0)]
    assert (found.shown_exits, found.exits) == (60, 110)
