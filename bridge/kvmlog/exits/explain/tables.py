# SPDX-License-Identifier: GPL-2.0-or-later
"""Meanings and explanations of all reasons, by the tables of kvmlog.exits.reasons.lookup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.exits.explain import arm64, svm, userspace, vmx
from kvmlog.exits.explain.explanation import RARE, Explained, Explanation
from kvmlog.exits.reasons.lookup import KVM, Reason

# What a reason is, in one line.
MEANINGS: Final[Mapping[str, Mapping[int, str]]] = {
    "vmx": vmx.MEANINGS,
    "svm": svm.MEANINGS,
    "arm64": arm64.MEANINGS,
    KVM: userspace.MEANINGS,
}
EXPLANATIONS: Final[Mapping[str, Mapping[int, Explanation]]] = {
    "vmx": vmx.EXPLANATIONS,
    "svm": svm.EXPLANATIONS,
    "arm64": arm64.EXPLANATIONS,
    KVM: userspace.EXPLANATIONS,
}


def explain(reason: Reason) -> Explained:
    """Return the reason with its explanation, a general one if it has none of its own."""
    return Explained(
        *reason,
        meaning=MEANINGS[reason.isa][reason.number],
        explanation=EXPLANATIONS[reason.isa].get(reason.number, RARE),
    )
