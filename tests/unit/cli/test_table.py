# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables on a pipe and on a terminal."""

from __future__ import annotations

import io

import pytest

from kvmlog.cli.table import Column, Pairs, Table, lines, redrawn, show, styled

COLUMNS = (
    Column("GUEST", width=6),
    Column("COUNT", right=True, width=7),
    Column("P50", right=True, spare=2),
    Column("P90", right=True, spare=1),
    Column("NOTE"),
)
ROWS = (("web1", "12", "3us", "4us", "nested"), ("a-long-name", "7", "", "1.00ms", ""))


class Terminal(io.StringIO):
    """Terminal that keeps what is printed on it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """80 cells wide, with colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def fitted(width: int) -> list[str]:
    """The lines on a terminal of that width, without styles."""
    return styled([Table(COLUMNS, ROWS)], width).plain.splitlines()


def test_plain_columns() -> None:
    """Numbers to the right, an empty cell is "-", two blanks between, none at the end."""
    assert list(lines([Table(COLUMNS, ROWS)])) == [
        "GUEST          COUNT  P50     P90  NOTE",
        "web1              12  3us     4us  nested",
        "a-long-name        7    -  1.00ms  -",
    ]


def test_plain_is_never_cut() -> None:
    """However long: a program reads it."""
    (header, line) = lines([Table((Column("NAME"), Column("N")), [("x" * 500, "1")])])
    assert line == "x" * 500 + "  1"
    assert header == "NAME".ljust(500) + "  N"


def test_tables_line_up_by_their_least_width() -> None:
    """One after the other, as -i prints them."""
    first, second = (
        list(lines([Table((Column("A", width=9), Column("B")), [(cell, "x")])]))[1]
        for cell in ("1", "12345678")
    )
    assert first.index("x") == second.index("x") == 11


def test_other_peoples_names_move_no_cursor() -> None:
    """Control characters, markup and lone surrogates are shown as what they are."""
    name = "a\x1b[2J\n[bold]b\udcff\u202e"
    (_, line) = lines([Table((Column("NAME"),), [(name,)])])
    assert line == "a\\x1b[2J\\n[bold]b\\udcff\\u202e"
    assert styled([name], 80).plain == line + "\n"


def test_wide_characters_take_two_cells() -> None:
    """Cells are counted as terminals show them."""
    table = Table((Column("NAME"), Column("N")), [("仮想", "1"), ("abcd", "2")])
    assert list(lines([table])) == ["NAME  N", "仮想  1", "abcd  2"]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (44, "a-long-name        7    -  1.00ms  -"),
        (39, "a-long-name        7  1.00ms  -"),
        (30, "a-long-name        7  -"),
        (26, "a-long-n…        7  -"),
        (10, "a-long-…        7  -"),
    ],
)
def test_a_narrow_terminal(width: int, expected: str) -> None:
    """Spare space goes first, then text is cut; figures are shown whole or not at all."""
    assert fitted(width)[2] == expected


def test_columns_of_one_worth_go_together() -> None:
    """A pair is shown whole or not at all, even where half of it would fit."""
    pair = [Column(title, width=6, spare=1) for title in ("READS", "WRITES")]
    table = Table([Column("NAME", width=6), *pair, Column("OTHER", width=6, spare=2)], [])
    titles = {width: next(lines([table], width)).split() for width in (30, 22, 21, 14)}
    assert titles == {
        30: ["NAME", "READS", "WRITES", "OTHER"],
        22: ["NAME", "READS", "WRITES"],
        21: ["NAME"],
        14: ["NAME"],
    }


def test_a_gap_of_one_blank_is_for_terminals() -> None:
    """Elsewhere columns are told apart by two, whatever the table wants."""
    table = Table(COLUMNS, ROWS, gap=" ")
    assert next(lines([table])) == "GUEST          COUNT  P50     P90  NOTE"
    assert next(lines([table], 80)) == "GUEST         COUNT P50    P90 NOTE"
    # Where two blanks would have cost a column.
    assert next(lines([table], 37)).split() == ["GUEST", "COUNT", "P50", "P90", "NOTE"]
    assert fitted(37)[0].split() == ["GUEST", "COUNT", "P90", "NOTE"]


def test_a_terminal_gets_a_bold_header(terminal: Terminal) -> None:
    """And nothing else that a pipe would not get."""
    show(Table(COLUMNS, ROWS), Pairs([("ring", "there")]), "done", stream=terminal)
    assert terminal.getvalue().splitlines() == [
        "\x1b[1mGUEST          COUNT  P50     P90  NOTE\x1b[0m",
        "web1              12  3us     4us  nested",
        "a-long-name        7    -  1.00ms  -",
        "\x1b[1mring        \x1b[0mthere",
        "done",
    ]


def test_a_dumb_terminal_gets_no_escapes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TERM=dumb."""
    monkeypatch.setenv("TERM", "dumb")
    show(Table(COLUMNS, ROWS), stream=terminal)
    assert "\x1b" not in terminal.getvalue()


def test_pairs_are_name_and_value() -> None:
    """Twelve cells for the name, as `kvmlog status` ever had them."""
    assert list(lines([Pairs([("tracing", "on"), ("", "more")])])) == [
        "tracing     on",
        "            more",
    ]


def test_redrawn_replaces_what_was_there(terminal: Terminal) -> None:
    """The cursor goes up over the lines of before; the last ones stay."""
    with redrawn(terminal) as replace:
        replace([Table((Column("N"),), [("1",)])])
        replace([Table((Column("N"),), [("2",)])])
    before, after = terminal.getvalue().split("\x1b[1A", 1)
    assert before.splitlines()[1] == "1"
    assert after.splitlines()[1] == "2"
