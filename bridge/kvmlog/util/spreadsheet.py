# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of CSV that no spreadsheet takes for more than text and numbers.

Excel, LibreOffice and others run a cell that begins like a formula, and a guest may be named like
one. Every CSV of kvmlog is written here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

# What a formula begins with, full-width forms too, which some locales take for the same; and the
# white space that may stand before it.
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", " ")
_QUOTE: Final = "'"
_END: Final = "\r\n"


def csv_line(cells: Iterable[object]) -> str:
    """Return one line, without its end: numbers as they are, truth as 1 and 0, None as nothing.

    A text that begins like a formula gets an apostrophe before it, and so does one that begins with
    an apostrophe: a program that takes one leading apostrophe from texts has them as they were.
    """
    text = io.StringIO()
    # A cell is quoted for what ends a line, here or elsewhere.
    csv.writer(text, lineterminator=_END).writerow([_cell(one) for one in cells])
    return text.getvalue().removesuffix(_END)


def harmless(text: str) -> str:
    """Return a text as csv_line() has it, for who writes whole columns of them."""
    return _QUOTE + text if text.startswith((_QUOTE, *_FORMULA)) else text


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return harmless(value) if isinstance(value, str) else value
