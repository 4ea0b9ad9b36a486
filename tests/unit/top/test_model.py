# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen shows, computed of reports made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from kvmlog.guests.model import Guest
from kvmlog.ring.statistics.reader import HANDLER_L0
from kvmlog.stat.query import Query
from kvmlog.stat.report import Report
from kvmlog.top.model import columns, pictures
from kvmlog.top.model.groups import ALL, Group, groups_of
from kvmlog.top.model.health import Status, health_of
from kvmlog.top.model.history import History, Moment
from kvmlog.top.model.listing import Kept, Order, arranged, matches
from kvmlog.top.model.pictures import ASCII, BLOCKS
from kvmlog.top.model.scope import ROOT, UNCOUNTED, GuestKey, Level, ReasonKey, Scope
from kvmlog.top.view.cells import fit, fit_line, joined
from kvmlog.top.view.head import Facts, head_lines
from kvmlog.top.view.switching import Command, menu_of, word_of
from tests.support import statistics_rows as make
from tests.support.statistics_rows import HLT, IO, NPF, Made, octaves_of, row

GUESTS = {1: make.guest(1, 4_242, exits=50), 2: make.guest(2, 4_243, exits=60)}
KNOWN = [make.named(4_242, "web1"), make.named(4_243, "web2")]
IDLE = make.named(4_250, "idle")
ROWS = [
    row(guest=1, count=30, total_ns=6_000_000, vmm_ns=4_500_000, max_ns=900_000, p99_ns=800_000),
    row(guest=1, count=10, total_ns=2_000_000, max_ns=1_500_000, nested=True, handler=HANDLER_L0),
    row(guest=1, reason=HLT, halt=True, count=10, total_ns=90_000_000, idle_ns=80_000_000),
    row(guest=2, count=60, total_ns=4_000_000, max_ns=100_000),
]
ONE = Scope(Level.VCPUS, GuestKey(1, 4_242), "web1")


def reported(folder: Path, rows: list[Any], known: list[Guest] | None = None) -> Report:
    """A report of one second."""
    query = Query(octaves=True)
    return make.reported(folder, Made(rows, GUESTS), query, KNOWN if known is None else known)


def by_name(groups: list[Group]) -> dict[str, Group]:
    """The groups by their names."""
    return {one.name: one for one in groups}


def cells(group: Group) -> dict[str, str]:
    """Title -> text of all columns of guests."""
    shown = columns.columns_of(Level.GUESTS, 300, 10)
    return {one.title: one.cell(group) for one in shown}


def test_guests_are_a_line_each(tmp_path: Path) -> None:
    """Nested exits are joined with the others, halts are counted apart, idle guests are there."""
    found = by_name(groups_of(ROOT, reported(tmp_path, ROWS), [*KNOWN, IDLE]))
    assert list(found) == ["all", "web1", "web2", "idle"]
    web1 = found["web1"]
    assert (web1.exits_per_s, web1.halts_per_s, web1.ns_per_s) == (40, 10, 8_000_000)
    assert web1.line.row.rough
    assert found["idle"].guest_key == GuestKey(UNCOUNTED, 4_250)
    assert found["all"].exits_per_s == 100
    assert cells(web1) | {"NOTE": ""} == {
        "GUESTS": "web1",
        "EXITS/s": "40",
        "TIME/s": "8.00ms",
        "SHARE": "66.7%",
        "MEAN": "200us",
        "P50": "<262us",
        "P99": "<262us",
        "P99.9": "<262us",
        "MAX": "1.50ms",
        "KVM": "43.8%",
        "VMM": "56.3%",
        "WAIT": "",
        "WHO": "KKKKKVVVVVVV",
        "HALTS/s": "10",
        "NOTE": "",
    }
    assert set(cells(found["idle"]).values()) == {"idle", ""}


def test_a_guest_that_has_ended_is_noted(tmp_path: Path) -> None:
    """It is in no roster any more."""
    gone = make.named(4_242, "web1", ended_realtime_ns=make.SINCE_NS)
    found = groups_of(ROOT, reported(tmp_path, ROWS, [gone, KNOWN[1]]), [KNOWN[1]])
    assert {one.name: one.note for one in found}["web1:4242"] == "ended"


def test_guests_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Their pids tell them apart, as in all other commands."""
    twins = [make.named(7, "twin"), make.named(8, "twin")]
    found = groups_of(ROOT, reported(tmp_path, []), twins)
    assert [one.name for one in found][-2:] == ["twin:7", "twin:8"]


def test_vcpus_reasons_and_details(tmp_path: Path) -> None:
    """Shares are of what the table shows, and a vCPU's table has its own exits only."""
    rows = [
        row(guest=1, vcpu=0, count=3, total_ns=3_000),
        row(guest=1, vcpu=1, count=1, total_ns=1_000),
        row(guest=1, vcpu=1, reason=NPF, count=1, total_ns=1_000),
        row(guest=1, vcpu=1, reason=HLT, halt=True, count=1, total_ns=9_000),
    ]
    report = reported(tmp_path, rows)
    vcpus = by_name(groups_of(ONE, report))
    assert list(vcpus) == ["all vCPUs", "vCPU 0", "vCPU 1"]
    assert (vcpus["vCPU 1"].line.row.count, vcpus["vCPU 1"].halts) == (2, 1)
    reasons = by_name(groups_of(ONE.of_vcpu(1), report))
    assert set(reasons) == {"io", "npf", "hlt"}
    assert cells(reasons["npf"])["SHARE"] == "50.0%"
    assert (cells(reasons["hlt"])["SHARE"], reasons["hlt"].note) == ("", "halt")
    reason = reasons["npf"].reason
    assert reason is not None
    details = ONE.of_vcpu(1).of_reason(reason)
    # Details are not counted by vCPU.
    assert details.path() == "guests > web1 > all vCPUs > npf"
    assert [one.line.row.reason for one in groups_of(details, report)] == [NPF]


def test_an_exit_without_a_reason_leads_nowhere(tmp_path: Path) -> None:
    """Where KVM tells only returns."""
    bare = row(guest=1, isa=0, reason=0, total_ns=0, count=4)
    (group,) = groups_of(Scope(Level.REASONS), reported(tmp_path, [bare]))
    assert (group.name, group.reason) == ("(no reason)", None)


def test_order_and_filter(tmp_path: Path) -> None:
    """All together first, halts last; equals by name; UUIDs and pids are found."""
    roster = [*KNOWN, make.named(9, "Web3", uuid="c0ffee00-0000-4000-8000-000000000001")]
    groups = groups_of(ROOT, reported(tmp_path, ROWS), roster)
    names = [one.name for one in arranged(groups, Order("exits"))]
    assert names == ["all", "web2", "web1", "Web3"]
    assert [one.name for one in arranged(groups, Order("name", True))][1:] == [
        "Web3",
        "web2",
        "web1",
    ]
    assert [one.name for one in arranged(groups, Order(), "C0FFEE")] == ["all", "Web3"]
    assert [one.name for one in groups if matches(one, "4243")] == ["web2"]
    reasons = groups_of(Scope(Level.REASONS), reported(tmp_path, ROWS))
    assert [one.line.row.reason for one in arranged(reasons, Order())][-1] == HLT


def test_lines_do_not_flicker(tmp_path: Path) -> None:
    """A reason without exits in this second stays, with nothing in it."""
    kept, scope = Kept(Level.REASONS), Scope(Level.REASONS)
    kept.filled(groups_of(scope, reported(tmp_path, ROWS)))
    now = kept.filled(groups_of(scope, reported(tmp_path, ROWS[:1])))
    assert [(one.name, one.line.row.count) for one in now if one.name == "hlt"] == [("hlt", 0)]
    assert len(now) == len(ROWS) - 1


def test_history_of_a_line_has_gaps(tmp_path: Path) -> None:
    """A line that is not there had nothing; it is forgotten in the end, and with its table."""
    history, groups = History(), groups_of(ROOT, reported(tmp_path, ROWS))
    history.add(ROOT, groups)
    history.add(ROOT, groups[:1])
    key = groups[1].key
    assert [one.exits_per_s for one in history.of(ROOT, key)] == [40, 0]
    for _ in range(40):
        history.add(ROOT, groups[:1])
    assert history.of(ROOT, key) == []
    history.forget([])
    assert history.of(ROOT, ALL) == []


@pytest.mark.parametrize("width", [1, 10, 20, 40, 80, 140, 300])
@pytest.mark.parametrize("level", list(Level))
def test_columns_fit(level: Level, width: int) -> None:
    """Whatever the width, the name stays, and the line is no longer than the terminal."""
    for longest in (1, 8, 60):
        found = columns.columns_of(level, width, longest)
        assert found[0].name == "name"
        assert sum(one.width + 1 for one in found) - 1 <= width
    if width == 300:
        assert len(found) == len([one for one in columns.COLUMNS if level in one.levels]) + 1


def test_bars_have_all_parts(tmp_path: Path) -> None:
    """Rounding loses no cell."""
    parts = {"vmm_ns": 300, "wait_ns": 250, "idle_ns": 50, "paused_ns": 200}
    group = groups_of(ROOT, reported(tmp_path, [row(guest=1, total_ns=1_000, **parts)]))[0]
    assert columns.bar_letters(group) == "KKVVVVWWWIPP"


def text(lines: list[pictures.TextLine]) -> list[str]:
    """Lines without styles."""
    return ["".join(piece for piece, _ in line).rstrip() for line in lines]


def test_pictures(tmp_path: Path) -> None:
    """Bars and cells stand for the figures beside them, at any height."""
    counts = octaves_of({1_500: 10, 3_000: 1_000, 9_000: 5})
    assert text(pictures.histogram(counts, 26, 10, ASCII)) == [
        " 1.02us      10 #",
        " 2.05us    1.0K ##########",
        " 4.10us       -",
        " 8.19us       5 #",
    ]
    assert text(pictures.histogram(counts, 26, 2, ASCII)) == [
        " 1.02us    1.0K ##########",
        " 4.10us       5 #",
    ]
    moments = [Moment(5.0, octaves_of({1_500: 9})), Moment(10.0, counts)]
    assert text(pictures.heat(moments, 12, 10, ASCII)) == [
        " 8.19us    .",
        " 4.10us",
        " 2.05us    *",
        " 1.02us   .:",
    ]
    assert pictures.sparkline(moments, 4, BLOCKS) == "  ▅█"
    assert pictures.sparkline([], 4, BLOCKS) == "    "
    assert pictures.heat([], 12, 10, ASCII) == []
    assert pictures.heat(moments, 12, 0, ASCII) == []


def test_names_cannot_harm_the_screen() -> None:
    """Escapes are shown, wide characters cut between cells, lines always of the width."""
    assert fit("a\x1b[2Jb", 12) == r"a\x1b[2Jb   "
    assert fit("数据库", 4) == "数 …"
    assert cell_len(fit("数据库", 1)) == 1
    for cells_wide in range(1, 12):
        line = fit_line([("数据", "a"), ("\n库x", "b")], cells_wide)
        assert sum(cell_len(one) for one, _ in line) == cells_wide
    assert text([joined([[("one", "")], [("three", "")], [("x", "")]], 6)]) == ["one  x"]


BUDGET = {
    "limit_percent": 2,
    "percent": 0.314,
    "cpus": 8,
    "one_cpu_percent": 2.51,
    "span_s": 10.0,
    "stopped": None,
}


def status(**bridge: Any) -> Status:
    """The bridge's answer, without a ring."""
    return Status({"state": "on", "budget": BUDGET, **bridge}, None, None, "no ring; start it")


def test_health_in_words() -> None:
    """What is traced and until when, the cost, and the first thing that is wrong."""
    chosen = {"vm": ["web1", "db2"], "tgids": 2}
    recorded = {"one_in": 10, "on_ms": 0, "off_ms": 0, "max_per_s": None}
    found = health_of(status(filter=chosen, lease_s=252, sampling=recorded))
    assert found.tracing == "on, web1, db2, off in 4m12s"
    assert found.cost == "cost 2.5% of a CPU, 0.31% of all 8 (budget 2%)"
    assert (found.cost_short, found.lost, found.problem) == ("0.31/2%", "?", "no ring; start it")
    assert found.sampling.one_in == 10
    stopped = health_of(
        status(state="off", budget={**BUDGET, "stopped": "tracing was switched off"})
    )
    assert (stopped.tracing, stopped.problem) == ("off", "tracing was switched off")
    unknown = health_of(Status(None, "no bridge is running; start it", None, None))
    assert (unknown.on, unknown.tracing, unknown.cost_short) == (None, "not known", "?")
    assert unknown.problem == "no bridge is running; start it"


@pytest.mark.parametrize("width", [20, 59, 60, 80, 100, 200])
def test_losses_cost_and_budget_are_always_there(width: int) -> None:
    """However narrow."""
    facts = Facts("host", "every 1s", 12_345.0, [], health_of(status()), "a problem", "")
    lines = text(head_lines(facts, width, 24, BLOCKS))
    whole = "\n".join(lines)
    assert "12K" in whole
    assert "L?" in whole or "lost ?" in whole
    assert "0.31/2%" in whole or "0.31% of all 8 (budget 2%)" in whole
    assert whole.startswith("!12K/s") or "a problem" in whole


def test_the_menu_keeps_the_other_guests() -> None:
    """A command replaces what was chosen before, so that it names the others again."""
    web1 = make.named(1, "web1", uuid="c0ffee00-0000-4000-8000-000000000001")
    bare = Guest(7, 700, "qemu", "qemu", "qemu:7", False)
    assert (word_of(web1), word_of(bare), word_of(KNOWN[0])) == (web1.uuid, "7", "web1")

    def commands(guest: Guest | None, vm: list[str] | None) -> list[tuple[str, Command]]:
        chosen = None if vm is None else {"vm": vm}
        menu = menu_of(health_of(status(filter=chosen)), guest, "web1")
        return [(one.words, one.command) for one in menu.choices]

    every = [
        ("trace all guests", Command(True)),
        ("switch tracing off, for all guests", Command(False)),
    ]
    only = ("trace only web1", Command(True, (str(web1.uuid),)))
    assert commands(None, None) == every
    assert commands(web1, None) == [only, *every]
    assert commands(web1, ["db2"]) == [
        ("trace web1 too", Command(True, ("db2", str(web1.uuid)))),
        only,
        *every,
    ]
    assert commands(web1, ["web1", "db2"]) == [
        ("no longer trace web1, only the others", Command(True, ("db2",))),
        only,
        *every,
    ]


def test_keys_of_reasons_keep_apart_what_the_statistics_do() -> None:
    """A nested exit and one of the guest itself are two lines."""
    assert ReasonKey.of(row(reason=IO)) != ReasonKey.of(row(reason=IO, nested=True))
