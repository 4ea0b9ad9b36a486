# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of kvmlog top, by textual's own export."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from kvmlog.top.model.pictures import BLOCKS
from kvmlog.top.ui.app import TopApp
from scripts.docs_pictures.scene import Scene, SceneSample

_SIZE: Final = (150, 36)
_SECONDS: Final = 45
# Textual numbers them anew each time.
_ID: Final = re.compile(r"terminal-\d+")


def guests() -> str:
    """Return the picture of all guests."""
    return asyncio.run(_drawn([], ["down", "down", "down"]))


def reasons() -> str:
    """Return the picture of the reasons of one guest."""
    return asyncio.run(_drawn(["down", "enter", "enter"], ["down"]))


async def _drawn(first: Sequence[str], then: Sequence[str]) -> str:
    """Press keys, let the seconds pass, press others, and return the screen."""
    app = TopApp(Scene(), 1.0, BLOCKS)
    async with app.run_test(size=_SIZE) as pilot:
        app.take(SceneSample(0))
        await pilot.press(*first)
        for second in range(1, _SECONDS):
            app.take(SceneSample(second))
        await pilot.press(*then)
        await pilot.pause()
        return _ID.sub("terminal", app.export_screenshot(title="kvmlog top"))
