# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a recording: its figures are those of `kvmlog stat`, and its words are data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvmlog.analysis.report import assets, groups
from kvmlog.analysis.report.assets import digest
from kvmlog.analysis.report.document import document
from kvmlog.analysis.report.gather import gather
from kvmlog.cli import main
from kvmlog.guests.model import Guest
from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from tests.support import busy_host, recordings
from tests.support.records import loss_bytes
from tests.support.statistics_feed import exits

REAL = Path(__file__).parents[3] / "data" / "recordings" / "two-guests-boot.kvmlog"
INTEL = REAL.with_name("two-guests-boot-intel.kvmlog")
EVIL = '</script><script>alert("&1")</script><img src=x onerror=alert(2)>'
VOID = ("meta", "br", "img", "input")
# By figure of `kvmlog stat --json`: the columns of the page.
FIGURES = {
    "count": "Exits",
    "total_ns": "Time",
    "p50_ns": "P50",
    "p90_ns": "P90",
    "p99_ns": "P99",
    "p999_ns": "P99.9",
    "max_ns": "Max",
}


@dataclass(repr=False)
class Parsed(HTMLParser):
    """What a browser would make of a page: its tables, its scripts, its elements."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._table = ""
        self._titles: list[str] = []
        self._row: list[tuple[str, str | None]] | None = None
        self._raw: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.elements.append((tag, known))
        self.depth += tag not in VOID
        if tag == "table":
            self._table = known["id"] or ""
            self.tables[self._table] = []
            self._titles = []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th") and self._row is not None:
            self._row.append(("", known.get("data-v")))
        elif tag in ("script", "style"):
            self._raw = []

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1
        if tag == "tr" and self._row is not None:
            cells = self._row
            if not self._titles:
                self._titles = [text for text, _ in cells]
            else:
                row: dict[str, Any] = {}
                for title, (text, value) in zip(self._titles, cells, strict=True):
                    row[title] = text
                    if value is not None:
                        row[f"{title}="] = float(value)
                self.tables[self._table].append(row)
            self._row = None
        elif tag in ("script", "style") and self._raw is not None:
            content = "".join(self._raw)
            if tag == "script":
                self.scripts.append((self.elements[-1][1], content))
            else:
                self.styles.append(content)
            self._raw = None

    def handle_data(self, data: str) -> None:
        if self._raw is not None:
            self._raw.append(data)
            return
        self.text += data
        if self._row:
            text, value = self._row[-1]
            self._row[-1] = (text + data, value)

    def policy(self) -> str:
        """The Content-Security-Policy."""
        (found,) = [known["content"] for _, known in self.elements if "http-equiv" in known]
        return str(found)

    def data(self) -> dict[str, Any]:
        """What the scripts draw."""
        (found,) = [json.loads(text) for known, text in self.scripts if known.get("id") == "data"]
        return dict(found)


@pytest.fixture(scope="module")
def real() -> tuple[str, Parsed]:
    """The page of the real recording."""
    return page_of(REAL)


def page_of(path: Path, before: Path | None = None) -> tuple[str, Parsed]:
    """The page of a recording, and what a browser makes of it."""
    earlier = None
    if before is not None:
        with Recording(before) as recording:
            earlier = gather(recording)
    with Recording(path) as recording:
        text = document(gather(recording), earlier)
    parsed = Parsed()
    parsed.feed(text)
    parsed.close()
    # Each element that is opened is closed.
    assert parsed.depth == 0
    return text, parsed


def stat(path: Path, capsys: pytest.CaptureFixture[str], *by: str) -> list[dict[str, Any]]:
    """The rows of `kvmlog stat --from PATH --json`."""
    assert main.main(["stat", "--from", str(path), "--json", "--by", ",".join(by)]) == 0
    return list(json.loads(capsys.readouterr().out)["rows"])


@pytest.mark.parametrize(
    ("table", "by", "keys"),
    [
        ("guests", ("guest",), ("Guest",)),
        ("reasons", ("guest", "reason"), ("Guest", "Reason")),
        ("vcpus", ("guest", "vcpu"), ("Guest", "vCPU=")),
        ("details", ("guest", "reason", "detail"), ("Guest", "Reason", "Detail")),
    ],
)
def test_tables_are_those_of_stat(
    table: str,
    by: tuple[str, ...],
    keys: tuple[str, ...],
    real: tuple[str, Parsed],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Counts, sums, shares and percentiles of a real recording, to the last digit."""
    names = {"guest": "guest", "vcpu": "vcpu", "reason": "reason_name", "detail": "detail_words"}
    expected = stat(REAL, capsys, *by)
    _, page = real
    found = page.tables[f"{table}-table"]
    assert len(found) == len(expected) <= groups.ROWS_MOST

    def of_stat(row: dict[str, Any]) -> tuple[Any, ...]:
        figures = [row[name] for name in FIGURES]
        return (*(row[names[one]] or "" for one in by if one != "vcpu"), *figures)

    def of_page(row: dict[str, Any]) -> tuple[Any, ...]:
        figures = [row[f"{title}="] for title in FIGURES.values()]
        return (*(row[one] for one in keys if one != "vCPU="), *figures)

    assert sorted(map(of_page, found)) == sorted(map(of_stat, expected))
    shares = sorted(round(row["share"], 9) for row in expected if row["share"] is not None)
    assert sorted(round(row["Share="], 9) for row in found if "Share=" in row) == shares


def test_returns_and_places_are_those_of_stat(
    real: tuple[str, Parsed], capsys: pytest.CaptureFixture[str]
) -> None:
    """Time in the VMM by KVM_EXIT_*, and all ports together."""
    _, page = real
    expected = {
        (row["guest"], row["user_reason_name"], row["count"], row["vmm_ns"])
        for row in stat(REAL, capsys, "guest", "return")
        if row["user_reason_name"]
    }
    found = {
        (row["Guest"], row["Return"], row["Exits="], row["In VMM="])
        for row in page.tables["returns-table"]
        if row["Return"].startswith("KVM_EXIT")
    }
    assert found == expected
    assert found
    ports = [row for row in stat(REAL, capsys, "reason", "detail") if row["reason_name"] == "io"]
    shown = page.tables["places-port-table"]
    shown_exits = sum(row["Exits="] for row in shown)
    assert shown_exits == sum(row["count"] for row in ports if row["detail_words"])


def test_devices_of_an_intel_host_are_places() -> None:
    """Accesses to them have their addresses, each a known number of times."""
    _, page = page_of(INTEL)
    assert {
        row["Detail"]: row["Exits="]
        for row in page.tables["places-gpa-table"]
        if row["Reason"] == "EPT_MISCONFIG"
    } == {
        "gpa 0xfec00000-0xfec00fff (ioapic)": 1_328,
        "gpa 0xfed00000-0xfed003ff (hpet)": 206,
    }


def test_the_drawn_figures_add_up_to_the_tables(real: tuple[str, Parsed]) -> None:
    """Heat map, intervals, icicle, bars and time line of the same exits."""
    _, page = real
    data = page.data()
    rows = page.tables["reasons-table"]
    exits_in_all = sum(row["Exits="] for row in rows)
    worked = sum(row["Exits="] for row in rows if "halt" not in row.get("Note", ""))
    time = sum(row["Time="] for row in rows if "halt" not in row.get("Note", ""))
    assert sum(cell[2] for cell in data["heat"]["maps"][0]["cells"]) == worked
    intervals = page.tables["intervals-table"]
    assert sum(row["Exits="] for row in intervals) == exits_in_all
    assert sum(row["Without halts="] for row in intervals) == worked
    assert max(row["Max="] for row in intervals) == max(row["Max="] for row in rows)
    assert data["icicle"]["ns"] == time
    assert sum(sum(one["ns"]) for one in data["parts"]["reasons"]) == pytest.approx(time, rel=0.01)
    assert data["timeline"]["exits"] == data["timeline"]["recorded"] == exits_in_all
    assert sum(track["exits"] for track in data["timeline"]["tracks"]) == exits_in_all


def test_names_of_guests_are_data(tmp_path: Path) -> None:
    """A VM named </script> adds no element, no script, and keeps its name."""
    known: list[Guest] = [recordings.guest(1, EVIL), recordings.guest(2, "{{ 7 * 7 }}")]
    path = recordings.write(tmp_path / "evil.kvmlog", busy_host.exits(500, number=2), guests=known)
    plain = recordings.write(tmp_path / "plain.kvmlog", busy_host.exits(500, number=2))
    _, page = page_of(path)
    _, other = page_of(plain)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in other.elements]
    assert {row["Guest"] for row in page.tables["guests-table"]} == {EVIL, "{{ 7 * 7 }}"}
    assert EVIL in {track["guest"] for track in page.data()["timeline"]["tracks"]}


def test_nothing_comes_from_outside(real: tuple[str, Parsed]) -> None:
    """The policy allows the page's own scripts and style; no element names an address."""
    text, page = real
    policy = page.policy()
    own = [content for known, content in page.scripts if "type" not in known]
    assert len(own) == 2
    for content in (*own, *page.styles):
        assert digest(content) in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for _, known in page.elements:
        for name in ("src", "href", "style", "action", "data"):
            assert not known.get(name) or str(known[name]).startswith("#"), known
        assert not [name for name in known if name.startswith("on")]
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket)\(", assets.scripts())
    assert len(text) < 10_000_000


def test_losses_and_events_are_told(tmp_path: Path) -> None:
    """How many records, where they were lost, and what else happened."""
    path = busy_host.recording(tmp_path / "lost.kvmlog", 400, lost=1_234)
    _, page = page_of(path)
    assert "1,234 records did not reach the recording." in page.text
    told = [row["Event"] for row in page.tables["events-table"]]
    assert "LOST 1,234 records on CPU 3: the source's buffers were full" in " ".join(told)
    assert any("is web1" in one for one in told)
    clean = page_of(busy_host.recording(tmp_path / "clean.kvmlog", 400))[1]
    assert "No record was lost on the way into the recording." in clean.text


def test_losses_of_unknown_size_are_told(tmp_path: Path) -> None:
    """A bridge that ended without stopping, and messages that did not arrive."""
    lost = loss_bytes(ns=recordings.STARTED_NS, cause=lib.KVMLOG_LOSS_RESTART)
    lost += loss_bytes(ns=recordings.STARTED_NS, cause=lib.KVMLOG_LOSS_MESSAGE, lost=3)
    raw = lost + busy_host.exits(50).tobytes()
    _, page = page_of(recordings.write(tmp_path / "unknown.kvmlog", raw))
    assert "the source lost 0 records, and 3 messages, and 1 time an unknown number" in page.text


def test_a_recording_that_was_cut_says_so(tmp_path: Path) -> None:
    """All that came before the cut is there."""
    path = busy_host.recording(tmp_path / "cut.kvmlog", 900, ended=False)
    _, page = page_of(path)
    assert "Incomplete:" in page.text
    assert "was not ended in order" in page.text
    assert sum(row["Exits="] for row in page.tables["guests-table"]) == 900
    ended = page_of(busy_host.recording(tmp_path / "whole.kvmlog", 900))[1]
    assert "Incomplete:" not in ended.text


def test_a_recording_without_exits_is_a_page(tmp_path: Path) -> None:
    """It says that there is none, and where it was recorded."""
    path = recordings.write(tmp_path / "empty.kvmlog", b"")
    _, page = page_of(path)
    assert "There is no exit in the recording." in page.text
    assert "host1" in page.text
    assert "reasons-table" not in page.tables


def test_outliers_come_with_what_surrounds_them(tmp_path: Path) -> None:
    """The longest exit first; five exits of its vCPU before it, five after it."""
    records = busy_host.exits(2_000, number=1, vcpus=1)
    at = 1_000
    records["total_ns"][at] += 10**9
    records["user_ns"][at] += 10**9
    records["exit_ns"][at + 1 :] += np.uint64(10**9)
    path = busy_host.write(tmp_path / "slow.kvmlog", records, busy_host.guests(1))
    _, page = page_of(path)
    rows = page.tables["outlier-1-table"]
    assert [row["Exit at"].startswith("→") for row in rows] == [False] * 5 + [True] + [False] * 5
    assert rows[5]["Total="] == records["total_ns"][at]
    assert [row["Exit at="] for row in rows] == pytest.approx(records["exit_ns"][at - 5 : at + 6])


def test_exits_without_a_reason_are_shown(tmp_path: Path) -> None:
    """A KVM that shows only returns to the VMM has such ones."""
    records = exits(
        300,
        isa=lib.KVMLOG_ISA_NONE,
        flags=lib.KVMLOG_F_USER_REASON,
        user_reason=2,
        exit_ns=recordings.STARTED_NS + np.arange(300) * 1_000,
    )
    _, page = page_of(recordings.write(tmp_path / "returns.kvmlog", records))
    assert [row["Reason"] for row in page.tables["reasons-table"]] == ["-"]
    assert [row["Return"] for row in page.tables["returns-table"]] == ["KVM_EXIT_IO"]


def test_without_echarts_the_page_has_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that charts are missing, and runs no script."""
    monkeypatch.setattr(assets, "_ECHARTS", (tmp_path / "none.js",))
    _, page = page_of(busy_host.recording(tmp_path / "tables.kvmlog", 300))
    assert "made without Apache ECharts" in page.text
    assert page.scripts == []
    assert "script-src 'none'" in page.policy()
    assert page.tables["reasons-table"]


def test_two_recordings_say_what_changed(tmp_path: Path) -> None:
    """Per second, by guest and reason, in words, a table and bars; machine and totals of both."""
    before = busy_host.recording(tmp_path / "before.kvmlog", 3_000, host="old")
    after = busy_host.recording(tmp_path / "after.kvmlog", 3_000, busy=8.0, seed=2, host="new")
    _, page = page_of(after, before)
    (row,) = [
        row
        for row in page.tables["changes-table"]
        if (row["Guest"], row["Reason"]) == ("web1", "io")
    ]
    assert row["Time/s after="] > 2 * row["Time/s before="]
    assert "web1: io takes more time" in page.text
    assert {one["name"] for one in page.data()["changes"]} >= {"web1: io", "web2: io"}
    hosts = next(row for row in page.tables["compared-table"] if row["What"] == "Host")
    assert (hosts["First"], hosts["Second"], hosts["Note"]) == ("old", "new", "differs")


def test_equal_recordings_have_nothing_to_tell(tmp_path: Path) -> None:
    """No change is named where there is none."""
    path = busy_host.recording(tmp_path / "same.kvmlog", 1_000)
    _, page = page_of(path, path)
    assert "No reason of any guest takes noticeably more or less time than before." in page.text
    assert {row["Time change"] for row in page.tables["changes-table"]} == {"0 %"}


def test_guests_that_come_and_go_are_new_or_gone(tmp_path: Path) -> None:
    """A guest of one recording alone has no figures in the other."""
    records = busy_host.exits(3_000, number=2)
    one = records[records["guest"] == 1]
    other = records[records["guest"] == 2]
    known = busy_host.guests(2)
    before = busy_host.write(tmp_path / "one.kvmlog", one, known[:1])
    after = busy_host.write(tmp_path / "other.kvmlog", other, known[1:])
    _, page = page_of(after, before)
    assert "web2: io is new" in page.text
    assert "web1: io is gone" in page.text
    changed = {row["Guest"]: row["Time change"] for row in page.tables["changes-table"]}
    assert changed == {"web1": "gone", "web2": "new"}


def test_findings_name_the_guest_and_what_to_try(real: tuple[str, Parsed]) -> None:
    """The rules of `kvmlog why` on a real recording, each guest's once."""
    _, page = real
    headlines = re.findall(r"(\w+): It is ready to run but gets no CPU", page.text)
    assert sorted(headlines) == ["db1", "web1"]
    assert "virsh vcpupin" in page.text
    assert "is not known" not in page.text
