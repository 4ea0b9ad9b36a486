# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat --json` and `--csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.cli.stat.csv_rows import csv_lines
from kvmlog.ring.records import NO_VCPU
from kvmlog.ring.statistics.reader import DETAIL_EXACT, DETAIL_OTHER, By, Row
from kvmlog.stat.query import Query
from kvmlog.stat.serialize import report_object
from tests.support import statistics_rows as make
from tests.support.statistics_rows import HLT, Made, row

GUESTS = {1: make.guest(1, 4_242, exits=7)}
UUID = "6f5c2d10-0f4e-4b0c-9f6b-1f2f3a4b5c6d"
KNOWN = [make.named(4_242, "web1", uuid=UUID)]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    yield from make.utc(monkeypatch)


def reported(
    folder: Path, rows: list[Row], query: Query | None = None, **account: int
) -> dict[str, Any]:
    """The object as it comes out of the JSON text."""
    made = Made(rows, GUESTS, **account)  # type: ignore[arg-type]
    found: dict[str, Any] = json.loads(
        json.dumps(report_object(make.reported(folder, made, query, KNOWN)))
    )
    return found


def test_json_of_a_group(tmp_path: Path) -> None:
    """Numbers as they are, names beside them."""
    one = row(guest=1, count=4, total_ns=9_000, vmm_ns=6_000, idle_ns=1, min_ns=5, max_ns=8_000)
    found = reported(tmp_path, [one._replace(p50_ns=3_000, p999_ns=8_000)])
    assert found["rows"] == [
        {
            "guest": "web1",
            "guest_id": 1,
            "isa": 2,
            "isa_name": "svm",
            "reason": 0x7B,
            "reason_name": "io",
            "nested": False,
            "handled_by": None,
            "halt": False,
            "count": 4,
            "total_ns": 9_000,
            "min_ns": 5,
            "max_ns": 8_000,
            "kvm_ns": 2_999,
            "vmm_ns": 6_000,
            "wait_ns": 0,
            "idle_ns": 1,
            "paused_ns": 0,
            "p50_ns": 3_000,
            "p90_ns": 0,
            "p99_ns": 0,
            "p999_ns": 8_000,
            "rough": False,
            "share": 1.0,
        }
    ]


def test_json_of_the_account(tmp_path: Path) -> None:
    """Since when, whose, and what is in no group."""
    found = reported(tmp_path, [], exits=9, overflow=1, forgotten=1, torn=2)
    assert found.pop("rows") == []
    assert found == {
        "statistics_id": "0c" * 16,
        "since": "2026-11-20T19:46:02.000000000+00:00",
        "until": "2026-11-20T19:46:03.000000000+00:00",
        "since_realtime_ns": make.SINCE_NS,
        "since_utc_offset_s": 0,
        "until_realtime_ns": make.SINCE_NS + make.SECOND,
        "until_utc_offset_s": 0,
        "age_s": 0.25,
        "by": ["guest", "reason"],
        "guests": [
            {
                "id": 1,
                "name": "web1",
                "uuid": UUID,
                "pid": 4_242,
                "comm": "qemu-system-x86",
                "number": 1,
                "isa_name": "svm",
                "start_boottime_ns": 4_242 * make.SECOND,
                "exits": 7,
                "running": True,
                "ended_realtime_ns": None,
            }
        ],
        "rows_left_out": 0,
        "exits": 9,
        "overflow": 1,
        "overflow_rows": 0,
        "overflow_histogram": 0,
        "torn": 2,
        "forgotten": 1,
        "lost_records": 0,
    }


def test_json_halts_are_rows_without_a_share(tmp_path: Path) -> None:
    """Unless they were asked for."""
    rows = [row(guest=1, reason=HLT, halt=True, idle_ns=900), row(guest=1)]
    assert [(one["halt"], one["share"]) for one in reported(tmp_path, rows)["rows"]] == [
        (False, 1.0),
        (True, None),
    ]
    found = reported(tmp_path, rows, Query(halts=True))["rows"]
    assert [one["share"] for one in found] == [0.5, 0.5]


def test_json_by_return_has_no_figures_that_are_not_kept(tmp_path: Path) -> None:
    """A zero is a counted zero."""
    rows = [row(user_reason=2, vmm_ns=400, total_ns=1_000), row(total_ns=500)]
    assert reported(tmp_path, rows, Query(By.RETURN, sort="vmm"))["rows"] == [
        {
            "user_reason": 2,
            "user_reason_name": "KVM_EXIT_IO",
            "nested": False,
            "handled_by": None,
            "halt": False,
            "count": 1,
            "total_ns": 1_000,
            "vmm_ns": 400,
            "paused_ns": 0,
            "share": 1.0,
        },
        {
            "user_reason": None,
            "user_reason_name": None,
            "nested": False,
            "handled_by": None,
            "halt": False,
            "count": 1,
            "total_ns": 500,
            "vmm_ns": 0,
            "paused_ns": 0,
            "share": 0.0,
        },
    ]


def test_json_by_detail_and_vcpu(tmp_path: Path) -> None:
    """A missing detail or vCPU is null."""
    by = Query(By.REASON | By.DETAIL)
    rows = [
        row(detail=0x3F8, detail_kind=DETAIL_EXACT, total_ns=3),
        row(detail_kind=DETAIL_OTHER, total_ns=2),
        row(total_ns=1),
    ]
    fields = ("detail", "detail_hex", "detail_kind", "detail_words")
    assert [tuple(one[f] for f in fields) for one in reported(tmp_path, rows, by)["rows"]] == [
        (0x3F8, "0x3f8", "exact", "port 0x3f8 (com1)"),
        (None, None, "other", "other"),
        (None, None, "none", None),
    ]
    rows = [row(vcpu=3, total_ns=2), row(vcpu=NO_VCPU, total_ns=1)]
    assert [one["vcpu"] for one in reported(tmp_path, rows, Query(By.VCPU))["rows"]] == [3, None]


def test_json_times_add_up(tmp_path: Path) -> None:
    """The parts of the time of each group add up to its total, without rest."""
    rows = [row(guest=1, total_ns=99, vmm_ns=1, wait_ns=2, idle_ns=3, paused_ns=4)]
    (one,) = reported(tmp_path, rows)["rows"]
    parts = ("kvm_ns", "vmm_ns", "wait_ns", "idle_ns", "paused_ns")
    assert sum(one[part] for part in parts) == one["total_ns"] == 99


def test_csv(tmp_path: Path) -> None:
    """A header, a line per group, raw ns, truths as 1 and 0, names quoted where they must be."""
    known = [make.named(4_242, 'a,"b"')]
    rows = [row(guest=1, total_ns=9, vmm_ns=6), row(guest=1, reason=HLT, halt=True)]
    made = make.reported(tmp_path, Made(rows, GUESTS), None, known)
    header, *lines = csv_lines(made)
    assert header == (
        "since_realtime_ns,until_realtime_ns,guest,guest_id,isa,isa_name,reason,reason_name,"
        "nested,handled_by,halt,count,total_ns,min_ns,max_ns,kvm_ns,vmm_ns,wait_ns,idle_ns,paused_ns,"
        "p50_ns,p90_ns,p99_ns,p999_ns,rough,share,since,until"
    )
    span = f"{make.SINCE_NS},{make.SINCE_NS + make.SECOND}"
    text = "2026-11-20T19:46:02.000000000+00:00,2026-11-20T19:46:03.000000000+00:00"
    assert lines == [
        f'{span},"a,""b""",1,2,svm,123,io,0,,0,1,9,0,0,3,6,0,0,0,0,0,0,0,0,1.0,{text}',
        f'{span},"a,""b""",1,2,svm,120,hlt,0,,1,1,1000,0,0,1000,0,0,0,0,0,0,0,0,0,,{text}',
    ]
    assert next(csv.reader(lines))[2] == 'a,"b"'


@pytest.mark.parametrize(
    "by", [By.GUEST, By.VCPU, By.REASON | By.DETAIL, By.GUEST | By.RETURN, Query().by]
)
def test_csv_has_the_columns_of_the_json(tmp_path: Path, by: By) -> None:
    """Whatever the groups are by; with -i the header stands there once."""
    made = make.reported(tmp_path, Made([row(guest=1)], GUESTS), Query(by))
    header, line = csv.reader(csv_lines(made))
    (one,) = report_object(made)["rows"]
    assert header[2:-2] == list(one)
    assert len(line) == len(header)
    assert list(csv.reader(csv_lines(made, header=False))) == [line]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "'quoted"])
def test_csv_of_a_guest_named_like_a_formula(tmp_path: Path, name: str) -> None:
    """A spreadsheet shows the name; a program that takes one apostrophe off has it as it was."""
    made = make.reported(
        tmp_path, Made([row(guest=1, total_ns=9)], GUESTS), None, [make.named(4_242, name)]
    )
    header, line = csv.reader(csv_lines(made))
    assert line[header.index("guest")] == f"'{made.lines[0].guest}"
    assert line[header.index("total_ns")] == "9"


def test_json_details_keep_all_bits(tmp_path: Path) -> None:
    """Where JSON's numbers are doubles, a hypercall number and an address have their text."""
    number = 2**64 - 3
    query = Query(By.REASON | By.DETAIL)
    made = Made([row(detail=number, detail_kind=DETAIL_EXACT)], GUESTS)
    text = json.dumps(report_object(make.reported(tmp_path, made, query, KNOWN)))
    (one,) = json.loads(text, parse_int=float)["rows"]
    assert one["detail"] != number
    assert int(one["detail_hex"], 16) == number
