# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables as all commands print them: one layout for programs and for people.

On a pipe or into a file: plain text, two blanks or more between columns, nothing cut, no
colour; an empty cell is "-", so that every line has as many columns as the header. On a
terminal: a bold header, and what does not fit is left out or cut, never wrapped. NO_COLOR
(https://no-color.org) and TERM=dumb are honoured.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

from rich.cells import cell_len, set_cell_size

from kvmlog.util.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# How a sentence is put: as it is (str), or for another host (kvmlog.cli.remote.sentences).
Words: TypeAlias = Callable[[str], str]

GAP: Final = "  "
_NOTHING: Final = "-"
_CUT: Final = "…"
# A column of text is not cut to less than this.
_TEXT_CELLS: Final = 8
_PAIR: Final = 12


@dataclass(frozen=True)
class Column:
    """A column; `width`: the least cells, so that tables one after the other line up.

    right: numbers. spare: columns with a higher value are dropped first on a narrow terminal, those
    with the same one together; those with 0 stay.
    """

    title: str
    right: bool = False
    width: int = 0
    spare: int = 0


@dataclass(frozen=True)
class Table:
    """Columns, and rows with one text for each of them.

    gap: between columns on a terminal; elsewhere it is always two blanks.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    gap: str = GAP


@dataclass(frozen=True)
class Pairs:
    """Lines of a name and its text; an empty name continues the line above."""

    lines: Sequence[tuple[str, str]]


# A sentence is a line of its own.
Block: TypeAlias = Table | Pairs | str


def show(*blocks: Block, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print the blocks and flush; BrokenPipeError when the output is closed.

    stream: default sys.stdout. width: what is no terminal is fitted into so many cells, too.
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        on = console(stream)
        on.print(styled(blocks, on.width), end="", soft_wrap=True)
        stream.flush()
    else:
        write(lines(blocks, width), stream)


def write(plain: Iterable[str], stream: TextIO) -> None:
    """Print lines as they are and flush."""
    for line in plain:
        print(line, file=stream)
    stream.flush()


@contextlib.contextmanager
def redrawn(stream: TextIO) -> Iterator[Callable[[Sequence[Block]], None]]:
    """Provide a function that redraws blocks on a terminal in place of the previous ones.

    Lines beyond the height of the terminal are left out.
    """
    from rich.live import Live

    on = console(stream)
    with Live(console=on, auto_refresh=False) as live:

        def replace(blocks: Sequence[Block]) -> None:
            text = styled(blocks, on.width)
            text.no_wrap = True
            live.update(text, refresh=True)

        yield replace


def lines(blocks: Iterable[Block], width: int | None = None) -> Iterator[str]:
    """Yield the blocks as plain lines without newlines, tables fitted into `width` cells."""
    for block in blocks:
        for parts in _parts(block, width):
            yield "".join(text for text, _ in parts).rstrip()


def console(stream: TextIO) -> Console:
    """Return the terminal with its abilities (width, colours); texts are never markup."""
    from rich.console import Console  # only terminals need it

    no_color = bool(os.environ.get("NO_COLOR"))
    return Console(file=stream, highlight=False, markup=False, emoji=False, no_color=no_color)


def styled(blocks: Iterable[Block], width: int) -> Text:
    """Return the blocks with their styles, tables fitted into `width` cells."""
    from rich.text import Text

    whole = Text()
    for block in blocks:
        for parts in _parts(block, width):
            for text, style in parts:
                whole.append(text, style)
            whole.append("\n")
    return whole


def _parts(block: Block, width: int | None) -> Iterator[list[tuple[str, str]]]:
    """Yield each line as pieces of text with their styles."""
    if isinstance(block, Table):
        yield from _table_parts(block, width)
    elif isinstance(block, Pairs):
        for name, text in block.lines:
            yield [(f"{printable(name):<{_PAIR}}", "bold"), (printable(text), "")]
    else:
        yield [(printable(block), "")]


def _table_parts(table: Table, width: int | None) -> Iterator[list[tuple[str, str]]]:
    columns = list(table.columns)
    cells = [[printable(cell) or _NOTHING for cell in row] for row in table.rows]
    widths = [
        max([column.width, cell_len(column.title), *(cell_len(row[at]) for row in cells)])
        for at, column in enumerate(columns)
    ]
    kept, gap = list(range(len(columns))), GAP
    if width is not None:
        gap = table.gap
        kept, widths = _fitted(columns, widths, width, gap)
    yield [(_line(columns, [column.title for column in columns], kept, widths, gap), "bold")]
    for row in cells:
        yield [(_line(columns, row, kept, widths, gap), "")]


def _line(
    columns: Sequence[Column], row: Sequence[str], kept: list[int], widths: list[int], gap: str
) -> str:
    parts = []
    for at in kept:
        text, cells = row[at], widths[at]
        if cell_len(text) > cells:
            text = set_cell_size(text, cells - 1) + _CUT
        blanks = " " * (cells - cell_len(text))
        parts.append(blanks + text if columns[at].right else text + blanks)
    return gap.join(parts).rstrip()


def _fitted(
    columns: Sequence[Column], widths: list[int], width: int, gap: str
) -> tuple[list[int], list[int]]:
    """Return the columns that stay and the cells of each, for lines of at most `width` cells."""
    kept = list(range(len(columns)))
    widths = list(widths)

    def excess() -> int:
        return sum(widths[at] for at in kept) + len(gap) * (len(kept) - 1) - width

    while excess() > 0 and (most := max(columns[at].spare for at in kept)):
        kept = [at for at in kept if columns[at].spare != most]
    texts = [at for at in kept if not columns[at].right]
    while (over := excess()) > 0 and texts:
        widest = max(texts, key=lambda at: widths[at])
        if widths[widest] <= _TEXT_CELLS:
            break
        widths[widest] -= min(over, widths[widest] - _TEXT_CELLS)
    return kept, widths
