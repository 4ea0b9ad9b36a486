# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/why.md has the table of rules as they are."""

from __future__ import annotations

from pathlib import Path

from kvmlog.why import reference

DOCUMENT = Path(__file__).parents[3] / "docs" / "why.md"


def test_the_document_has_the_table_of_rules() -> None:
    """As `python -m kvmlog.why.reference` prints it."""
    assert "\n".join(reference.lines()) in DOCUMENT.read_text(encoding="utf-8")
