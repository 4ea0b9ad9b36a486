# SPDX-License-Identifier: GPL-2.0-or-later
"""CSV is written in one place, so that no command forgets what spreadsheets run."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_csv_has_one_home() -> None:
    """The module csv in spreadsheet.py; pyarrow's in the one file that calls harmless()."""
    users = {}
    for base in ("bridge", "rpcserver"):
        for path in (ROOT / base / "kvmlog").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for module in ("import csv\n", "from csv", "pyarrow.csv"):
                if module in text:
                    users[path.name] = "harmless(" in text
    assert users == {"spreadsheet.py": True, "tables.py": True}
