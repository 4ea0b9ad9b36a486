# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of `kvmlog stat`, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.cli.stat.tables import blocks
from kvmlog.cli.table import lines
from kvmlog.native import lib
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import DETAIL_EXACT, DETAIL_OTHER, DETAIL_REGION, By, Row
from kvmlog.stat.figures import share
from kvmlog.stat.query import Query
from kvmlog.stat.report import report
from kvmlog.stat.serialize import detail_words, report_object
from kvmlog.stat.words import NO_REASONS, missing
from tests.support import statistics_rows as make
from tests.support.statistics_rows import HLT, NPF, Made, row

GUESTS = {1: make.guest(1, 4_242), 2: make.guest(2, 4_243)}
KNOWN = [make.named(4_242, "web1")]
FULL = "the memory for statistics is full (kvmlog bridge --statistics-mib)"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    yield from make.utc(monkeypatch)


def shown(folder: Path, rows: list[Row], query: Query | None = None, **account: int) -> list[str]:
    """The lines on a pipe, with all figures."""
    made = Made(rows, GUESTS, **account)  # type: ignore[arg-type]
    return list(lines(blocks(make.reported(folder, made, query, KNOWN), ("wide",))))


def test_by_guest_and_reason(tmp_path: Path) -> None:
    """Groups, halts below, and who spent the time, in percent."""
    rows = [
        row(
            guest=1,
            count=3,
            total_ns=9_000,
            vmm_ns=6_000,
            wait_ns=900,
            min_ns=750,
            max_ns=9_999,
            p50_ns=3_000,
            p90_ns=5_000,
            p99_ns=7_500,
            p999_ns=9_000,
        ),
        row(guest=2, reason=NPF, nested=True, total_ns=1_000, max_ns=1_000),
        row(guest=1, reason=HLT, halt=True, count=2, total_ns=10**9, idle_ns=10**9 - 10**6),
    ]
    assert shown(tmp_path, rows) == [
        "2026-11-20 19:46:02 to 2026-11-20 19:46:03 (1.00s): 6 exits",
        "GUEST                 REASON          COUNT   TOTAL   SHARE    MEAN     MIN     P50"
        "     P90     P99   P99.9     MAX     KVM     VMM    WAIT    IDLE  PAUSED  NOTE",
        "web1                  io                  3  9.00us  100.0%  3.00us   750ns  3.00us"
        "  5.00us  7.50us  9.00us  10.0us   23.3%   66.7%   10.0%       -       -  -",
        "qemu-system-x86:4243  npf                 1  1.00us  100.0%  1.00us     0ns     0ns"
        "     0ns     0ns     0ns  1.00us  100.0%       -       -       -       -  nested",
        "halts, which are in no SHARE above:",
        "GUEST                 REASON          COUNT   TOTAL   SHARE    MEAN     MIN     P50"
        "     P90     P99   P99.9     MAX     KVM     VMM    WAIT    IDLE  PAUSED  NOTE",
        "web1                  hlt                 2   1.00s       -   500ms     0ns     0ns"
        "     0ns     0ns     0ns     0ns    0.1%       -       -   99.9%       -  -",
    ]


def test_halts_among_the_others(tmp_path: Path) -> None:
    """One table has them all with --halts, and a note marks each halt."""
    rows = [row(guest=1), row(guest=1, halt=True, reason=HLT, total_ns=3_000)]
    found = shown(tmp_path, rows, Query(halts=True))
    assert [line.split()[0::13] for line in found[1:]] == [
        ["GUEST", "VMM"],
        ["web1", "-"],
        ["web1", "-"],
    ]
    assert [line.split()[-1] for line in found[1:]] == ["NOTE", "halt", "-"]
    assert [line.split()[4] for line in found[1:]] == ["SHARE", "75.0%", "25.0%"]


def test_a_guest_that_ended_says_so(tmp_path: Path) -> None:
    """Each of its rows has a note; a table without guests has none, and JSON the time."""
    known = [make.named(4_242, "web1"), make.named(4_243, "old", ended_realtime_ns=make.SINCE_NS)]
    guests = {at: make.guest(at, 4_241 + at, exits=1) for at in (1, 2)}
    made = Made([row(guest=1), row(guest=2)], guests)
    found = make.reported(tmp_path, made, known=known)
    table = [line.split() for line in list(lines(blocks(found, None)))[1:]]
    assert [(line[0], line[-1]) for line in table] == [
        ("GUEST", "NOTE"),
        ("old:4243", "ended"),
        ("web1", "-"),
    ]
    told = [
        (one["name"], one["running"], one["ended_realtime_ns"])
        for one in report_object(found)["guests"]
    ]
    assert told == [
        ("web1", True, None),
        ("old:4243", False, make.SINCE_NS),
    ]
    by_reason = make.reported(tmp_path, made, Query(By.REASON), known)
    assert "NOTE" not in "".join(lines(blocks(by_reason, None)))


def test_by_vcpu_figures_are_rough(tmp_path: Path) -> None:
    """Percentiles are upper edges; a record without a vCPU has none."""
    rows = [
        row(vcpu=3, rough=True, p50_ns=4_095, total_ns=2_000),
        row(vcpu=NO_VCPU, rough=True, p50_ns=63),
    ]
    found = shown(tmp_path, rows, Query(By.VCPU))
    assert [line.split()[0:7:6] for line in found[1:]] == [
        ["VCPU", "P50"],
        ["3", "<4.10us"],
        ["-", "<63ns"],
    ]


def test_by_return(tmp_path: Path) -> None:
    """VMM time per KVM_EXIT_*; exits that KVM dealt with alone have no return."""
    rows = [
        row(user_reason=2, count=4, total_ns=9_000, vmm_ns=6_000),
        row(count=5, total_ns=5_000),
        row(user_reason=6, count=1, total_ns=4_000, vmm_ns=2_000, paused_ns=1_000),
    ]
    assert shown(tmp_path, rows, Query(By.RETURN, sort="vmm"))[1:] == [
        "RETURN             COUNT   TOTAL     VMM   SHARE    MEAN  PAUSED",
        "KVM_EXIT_IO            4  9.00us  6.00us   75.0%  1.50us       -",
        "KVM_EXIT_MMIO          1  4.00us  2.00us   25.0%  2.00us  1.00us",
        "-                      5  5.00us       -       -       -       -",
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"detail": 0x3F8, "detail_kind": DETAIL_EXACT}, "port 0x3f8 (com1)"),
        (
            {"reason": NPF, "detail": 0xC0000000, "detail_kind": DETAIL_REGION},
            "gpa 0xc0000000-0xffffffff",
        ),
        (
            {"reason": 0x72, "detail": 0x40000200, "detail_kind": DETAIL_REGION},
            "leaf 0x40000200-0x4fffffff",
        ),
        ({"reason": 0x81, "detail": 5, "detail_kind": DETAIL_EXACT}, "hypercall 5 (kick-cpu)"),
        # A nested guest's is one of its own hypervisor's.
        ({"reason": 0x81, "detail": 5, "detail_kind": DETAIL_EXACT, "nested": 1}, "hypercall 5"),
        ({"detail_kind": DETAIL_OTHER}, "other"),
        ({}, ""),
    ],
)
def test_details_in_words(fields: dict[str, int], expected: str) -> None:
    """One, a range, all others, none."""
    assert detail_words(row(**fields)) == expected


def test_by_detail_of_another_isa(tmp_path: Path) -> None:
    """Words are chosen by the group's ISA."""
    rows = [
        row(isa=lib.KVMLOG_ISA_VMX, reason=30, detail=0x70, detail_kind=DETAIL_EXACT, rough=True)
    ]
    found = shown(tmp_path, rows, Query(By.REASON | By.DETAIL))
    assert found[2].startswith("IO_INSTRUCTION  port 0x70 (")


def test_what_is_missing_stands_in_the_last_line(tmp_path: Path) -> None:
    """Each with its reason, and what to do; nothing where nothing is."""
    assert shown(tmp_path, [row(guest=1)])[-1].startswith("web1 ")
    found = shown(
        tmp_path, [row(guest=1)], overflow=1, forgotten=2_000, overflow_histogram=3, torn=1
    )
    assert found[-1] == (
        f"missing: 1 exit without a group: {FULL}; 3 exits in no percentile: {FULL}; "
        "1 group that the bridge left half written; restart it; "
        "2,000 exits of guests that ended and had to make room"
    )


def test_lost_records_are_told(tmp_path: Path) -> None:
    """Losses are told as far as the ring knows them."""
    made = Made([], GUESTS)
    names = make.names(tmp_path, [], made)
    found = report(make.moment(made, lost_records=7), None, names, Query())
    assert missing(found) == "missing: 7 records lost; kvmlog status"
    found = report(make.moment(made, lost_records=None), None, names, Query())
    assert missing(found) == ""


def test_missing_rows_matter_only_to_their_groups(tmp_path: Path) -> None:
    """Groups by guest and reason miss nothing."""
    assert len(shown(tmp_path, [row()], overflow_rows=5)) == 3
    found = shown(tmp_path, [row(rough=True)], Query(By.VCPU), overflow_rows=5)
    assert found[-1] == f"missing: 5 exits in groups by guest and reason only: {FULL}"


def test_no_exits_no_table(tmp_path: Path) -> None:
    """Only since when."""
    assert shown(tmp_path, []) == ["2026-11-20 19:46:02 to 2026-11-20 19:46:03 (1.00s): 0 exits"]


def test_groups_left_out_are_counted(tmp_path: Path) -> None:
    """The count stands behind the table."""
    found = shown(tmp_path, [row(guest=1), row(guest=2), row(reason=NPF)], Query(top=1))
    assert found[-1] == "and 2 groups more"


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (1, 3, "33.3%"),
        (2, 3, "66.7%"),
        (1, 2_000, "0.1%"),
        (1, 10_000, "0.0%"),
        (5, 5, "100.0%"),
        (0, 5, ""),
        (0, 0, ""),
    ],
)
def test_shares_are_rounded(part: int, whole: int, expected: str) -> None:
    """Shares are rounded to a tenth of a percent; a share of nothing is no figure."""
    assert share(part, whole) == expected


def test_by_reason_of_unknown_code(tmp_path: Path) -> None:
    """Shown as its number."""
    assert shown(tmp_path, [row(reason=0x3FF)], Query(By.REASON))[2].split()[0] == "0x3ff"


def test_exits_that_this_kvm_does_not_show(tmp_path: Path) -> None:
    """No reason, no times: nothing is shown as measured, and where to look is said."""
    rows = [row(guest=1, isa=lib.KVMLOG_ISA_NONE, reason=0, count=7, total_ns=0, kvm_ns=0)]
    text = shown(tmp_path, rows)
    assert text[2].split() == ["web1", "-", "7", *["-"] * 14]
    assert text[3] == NO_REASONS


def test_narrow_fits_80_cells(tmp_path: Path) -> None:
    """The names are such as clouds give, the reasons the longest of the common ones."""
    guests = {1: make.guest(1, 4_242)}
    rows = [
        row(guest=1, isa=lib.KVMLOG_ISA_VMX, reason=1, count=9_999_999, total_ns=999_000_000),
        row(guest=1, isa=lib.KVMLOG_ISA_VMX, reason=48, max_ns=12_345),
    ]
    named = [make.named(4_242, "instance-000012ab")]
    made = make.reported(tmp_path, Made(rows, guests), None, named)
    found = list(lines(blocks(made, ("narrow",))))
    assert found[1:] == [
        "GUEST              REASON                COUNT   TOTAL   SHARE    MEAN     MAX",
        "instance-000012ab  EXTERNAL_INTERRUPT  9999999   999ms  100.0%   100ns     0ns",
        "instance-000012ab  EPT_VIOLATION             1  1.00us    0.0%  1.00us  12.3us",
    ]
    assert max(map(len, found)) <= 80


@pytest.mark.parametrize(
    ("by", "names", "header"),
    [
        (By.REASON, ("p99", "min", "count"), "REASON         P99  MIN  COUNT"),
        (By.RETURN, ("vmm", "count"), "RETURN         VMM   COUNT"),
        (By.RETURN, ("narrow",), "RETURN         COUNT   TOTAL     VMM   SHARE    MEAN"),
    ],
)
def test_chosen_columns_in_their_order(
    tmp_path: Path, by: By, names: tuple[str, ...], header: str
) -> None:
    """What groups are by comes first, and nothing else than the figures chosen after it."""
    sort = "vmm" if by == By.RETURN else "total"
    made = make.reported(tmp_path, Made([row()], GUESTS), Query(by, sort), KNOWN)
    assert list(lines(blocks(made, names)))[1].split() == header.split()
