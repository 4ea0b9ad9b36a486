# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen on a terminal that textual plays, with real statistics: keys, mouse, sizes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.segment import Segments

from kvmlog.top.model.pictures import ASCII
from kvmlog.top.model.scope import Level
from tests.support.live_host import LiveHost
from tests.support.top_screen import Driven, driven, local

NAMES = ["web1", "web2", "[red]build[/red]", "数据库", "db9"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LiveHost]:
    """Five guests, of which each has fewer exits than the one before, and the last has none."""
    with LiveHost(tmp_path, NAMES) as made:
        for number, count in enumerate((400, 300, 200, 100)):
            made.feed(number, count)
        made.counting.writer.flush()
        yield made


def drive(
    host: LiveHost, script: Callable[[Driven], Awaitable[None]], size: tuple[int, int] = (80, 24)
) -> None:
    """Run a script against the screen."""

    async def run() -> None:
        async with driven(local(host.folder), size) as screen:
            await script(screen)

    asyncio.run(run())


def test_the_first_picture_is_of_all_time(host: LiveHost) -> None:
    """Every guest has a line, those without an exit too; names are shown as they are."""

    async def script(screen: Driven) -> None:
        assert set(screen.names) == {"all", *NAMES}
        assert screen.names[0] == "all"
        text = "\n".join(screen.text)
        assert "averages since" in screen.text[0]
        assert "tracing on, all guests" in screen.text[0]
        assert "lost 0" in screen.text[1]
        assert "cost 2.5% of a CPU, 0.31% of all 8 (budget 2%)" in screen.text[1]
        assert "[red]build[/red]" in text
        assert "数据库" in text
        host.feed(1, 500)
        await screen.step()
        assert "every 1s" in screen.text[0]
        # Only that one had exits.
        assert screen.names[:2] == ["all", "web2"]

    drive(host, script)


def test_down_to_details_and_back(host: LiveHost) -> None:
    """Guest, vCPU, reason, detail; the cursor is where it was when one comes back."""

    async def script(screen: Driven) -> None:
        state = screen.app.state

        def level() -> Level:
            return state.place.scope.level

        await screen.press("down", "enter")
        first = state.place.scope.label
        assert screen.names[0] == "all vCPUs"
        assert set(screen.names[1:]) == {"vCPU 0", "vCPU 1"}
        await screen.press("home", "enter")
        assert set(screen.names) == {"io", "npf", "msr", "cpuid", "interrupt", "hlt"}
        assert screen.names[-1] == "hlt"
        row = screen.names.index("io")
        await screen.press(*["down"] * row, "right")
        assert level() is Level.DETAILS
        assert any("0x3f8" in name or "com1" in name for name in screen.names)
        assert screen.text[-1].startswith(f"guests > {first} > all vCPUs > io")
        await screen.press("enter")
        assert level() is Level.DETAILS
        await screen.press("escape")
        assert state.place.chosen is not None
        assert state.place.chosen.name == "io"
        await screen.press("left", "backspace", "escape")
        assert level() is Level.GUESTS
        assert state.place.chosen is not None
        assert state.place.chosen.name == first
        await screen.press("home", "enter")
        assert level() is Level.REASONS
        assert screen.text[-1].startswith("guests > all ")

    drive(host, script)


def test_sorting_by_key_and_mouse(host: LiveHost) -> None:
    """A click on a title sorts, a second one turns it round; so do < > and r."""

    async def script(screen: Driven) -> None:
        await screen.click("EXITS/s")
        assert screen.names[:3] == ["all", "web1", "web2"]
        assert "▼EXITS/s" in screen.text[2]
        await screen.click("EXITS/s")
        assert screen.names[:2] == ["all", "db9"]
        assert "▲EXITS/s" in screen.text[2]
        await screen.press("r")
        assert screen.names[1] == "web1"
        await screen.press("<")
        assert screen.app.state.place.order.column == "name"
        assert screen.names == ["all", *sorted(NAMES)]
        await screen.press(">", ">")
        assert screen.app.state.place.order.column == "time"

    drive(host, script)


def test_the_mouse_chooses_opens_and_scrolls(host: LiveHost) -> None:
    """A click on the chosen line opens it; the wheel moves the cursor."""

    async def script(screen: Driven) -> None:
        await screen.click("db9")
        chosen = screen.app.state.place.chosen
        assert chosen is not None
        assert chosen.name == "db9"
        await screen.click("db9")
        assert screen.app.state.place.scope.label == "db9"
        assert "no exits in this time" in "\n".join(screen.text)
        await screen.press("escape")
        screen.app.lines._of.wheel(-1)
        assert screen.app.state.place.row == len(NAMES) - 3

    drive(host, script)


def test_a_filter(host: LiveHost) -> None:
    """What is typed narrows the lines at once, brackets too; a pid finds its guest."""

    async def script(screen: Driven) -> None:
        await screen.press("slash", "w", "e", "b")
        assert set(screen.names) == {"all", "web1", "web2"}
        assert screen.text[-1] == "/web_"
        await screen.press("backspace", "backspace", "backspace", "left_square_bracket", "r")
        assert screen.names == ["all", "[red]build[/red]"]
        await screen.press("enter")
        assert screen.text[-1].startswith("guests /[r")
        await screen.press("escape")
        assert len(screen.names) == 6
        await screen.press("slash", *str(LiveHost.pid(3)), "enter")
        assert screen.names == ["all", "数据库"]
        await screen.press("slash", "q", "escape")
        assert len(screen.names) == 6

    drive(host, script)


def test_pause_holds_the_figures(host: LiveHost) -> None:
    """What came meanwhile is shown when it goes on; lines can be opened all the same."""

    async def script(screen: Driven) -> None:
        before = screen.names
        await screen.press("space")
        assert "PAUSED at" in screen.text[0]
        host.feed(3, 5_000)
        await screen.step()
        assert screen.names == before
        await screen.press("end", "enter", "escape", "p")
        assert screen.names[:2] == ["all", "数据库"]

    drive(host, script)


def test_sizes_down_to_twenty_by_five(host: LiveHost) -> None:
    """Nothing ends; losses, cost and budget stay; every line has the width of the terminal."""

    async def script(screen: Driven) -> None:
        await screen.press("down", "down")
        chosen = screen.app.state.place.cursor
        for width, height in ((20, 5), (200, 50), (1, 1), (40, 8), (131, 9), (80, 24)):
            await screen.resize(width, height)
            assert len(screen.text) == height
            await screen.press("h", "down", "escape", "s", "escape", "tab", "d", "d")
            await screen.step()
            if (width, height) == (20, 5):
                assert screen.text[0].endswith("L0 0.31/2%")
                assert any(line.startswith("web") for line in screen.text)
            if width == 200:
                assert any("who spent the time" in line for line in screen.text)
                assert any("the same over time" in line for line in screen.text)
        assert screen.app.state.place.cursor == chosen

    drive(host, script)


def test_explanations_and_help(host: LiveHost) -> None:
    """`?` on a reason is what kvmlog explain says; elsewhere, and by h, it is the help."""

    async def script(screen: Driven) -> None:
        await screen.press("question_mark")
        assert screen.text[2].startswith("kvmlog top: why, and for how long")
        await screen.press("escape", "home", "enter")
        row = screen.names.index("msr")
        await screen.press(*["down"] * row, "question_mark")
        text = "\n".join(screen.text)
        assert "msr (svm exit 0x7c)" in text
        assert "What it is" in text
        await screen.press("down", "pagedown", "end")
        assert "msr (svm exit 0x7c)" not in "\n".join(screen.text)
        await screen.press("q")
        assert screen.names

    drive(host, script)


def test_the_switch(host: LiveHost) -> None:
    """A guest alone, for a time; one more; all; off: as the bridge is then asked."""

    async def script(screen: Driven) -> None:
        await screen.press("slash", *"web1", "enter", "down", "s")
        assert screen.text[3].startswith("> trace only web1, without end")
        await screen.press("right", "enter")
        await screen.until(lambda: "web1 for 60 s" in screen.app.state.said)
        assert (host.commands[-1].vm, host.commands[-1].for_s) == (("web1",), 60)
        await screen.step()
        assert "tracing on, web1, off in 1m00s" in screen.text[0]
        await screen.press("escape", "slash", *"web2", "enter", "down", "s")
        assert screen.text[3].startswith("> trace web2 too")
        await screen.press("enter")
        await screen.until(lambda: host.commands[-1].vm == ("web1", "web2"))
        await screen.press("s", "up", "enter")
        await screen.until(lambda: not host.on)
        await screen.step()
        assert "tracing is off: nothing is counted; s switches it on" in screen.text[2]

    drive(host, script)


def test_a_guest_ends_while_it_is_open(host: LiveHost) -> None:
    """Its table stays, and its line says so as long as it has exits."""

    async def script(screen: Driven) -> None:
        await screen.press("slash", *"web2", "enter", "down", "enter")
        host.feed(1, 50)
        host.end("web2")
        await screen.step()
        assert screen.text[-1].startswith("guests > web2")
        await screen.press("escape")
        assert "ended" in [one.note for one in screen.app.state.place.listed]
        await screen.step()
        assert "web2" not in screen.names
        await screen.step()

    drive(host, script)


def test_a_source_that_fails_and_comes_back(host: LiveHost) -> None:
    """The sentence stands above the last figures, and goes when there are new ones."""

    async def script(screen: Driven) -> None:
        screen.source.failure = "host1:50080: cannot be reached; start kvmlog rpc there"
        await screen.step()
        assert screen.text[2].startswith("host1:50080: cannot be reached")
        assert "web1" in screen.names
        screen.source.failure = None
        await screen.step()
        assert "cannot be reached" not in "\n".join(screen.text)

    drive(host, script)


def test_no_colour(host: LiveHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR: what the terminal is sent has no colour; who spent the time stands in letters."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(screen: Driven) -> None:
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, color_system="truecolor", width=80)
        for y in range(24):
            strip = screen.app.lines.render_line(y)
            for line_filter in screen.app._filters:
                if line_filter.enabled:
                    strip = strip.apply_filter(line_filter, screen.app.lines.background_colors[0])
            console.print(Segments(strip), end="\n")
        assert screen.app.no_color
        # 39 and 49 are the terminal's own.
        codes = {
            code
            for part in out.getvalue().split("\x1b[")[1:]
            for code in part.split("m")[0].split(";")
        }
        assert codes <= {"0", "1", "2", "4", "7", "39", "49"}
        assert any("KKKK" in line for line in screen.text)

    drive(host, script)


def test_only_changed_lines_are_drawn(host: LiveHost) -> None:
    """A slow terminal gets what has changed: two lines for a cursor that moves."""

    async def script(screen: Driven) -> None:
        drawn: list[int] = []
        lines = screen.app.lines
        original = lines.render_line

        def counted(y: int) -> object:
            drawn.append(y)
            return original(y)

        lines.render_line = counted  # type: ignore[method-assign,assignment]
        await screen.press("d")
        await screen.press("home")
        drawn.clear()
        await screen.press("down")
        assert sorted(set(drawn)) == [3, 4]

    drive(host, script)


def test_a_terminal_without_blocks(host: LiveHost) -> None:
    """ASCII is enough."""

    async def run() -> None:
        async with driven(local(host.folder), (200, 50), ASCII, steps=3) as screen:
            text = "\n".join(screen.text).replace("数据库", "")
            assert text.replace("…", "").isascii()

    asyncio.run(run())
