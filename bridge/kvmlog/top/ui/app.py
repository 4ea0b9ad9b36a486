# SPDX-License-Identifier: GPL-2.0-or-later
"""The application: one widget that shows the lines of kvmlog.top.view.screen."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from kvmlog.top.model.pictures import Glyphs, TextLine
from kvmlog.top.model.scope import Wanted
from kvmlog.top.source.base import Sample, Source
from kvmlog.top.ui.poller import Poller
from kvmlog.top.view.screen import Screen
from kvmlog.top.view.state import State
from kvmlog.top.view.switching import Command, done_words
from kvmlog.util.errors import KvmlogError

# The terminal's own colours, in textual 2 and in later versions.
_THEMES: Final = ("textual-ansi", "ansi-dark")
_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
# The terminal's own sixteen colours: they fit its background, and take few bytes.
STYLES: Final = {
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "title": Style(bold=True),
    "sorted": Style(underline=True),
    "cursor": Style(reverse=True),
    "head": Style(reverse=True),
    "foot": Style(reverse=True),
    "problem": Style(bold=True, color="red"),
    "histogram": Style(color="cyan"),
    "kvm_ns": Style(color="cyan"),
    "vmm_ns": Style(color="magenta"),
    "wait_ns": Style(color="red"),
    "idle_ns": Style(color="blue"),
    "paused_ns": Style(color="yellow"),
    "heat1": Style(color="blue"),
    "heat2": Style(color="cyan"),
    "heat3": Style(color="green"),
    "heat4": Style(color="yellow"),
    "heat5": Style(color="red"),
    "heat6": Style(color="bright_red", bold=True),
}


@lru_cache(maxsize=256)
def style_of(words: str) -> Style:
    """Return the style that the words of a piece make together."""
    return Style.combine([Style.null(), *(STYLES[word] for word in words.split())])


class Lines(Widget):
    """Lines of text, of which only those that changed are written to the terminal."""

    DEFAULT_CSS = "Lines { width: 100%; height: 100%; }"

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._shown: list[TextLine] = []
        self._of = screen

    def show(self) -> None:
        """Show what the screen's lines are now."""
        lines, before = self._of.lines(), self._shown
        self._shown = lines
        if len(lines) != len(before):
            self.refresh()
            return
        changed = [
            Region(0, at, self._of.width, 1)
            for at, (old, new) in enumerate(zip(before, lines, strict=True))
            if old != new
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return a line for the terminal."""
        if y >= len(self._shown):
            return Strip.blank(self.size.width)
        segments = [Segment(text, style_of(style)) for text, style in self._shown[y]]
        return Strip(segments).adjust_cell_length(self.size.width)

    def on_resize(self, event: events.Resize) -> None:
        """Fit everything into the new size."""
        self._of.resize(event.size.width, event.size.height)
        self._shown = []
        self.show()

    def on_click(self, event: events.Click) -> None:
        """Pass a click on."""
        self._of.click(event.x, event.y)
        self.show()

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        """Scroll up."""
        self._of.wheel(-1)
        self.show()

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        """Scroll down."""
        self._of.wheel(1)
        self.show()


class TopApp(App[None]):
    """`kvmlog top` on a terminal. The source is sampled as long as it runs."""

    TITLE = "kvmlog top"
    CSS = "Screen { overflow: hidden; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(self, source: Source, interval_s: float, glyphs: Glyphs) -> None:
        super().__init__(ansi_color=True)
        self.theme = next(name for name in _THEMES if name in self.available_themes)
        self.animation_level = "none"
        self._source = source
        self.state = State(source.host, interval_s, self._switch, self.exit)
        self.lines = Lines(Screen(self.state, glyphs))
        self._poller = Poller(source, self._plan, self._took, self._failed)

    def compose(self) -> ComposeResult:
        """Return the one widget."""
        yield self.lines

    def on_mount(self) -> None:
        """Begin to take samples."""
        # Whoever ends it finds the terminal as it was.
        for number in _ENDINGS:
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        self._poller.start()

    def on_unmount(self) -> None:
        """End that."""
        for number in _ENDINGS:
            asyncio.get_running_loop().remove_signal_handler(number)
        self._poller.stop()
        self._source.close()

    def on_key(self, event: events.Key) -> None:
        """Pass a key on."""
        event.stop()
        event.prevent_default()
        self.lines._of.key(event.key, event.character)
        self.lines.show()

    def take(self, sample: Sample) -> None:
        """Show a sample."""
        self.state.take(sample)
        self.lines.show()

    def fail(self, sentence: str) -> None:
        """Show why there is none."""
        self.state.fail(sentence)
        self.lines.show()

    def _end(self, number: signal.Signals) -> None:
        self.exit(return_code=128 + number)

    def _plan(self) -> tuple[Sequence[Wanted], float]:
        return self.state.wanted, self.state.interval_s

    def _took(self, sample: Sample) -> None:
        # The screen may close meanwhile.
        with contextlib.suppress(RuntimeError):
            self.call_from_thread(self.take, sample)

    def _failed(self, sentence: str) -> None:
        with contextlib.suppress(RuntimeError):
            self.call_from_thread(self.fail, sentence)

    def _switch(self, command: Command) -> None:
        """Switch in a thread of its own: the bridge may take seconds to answer."""
        self.state.said = "asking the bridge ..."
        self.run_worker(lambda: self._ask(command), thread=True, exit_on_error=False)

    def _ask(self, command: Command) -> None:
        try:
            self._source.switch(command.on, command.vm, command.for_s, command.sampling)
            said = done_words(command)
        except KvmlogError as error:
            said = str(error)
        with contextlib.suppress(RuntimeError):
            self.call_from_thread(self._say, said)

    def _say(self, said: str) -> None:
        self.state.said = said
        self.lines.show()
