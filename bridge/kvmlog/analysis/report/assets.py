# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page is made of: templates, style, scripts, and Apache ECharts with its licences.

ECharts is fetched when kvmlog is set up or packaged (scripts/fetch-npm), and need not be there.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).resolve().parent
PAGE: Final = _FOLDER / "page"
_ROOT: Final = _FOLDER.parents[3]
# Installed, and in the source tree.
_ECHARTS: Final = (_FOLDER / "echarts" / "echarts.min.js", _ROOT / "build/npm/echarts.min.js")
_LICENCES: Final = (_FOLDER / "echarts", _ROOT / "LICENSES" / "echarts")
_LICENCE_FILES: Final = (
    ("Apache ECharts: notice", "NOTICE"),
    ("Apache ECharts: licence (Apache 2.0)", "LICENSE"),
    ("d3, of which ECharts has parts: licence (BSD)", "LICENSE-d3"),
    ("zrender, which draws for ECharts: licence (BSD)", "LICENSE-zrender"),
)
# In this order: later ones use earlier ones.
_SCRIPTS: Final = (
    "base.js",
    "theme.js",
    "tables.js",
    "exits.js",
    "charts.js",
    "icicle.js",
    "timeline.js",
    "main.js",
)


def echarts() -> str | None:
    """Return the library, None where it is not installed."""
    for path in _ECHARTS:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def licences() -> list[tuple[str, str]]:
    """Return the titles and texts of the licences of ECharts and of what it contains."""
    folder = next(path for path in _LICENCES if (path / "NOTICE").is_file())
    return [(title, (folder / name).read_text("utf-8").strip()) for title, name in _LICENCE_FILES]


def scripts() -> str:
    """Return the page's own scripts, as one."""
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def style() -> str:
    """Return the style sheet; its dark colours also hold for a dark system without scripts."""
    text = (PAGE / "page.css").read_text(encoding="utf-8")
    dark = re.search(r':root\[data-theme="dark"\] \{\n(.*?)\n\}', text, re.DOTALL)
    assert dark is not None
    system = (
        "@media screen and (prefers-color-scheme: dark) {\n"
        f"  :root:not([data-theme]) {{\n{dark.group(1)}\n  }}\n}}"
    )
    return text.replace("/* @system-dark */", system)


def digest(content: str) -> str:
    """Return what a Content-Security-Policy allows an inline script or style by."""
    hashed = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(hashed).decode('ascii')}'"


def policy(style_text: str, script_texts: list[str]) -> str:
    """Return the Content-Security-Policy: these scripts, this style, nothing from outside."""
    allowed = " ".join(digest(text) for text in script_texts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {digest(style_text)}; "
        "base-uri 'none'; form-action 'none'"
    )
