# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the page of `kvmlog report`: of the recorded guests in tests/data, by Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from kvmlog.analysis.report.document import document
from kvmlog.analysis.report.gather import gather
from kvmlog.recording.reader import Recording
from scripts.chromium import Page, browser

_RECORDING: Final = (
    Path(__file__).resolve().parents[2] / "tests/data/recordings/two-guests-boot.kvmlog"
)
_SIZE: Final = (1_280, 1_180)


def beginning() -> bytes:
    """Return a PNG: totals, what stands out, and the time line, in the light."""
    return _picture("top", dark=False)


def time_line() -> bytes:
    """Return a PNG: the time line, and the heat map of handling time, in the dark."""
    return _picture("timeline", dark=True)


def _picture(section: str, *, dark: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder, browser() as running:
        path = Path(folder) / "report.html"
        with Recording(_RECORDING) as recording:
            path.write_text(document(gather(recording)), encoding="utf-8")
        page = Page(running)
        page.resize(*_SIZE, dark=dark)
        page.open(path)
        place = "0" if section == "top" else f"document.getElementById('{section}').offsetTop"
        page.run(f"document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, {place})")
        picture = Path(folder) / "report.png"
        page.screenshot(picture)
        return picture.read_bytes()
