# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as readers see them: by the number of a record, by process, by word."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.guests.model import Guest, encode
from kvmlog.guests.names import GuestError, GuestNames

S = 10**9
TICK_NS = S // os.sysconf("SC_CLK_TCK")
UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
OLD = Guest(7, 500, "qemu", "qemu", "old", True, numbers=((1, 100 * S), (2, 150 * S)))
NEW = Guest(8, 600, "qemu", "qemu", "new", True, uuid=UUID, numbers=((1, 200 * S),))
NEITHER = Guest(9, 0, "x", "other", "x:9", False, ended_realtime_ns=1)


@pytest.fixture
def ring(tmp_path: Path) -> str:
    """Return the path of a ring with guests."""
    put(str(tmp_path / "ring"), OLD, NEW, NEITHER)
    return str(tmp_path / "ring")


def put(ring: str, *guests: Guest) -> None:
    """Replace the file, as the bridge does."""
    fresh = Path(f"{ring}.guests.new")
    fresh.write_bytes(encode(bytes(16), guests))
    fresh.rename(f"{ring}.guests")


@pytest.mark.parametrize(
    ("number", "ns", "name"),
    [
        (1, 100 * S, "old"),
        (1, 99 * S, "old"),
        (1, 99 * S - 1, None),
        (1, 199 * S, "old"),
        # Another CPU's clock was read a moment earlier, not half a second.
        (1, 200 * S - 1000, "new"),
        (1, 200 * S - S // 2, "old"),
        (1, 200 * S, "new"),
        (1, 10**6 * S, "new"),
        (2, 149 * S, "old"),
        (2, 10**6 * S, "old"),
        (3, 200 * S, None),
        (0, 200 * S, None),
    ],
)
def test_a_number_is_its_last_owners(ring: str, number: int, ns: int, name: str | None) -> None:
    """Numbers begin again with each load of the source; nobody gets what is older."""
    guest = GuestNames(ring).of_number(number, ns)
    assert (guest and guest.name) == name


def test_a_process_is_known_by_pid_and_start(ring: str) -> None:
    """Any ns of the start's tick; without a start it is nobody."""
    names = GuestNames(ring)
    assert names.of_process(7, 500 * TICK_NS) == OLD
    assert names.of_process(7, 501 * TICK_NS - 1) == OLD
    assert names.of_process(7, 501 * TICK_NS) is None
    assert names.of_process(8, 500 * TICK_NS) is None
    assert names.of_process(9, 0) is None


def test_words_match_running_and_ended(ring: str) -> None:
    """Each guest once, in the order of the words."""
    names = GuestNames(ring)
    assert names.matching(["x:9", UUID.upper(), "old", "7", "9"]) == [NEITHER, NEW, OLD]
    assert names.guests() == [OLD, NEW, NEITHER]
    assert names.matching([]) == []


def test_a_word_that_matches_none_lists_those_known(ring: str) -> None:
    """The message lists the known guests; the words that match give no partial result."""
    with pytest.raises(GuestError) as caught:
        GuestNames(ring).matching(["old", "web9"])
    assert str(caught.value) == (
        "no known guest has the name, UUID or pid 'web9'; "
        "name one of: old (pid 7), new (pid 8), x:9 (pid 9)"
    )


def test_a_missing_file_has_no_guests(tmp_path: Path) -> None:
    """The bridge has not written one, or is an older one."""
    names = GuestNames(str(tmp_path / "ring"))
    assert (names.guests(), names.problem, names.reload()) == ([], None, False)
    with pytest.raises(GuestError, match="there is no known guest at all"):
        names.matching(["web1"])


def test_another_file_is_read_and_the_same_is_not(ring: str) -> None:
    """Whenever the bridge has put a new one, and when there is none any more."""
    names = GuestNames(ring)
    assert not names.reload()
    put(ring, replace(NEW, numbers=((5, 1),)))
    assert [names.reload(), names.reload()] == [True, False]
    assert [guest.name for guest in names.guests()] == ["new"]
    assert names.of_number(1, 200 * S) is None
    assert names.of_number(5, 1) == names.guests()[0]
    Path(f"{ring}.guests").unlink()
    assert [names.reload(), names.reload()] == [True, False]
    assert names.guests() == []


def test_a_file_of_no_use_is_told_and_stands_in_nobodys_way(ring: str) -> None:
    """Records can be shown without names."""
    names = GuestNames(ring)
    Path(f"{ring}.guests").write_bytes(b"garbage")
    assert names.reload()
    assert names.guests() == []
    assert names.problem == (
        f"{ring}.guests: no file of guests, or a damaged one (no JSON); "
        "remove it and restart the bridge"
    )
    with pytest.raises(GuestError, match=r"no known guest .* \(.*damaged one"):
        names.matching(["old"])
    put(ring, OLD)
    assert names.reload()
    assert names.guests() == [OLD]
    assert not names.problem
