# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of `kvmlog report` in a real browser: drawn, reachable by keys, readable by all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.cli import main
from scripts.chromium import Browser, Page, browser
from tests.support import busy_host, recordings, scale

AXE = Path(__file__).parents[2] / "build" / "npm" / "axe.min.js"
EVIL = "</script><b>web</b>"
# Width, and whether the system is dark.
VIEWS = ((360, True), (1280, False), (2560, True), (360, False), (1280, True), (2560, False))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two recordings, with all of its sections."""
    folder = tmp_path_factory.mktemp("page")
    records = busy_host.exits(3_000, number=2, vcpus=2)
    known = [recordings.guest(1, EVIL), *busy_host.guests(2)[1:]]
    before = busy_host.recording(folder / "before.kvmlog", 2_000, number=2, vcpus=2, busy=3.0)
    after = busy_host.write(folder / "after.kvmlog", records, known, lost=17)
    path = folder / "page.html"
    assert main.main(["report", str(before), str(after), "-o", str(path)]) == 0
    return path


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """An empty tab."""
    found = Page(chromium)
    yield found
    found.close()


@pytest.fixture(scope="module")
def drawn(chromium: Browser, page_path: Path) -> Page:
    """A tab, 1,280 pixels wide, with the page drawn."""
    found = Page(chromium)
    found.resize(1_280, 900)
    found.open(page_path)
    return found


@pytest.fixture
def page(drawn: Page) -> Page:
    """The same tab in front of others: for tests that leave it as it was."""
    drawn.show()
    return drawn


def test_it_is_drawn_at_each_width_in_light_and_dark(tab: Page, page_path: Path) -> None:
    """Nothing on the console, nothing beyond the window, every chart with ink in it."""
    inked = """[...document.querySelectorAll('.chart')].map(chart => {
        const canvas = chart.querySelector('canvas');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size > 3;
    })"""
    for width, dark in VIEWS[: max(3, scale.PAGE_VIEWS)]:
        tab.resize(width, 900, dark=dark)
        tab.open(page_path)
        assert tab.complaints() == []
        assert tab.run("document.documentElement.scrollWidth") == width
        assert tab.run(inked) == [True] * 5
        paper = tab.run("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(18, 21, 27)" if dark else "rgb(255, 255, 255)")


def test_the_judge_of_accessibility_finds_nothing(tab: Page, page_path: Path) -> None:
    """axe-core's rules, contrast among them."""
    judged = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map("
    judged += "one => [one.id, one.nodes[0].html.slice(0, 200), one.nodes[0].failureSummary]))"
    for width, dark in VIEWS[: scale.PAGE_VIEWS]:
        tab.resize(width, 900, dark=dark)
        tab.open(page_path)
        tab.run(AXE.read_text(encoding="utf-8") + ";0")
        assert tab.run(judged) == []


def test_a_single_exit_is_found_by_keys_alone(page: Page) -> None:
    """Into the time line, the longest exit, into it, the next one, all again."""
    chosen = "document.getElementById('timeline-chosen').textContent"
    for _ in range(200):
        page.press("Tab")
        if page.run("document.activeElement.id") == "timeline-chart":
            break
    assert page.run("document.activeElement.id") == "timeline-chart"
    page.press("l")
    longest = page.run(chosen)
    headline = page.run("document.querySelector('#outliers ~ details summary').textContent")
    assert headline.split(":")[0] in longest
    zoom = "JSON.stringify(echarts.getInstanceByDom(document.getElementById('timeline-chart'))"
    zoom += ".getOption().dataZoom.map(one => [one.startValue, one.endValue])[0])"
    whole = json.loads(page.run(zoom))
    page.press(*"+" * 12)
    near = json.loads(page.run(zoom))
    assert near[1] - near[0] < (whole[1] - whole[0]) / 1_000
    page.press("n")
    assert page.run(chosen) not in ("", longest)
    page.press("p")
    assert page.run(chosen) == longest
    page.press("0")
    assert json.loads(page.run(zoom)) == whole
    assert page.complaints() == []


def test_an_outlier_leads_to_its_exit(page: Page) -> None:
    """Its button shows it in the time line, chosen, with the same length."""
    page.run("document.querySelectorAll('[data-exit]')[1].click()")
    headline = page.run("document.querySelectorAll('#outliers ~ details summary')[1].textContent")
    length, _, what = headline.partition(": ")
    told = page.run("document.getElementById('timeline-chosen').textContent")
    assert length in told
    assert what.split(",")[0] in told
    assert page.run("document.activeElement.id") == "timeline-chart"


def test_tables_are_sorted_and_opened(page: Page) -> None:
    """A click on a title sorts numbers as numbers, down and up; long tables show all rows."""
    page.run("document.querySelectorAll('#reasons-table thead button')[3].click()")
    cells = "[...document.querySelectorAll('#reasons-table tbody tr')]"
    cells += ".map(row => Number(row.cells[3].dataset.v))"
    found = page.run(cells)
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 3
    page.run("document.querySelectorAll('#reasons-table thead button')[3].click()")
    assert page.run(cells) == sorted(found)
    hidden = "[...document.querySelectorAll('#details-table tbody tr')]"
    hidden += ".filter(row => row.offsetHeight === 0).length"
    assert page.run(hidden) > 0
    page.run("document.querySelector('#details-table').parentNode.nextElementSibling.click()")
    assert page.run(hidden) == 0


def test_the_icicle_is_walked_by_keys(page: Page) -> None:
    """Down to a reason, into it, and out again; a guest's name is text there too."""
    page.run("document.getElementById('icicle-chart').focus()")
    told = "document.getElementById('icicle-chosen').textContent"
    page.press("ArrowDown", "ArrowDown", "Enter")
    assert page.run(told).count("›") == 2
    page.press("Escape")
    assert page.run(told).count("›") == 1
    names = page.run("[...document.getElementById('timeline-guest').options].map(o => o.text)")
    assert f"{EVIL}: each vCPU" in names
    assert page.run("document.querySelectorAll('b').length") == 0


def test_without_scripts_every_figure_is_there(tab: Page, page_path: Path) -> None:
    """Tables whole, charts left out and said so."""
    tab.open(page_path, scripts=False)
    # Only the page's own scripts are off; the protocol still reads it.
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert tab.run("document.querySelector('noscript').innerText").startswith("Scripts are off")
    shown = "[...document.querySelectorAll('figure, .controls')].filter(one => one.offsetHeight)"
    assert tab.run(f"{shown}.length") == 0
    rows = "[...document.querySelectorAll('#details-table tbody tr')]"
    assert tab.run(f"{rows}.every(row => row.offsetHeight > 0) && {rows}.length > 20")


def test_it_prints_on_white(tab: Page, page_path: Path, tmp_path: Path) -> None:
    """A dark window becomes a white PDF, and is dark again after it."""
    tab.resize(1_280, 900, dark=True)
    tab.open(page_path)
    tab.run(
        "window.seen = ''; addEventListener('beforeprint', "
        "() => { window.seen = document.documentElement.dataset.theme })"
    )
    paper = tmp_path / "page.pdf"
    tab.pdf(paper)
    assert paper.read_bytes().startswith(b"%PDF-")
    assert paper.stat().st_size > 50_000
    assert tab.run("window.seen") == "light"
    assert tab.run("document.documentElement.dataset.theme") == "dark"
