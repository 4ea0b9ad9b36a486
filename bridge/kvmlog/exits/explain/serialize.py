# SPDX-License-Identifier: GPL-2.0-or-later
"""Explained reasons as JSON-ready objects, for `kvmlog explain --json` and kvmExplain."""

from __future__ import annotations

from typing import Any

from kvmlog.exits.explain.explanation import Explained
from kvmlog.exits.reasons.lookup import KVM


def explained_object(reason: Explained) -> dict[str, Any]:
    """Return one object; `isa` is null for KVM_EXIT_*, `remedies` may be empty."""
    explanation = reason.explanation
    return {
        "isa": None if reason.isa == KVM else reason.isa,
        "reason": reason.number,
        "name": reason.name,
        "flags": list(reason.flags),
        "meaning": reason.meaning,
        "what": explanation.what,
        "causes": explanation.causes,
        "remedies": list(explanation.remedies),
    }
