# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of rules in docs/why.md: `python -m kvmlog.why.reference` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from kvmlog.why.rules.table import RULES
from kvmlog.why.verdict import LOOKED


def lines() -> Iterator[str]:
    """Yield the table, a rule per line."""
    yield "| rule | speaks up | looks at | mark from |"
    yield "|---|---|---|---|"
    for rule in RULES:
        parts = " or ".join(LOOKED[part] for part in rule.looks_at.split())
        yield f"| `{rule.name}` | {rule.words} | {parts} | {rule.source} |"


if __name__ == "__main__":
    print("\n".join(lines()))
