# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog top` for tests: a source that goes on only when it is told to, and the screen's text."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from kvmlog.control.sampling import Sampling
from kvmlog.top.model.pictures import BLOCKS, Glyphs
from kvmlog.top.model.scope import Wanted
from kvmlog.top.source.base import Sample, Source
from kvmlog.top.source.local import LocalSource
from kvmlog.top.ui.app import TopApp
from kvmlog.util.errors import KvmlogError

_HANG_S = 60


class SteppedSource:
    """A source whose samples come one by one; `failure`: what the next ones raise."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        self.failure: str | None = None
        self.asked: list[Sequence[Wanted]] = []
        self._turns = threading.Semaphore(0)
        self._closed = False

    @property
    def host(self) -> str:
        """The host's name."""
        return self.inner.host

    def go(self) -> None:
        """Let one more sample be taken."""
        self._turns.release()

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> Sample:
        """Wait for go(), then take one of the exits since the last."""
        self._turns.acquire()
        if self._closed:
            raise KvmlogError("closed")
        self.asked.append(wanted)
        if self.failure is not None:
            raise KvmlogError(self.failure)
        return self.inner.sample(wanted, None if interval_s is None else 0.0)

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Switch as the real one does."""
        self.inner.switch(on, vm, for_s, sampling)

    def close(self) -> None:
        """End the wait."""
        self._closed = True
        self._turns.release()
        self.inner.close()


class Driven:
    """A running screen: keys, clicks, samples, and what it shows."""

    def __init__(self, app: TopApp, pilot: Any, source: SteppedSource) -> None:
        self.app, self.pilot, self.source = app, pilot, source

    @property
    def text(self) -> list[str]:
        """The lines of the terminal, as they are drawn."""
        size = self.app.size
        strips = [self.app.lines.render_line(y) for y in range(size.height)]
        assert all(strip.cell_length == size.width for strip in strips)
        return [strip.text.rstrip() for strip in strips]

    @property
    def names(self) -> list[str]:
        """The names of the table's lines, in order."""
        return [one.name for one in self.app.state.place.listed]

    async def step(self) -> None:
        """Have one sample taken and shown."""
        before = self.app.state._newest, self.app.state.problem
        self.source.go()
        await self.until(lambda: (self.app.state._newest, self.app.state.problem) != before)

    async def until(self, condition: Any) -> None:
        """Wait for what has to come; fails only when it hangs."""
        limit = time.monotonic() + _HANG_S
        while not condition():
            assert time.monotonic() < limit
            await asyncio.sleep(0.01)
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def resize(self, width: int, height: int) -> None:
        """Change the terminal's size."""
        await self.pilot.resize_terminal(width, height)
        await self.until(lambda: self.app.lines._of.width == width)

    async def click(self, word: str) -> None:
        """Click the first place where a word stands."""
        lines = self.text
        y = next(at for at, line in enumerate(lines) if word in line)
        await self.pilot.click(offset=(lines[y].index(word) + 1, y))
        await self.pilot.pause()


@contextlib.asynccontextmanager
async def driven(
    inner: Source, size: tuple[int, int] = (80, 24), glyphs: Glyphs = BLOCKS, steps: int = 1
) -> AsyncIterator[Driven]:
    """Run the screen, with so many samples taken."""
    source = SteppedSource(inner)
    app = TopApp(source, 1.0, glyphs)
    async with app.run_test(size=size) as pilot:
        made = Driven(app, pilot, source)
        for _ in range(steps):
            await made.step()
        yield made


def local(folder: Path) -> LocalSource:
    """The source of a LiveHost's files."""
    return LocalSource(str(folder / "ring"), str(folder / "switch"))
