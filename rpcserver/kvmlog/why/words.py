# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict as text: what stands out, the figures that say so, and what to try."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from kvmlog.why.rules.model import percent
from kvmlog.why.verdict import LOOKED, Finding, Times, Verdict

COLUMNS: Final = 100
NOTHING: Final = "Nothing stands out."
_PARTS: Final = (
    ("guest", "in its own code"),
    ("kvm", "in KVM (exits)"),
    ("vmm", "in QEMU (exits)"),
    ("wait", "waiting for a CPU"),
    ("idle", "idle"),
    ("paused", "paused"),
)


def lines(verdict: Verdict, columns: int = COLUMNS) -> Iterator[str]:
    """Yield the lines of a verdict, at most so wide where words allow it."""
    yield from _wrapped(_heading(verdict), columns, "")
    yield ""
    if not verdict.findings:
        yield from _wrapped(f"{_nothing(verdict)} {verdict.summary}", columns, "")
    for number, finding in enumerate(verdict.findings, start=1):
        yield from _of_finding(number, finding, columns)
    if verdict.findings:
        yield ""
        yield from _wrapped(verdict.summary, columns, "")
    if verdict.times is not None:
        yield from _wrapped(f"Time of its vCPUs: {_times(verdict.times)}.", columns, "")
    looked = [LOOKED[part] for part in verdict.looked_at]
    yield from _wrapped(f"Looked at: {', '.join(looked) or 'nothing'}.", columns, "")
    for gap in verdict.gaps:
        yield from _wrapped(f"Not looked at: {gap.what}: {gap.why}; {gap.remedy}.", columns, "")


def _heading(verdict: Verdict) -> str:
    known = [verdict.uuid or "", f"pid {verdict.pid}" if verdict.pid else ""]
    who = ", ".join(word for word in known if word)
    who = f" ({who})" if who else ""
    return f"{verdict.name}{who}, seen for {verdict.over_s:.3g} s:"


def _nothing(verdict: Verdict) -> str:
    if not verdict.looked_at:
        return "Nothing could be looked at."
    return NOTHING if not verdict.gaps else "Nothing stands out in what could be looked at."


def _of_finding(number: int, finding: Finding, columns: int) -> Iterator[str]:
    headline = finding.headline
    if not headline.startswith("vCPU"):
        headline = headline[0].upper() + headline[1:]
    yield from _wrapped(f"{number}. {headline}", columns, "   ")
    for detail in finding.details:
        yield from _wrapped(f"   {detail}", columns, "   ")
    yield from _wrapped(f"   Mark: {finding.condition} ({finding.rule}).", columns, "     ")
    for remedy in finding.remedies:
        yield from _wrapped(f"   Try: {remedy}.", columns, "        ")


def _times(times: Times) -> str:
    shares = [(getattr(times, part), words) for part, words in _PARTS]
    return ", ".join(f"{percent(share)} {words}" for share, words in shares if share > 0)


def _wrapped(text: str, columns: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
