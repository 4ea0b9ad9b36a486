# SPDX-License-Identifier: GPL-2.0-or-later
"""The legacy text, character by character."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvmlog.rpcserver.methods import legacy_format

MS = 1_000_000
S = 1_000 * MS
MINUTE = 60 * S


def test_empty_is_none() -> None:
    """No exit: the word."""
    assert legacy_format.encode([], 0, 0) == "none"


def test_one_record() -> None:
    """Reason in hex; minute, second, millisecond in decimal."""
    assert legacy_format.encode([(12 * MINUTE + 34 * S + 56 * MS, 0x7B)], 0, 0) == "7B1234056"


def test_reason_above_fe_is_ff() -> None:
    """FE is the last that is written as it is."""
    exits = [(1, 0xFE), (2, 0xFF), (3, 0x400), (4, 0xFFFFFFFF)]
    assert legacy_format.encode(exits, 0, 0) == "FF0000000" * 3 + "FE0000000"


def test_time_is_cut_at_the_end_of_an_hour() -> None:
    """59:59.9999 stays; one step on it is 00:00.000."""
    assert legacy_format.encode([(60 * MINUTE - 1, 1)], 0, 0) == "015959999"
    assert legacy_format.encode([(60 * MINUTE, 1)], 0, 0) == "010000000"


def test_local_time() -> None:
    """A zone of a half hour moves the minute, east and west."""
    assert legacy_format.encode([(0, 1)], 0, 19_800) == "013000000"
    assert legacy_format.encode([(0, 1)], 0, -5_400) == "013000000"
    assert legacy_format.encode([(0, 1)], 0, 3_600) == "010000000"


def test_wall_time_is_monotonic_plus_difference() -> None:
    """The exit's own clock is not the wall's."""
    assert legacy_format.encode([(5 * MS, 1)], 3 * MINUTE + 2 * S, 0) == "010302005"


def test_newest_first_by_time_not_by_arrival() -> None:
    """Records of different CPUs arrive out of order."""
    assert legacy_format.encode([(2 * S, 2), (3 * S, 3), (1 * S, 1)], 0, 0) == (
        "030003000020002000010001000"
    )


def test_same_time_later_arrival_first() -> None:
    """A tie is broken by the order of arrival."""
    assert legacy_format.encode([(1, 0x0A), (1, 0x0B)], 0, 0)[:2] == "0B"


def test_at_most_1024_and_the_newest_of_them() -> None:
    """The 476 oldest of 1,500 are left out, wherever they arrived."""
    exits = [(n * MS, n % 200) for n in reversed(range(1_500))]
    text = legacy_format.encode(exits, 0, 0)
    assert len(text) == 1_024 * 9
    assert text[:9] == f"{1_499 % 200:02X}0001499"
    assert text[-9:] == f"{476 % 200:02X}0000476"


@given(
    st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**32 - 1)), max_size=50),
    st.integers(-(2**62), 2**62),
    st.integers(-86_400, 86_400),
)
def test_any_exit_is_nine_characters(
    exits: list[tuple[int, int]], to_wall_ns: int, offset_s: int
) -> None:
    """Whatever the clocks say, a record has its nine characters and a time that exists."""
    text = legacy_format.encode(exits, to_wall_ns, offset_s)
    if not exits:
        assert text == "none"
        return
    assert len(text) == 9 * len(exits)
    for at in range(0, len(text), 9):
        assert 0 <= int(text[at : at + 2], 16) <= 0xFF
        assert int(text[at + 2 : at + 4]) < 60
        assert int(text[at + 4 : at + 6]) < 60
        assert int(text[at + 6 : at + 9]) < 1_000
