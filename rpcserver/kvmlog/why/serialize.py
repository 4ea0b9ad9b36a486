# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict as a JSON-ready object, and back: `kvmlog why --json`, and the reply of kvmWhy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import cattrs

from kvmlog.why.verdict import Verdict


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    """Return the object; `stands_out`: whether there is any finding."""
    found = asdict(verdict)
    for finding in found["findings"]:
        for figure in finding["figures"]:
            # A double over XML-RPC too, whose integers are text.
            figure["value"] = float(figure["value"])
    return {"stands_out": bool(verdict.findings), **found}


def parse_verdict(found: Any) -> Verdict:
    """Return the verdict of such an object; ValueError, TypeError or KeyError for another."""
    if not isinstance(found, dict):
        raise TypeError("no struct")
    known = {name: value for name, value in found.items() if name != "stands_out"}
    for name in ("uuid", "pid", "times"):
        # XML-RPC has no null.
        known[name] = known[name] or None
    try:
        return cattrs.structure(known, Verdict)
    except cattrs.BaseValidationError as error:
        raise ValueError(str(error)) from None
