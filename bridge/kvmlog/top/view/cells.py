# SPDX-License-Identifier: GPL-2.0-or-later
"""Styled text fitted into cells of a terminal, some characters of which take two."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from kvmlog.top.model.pictures import Piece, TextLine
from kvmlog.util.printable import printable

_CUT = "…"


def fit(text: str, cells: int, right: bool = False) -> str:
    """Return the text in exactly so many cells: padded, or cut, which "…" tells."""
    text = printable(text)
    length = cell_len(text)
    if length > cells:
        return set_cell_size(text, cells - 1) + _CUT if cells > 1 else _CUT[:cells]
    blanks = " " * (cells - length)
    return blanks + text if right else text + blanks


def fit_line(line: TextLine, cells: int, style: str = "") -> TextLine:
    """Return the pieces in exactly so many cells; style: added to that of each."""
    found: list[Piece] = []
    left = cells
    for text, own in line:
        if left <= 0:
            break
        text = printable(text)
        length = cell_len(text)
        if length > left:
            text, length = fit(text, left), left
        left -= length
        found.append((text, f"{own} {style}".strip()))
    if left > 0:
        found.append((" " * left, style))
    return found


def joined(groups: list[TextLine], cells: int, gap: str = "  ") -> TextLine:
    """Return those of the first groups that fit whole, with gaps between them."""
    line: TextLine = []
    used = 0
    for group in groups:
        length = sum(cell_len(text) for text, _ in group)
        if not length:
            continue
        if line and used + len(gap) + length > cells:
            continue
        if line:
            line.append((gap, ""))
            used += len(gap)
        line += group
        used += length
    return line
