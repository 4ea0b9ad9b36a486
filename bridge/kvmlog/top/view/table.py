# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the table: titles, then those of the groups that are in sight."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rich.cells import cell_len

from kvmlog.top.model.columns import PARTIES, Column, bar, columns_of
from kvmlog.top.model.groups import Group
from kvmlog.top.model.listing import Order
from kvmlog.top.model.pictures import Glyphs, TextLine
from kvmlog.top.model.scope import Level
from kvmlog.top.view.cells import fit, fit_line

_LETTERS = {field: letter for letter, field in PARTIES}


def columns_for(level: Level, groups: Sequence[Group], width: int) -> list[Column]:
    """Return the columns for these groups in a table of so many cells."""
    longest = max((cell_len(one.name) for one in groups), default=0)
    return columns_of(level, width, longest, any(one.note for one in groups))


def lines_of(
    columns: Sequence[Column],
    groups: Sequence[Group],
    cursor: Hashable,
    order: Order,
    width: int,
    glyphs: Glyphs,
) -> list[TextLine]:
    """Return the titles' line and one for each group."""
    return [
        _titles(columns, order, width, glyphs),
        *(_line(columns, one, cursor, width) for one in groups),
    ]


def column_at(columns: Sequence[Column], x: int) -> Column | None:
    """Return the column that has this cell, or the gap before it."""
    end = 0
    for at, column in enumerate(columns):
        end += column.width + (1 if at else 0)
        if x < end:
            return column
    return None


def _titles(columns: Sequence[Column], order: Order, width: int, glyphs: Glyphs) -> TextLine:
    line: TextLine = []
    for at, column in enumerate(columns):
        chosen = column.name == order.column
        title = column.title
        mark = ""
        if chosen:
            mark = glyphs.sorted[0 if column.descending != order.reverse else 1]
        style = "title sorted" if chosen else "title"
        if at:
            line.append((" ", "title"))
        text = mark + title if column.right else title + mark
        # Only the words are underlined.
        blanks = (" " * (column.width - cell_len(text)), "title")
        pieces = [blanks, (text, style)] if column.right else [(text, style), blanks]
        line += fit_line(pieces, column.width, "title")
    return fit_line(line, width, "title")


def _line(columns: Sequence[Column], group: Group, cursor: Hashable, width: int) -> TextLine:
    style = "" if group.line.row.count or group.halts else "dim"
    if group.note == "ended":
        style = "dim"
    line: TextLine = []
    for at, column in enumerate(columns):
        if at:
            line.append((" ", style))
        if column.name == "who":
            pieces = [(_LETTERS[field] * cells, field) for field, cells in bar(group)]
            line += fit_line(pieces, column.width)
        else:
            line.append((fit(column.cell(group), column.width, column.right), style))
    return fit_line(line, width, "cursor" if group.key == cursor else "")
