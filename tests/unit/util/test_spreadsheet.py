# SPDX-License-Identifier: GPL-2.0-or-later
"""CSV that spreadsheets and programs read alike."""

from __future__ import annotations

import csv

import pytest

from kvmlog.util.spreadsheet import csv_line

FORMULA_STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", " ", "\uff1d", "\uff0b", "\uff0d", "\uff20"]


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_text_that_begins_like_a_formula_is_text(start: str) -> None:
    """An apostrophe stands before it, in quotes or not."""
    for rest in ("1+1", 'a,"b"', ""):
        (cell,) = next(csv.reader([csv_line([start + rest])]))
        assert cell == f"'{start}{rest}"


def test_numbers_stay_numbers() -> None:
    """Negative ones too, which begin like a formula and are none."""
    assert (
        csv_line([-5, -0.5, 2**64, True, False, None, "a=b"])
        == "-5,-0.5,18446744073709551616,1,0,,a=b"
    )


@pytest.mark.parametrize("name", ["a\u2028b", "a\x85b", "a\x0bb", "a\x1cb"])
def test_a_line_is_one_line(name: str) -> None:
    """Characters that only Unicode takes for the end of a line stay in their cell."""
    assert csv_line([name, 1]) == f"{name},1"


def test_an_apostrophe_can_be_taken_off() -> None:
    """A text of its own apostrophe has two: taking one off restores any text."""
    for text in ("'a", "''", "=1", "a", "'=1"):
        (cell,) = next(csv.reader([csv_line([text])]))
        assert cell.removeprefix("'") == text
