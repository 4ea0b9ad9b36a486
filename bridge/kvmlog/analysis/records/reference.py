# SPDX-License-Identifier: GPL-2.0-or-later
"""Print the table of columns of docs/export.md; a test compares them.

python -m kvmlog.analysis.records.reference
"""

from __future__ import annotations

import sys

from kvmlog.analysis.records.fields import FIELDS, PARTITIONS


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| column | type | unit | of | |", "|---|---|---|---|---|"]
    for one in (*PARTITIONS, *FIELDS):
        of = one.has + (", else null" if one.nullable else "")
        lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {of} | {one.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
