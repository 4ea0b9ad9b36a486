# SPDX-License-Identifier: GPL-2.0-or-later
"""A word means the same guests wherever it is given, and a word that means none is refused."""

from __future__ import annotations

import pytest

from kvmlog.guests.lookup import GuestIndex, PinnedWords, WordIndex
from kvmlog.guests.model import Guest, GuestError

UUID = "6f5c2d10-0f4e-4b0c-9f6b-1f2f3a4b5c6d"


def guest(pid: int, name: str = "", *, start_ticks: int = 500, **known: object) -> Guest:
    """A QEMU guest; without a name it is called by its process."""
    return Guest(
        pid=pid,
        start_ticks=start_ticks,
        comm="qemu",
        kind="qemu",
        name=name or f"qemu:{pid}",
        named=bool(name),
        **known,  # type: ignore[arg-type]
    )


NAMED = guest(7, "web1", uuid=UUID, aliases=("ns_web1", "web"))
NAMELESS = guest(8)
LIKE_A_PID = guest(9, "7")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("web1", [NAMED]),
        ("ns_web1", [NAMED]),
        ("web", [NAMED]),
        (UUID, [NAMED]),
        (UUID.upper().replace("-", ""), [NAMED]),
        ("7", [NAMED, LIKE_A_PID]),
        ("9", [LIKE_A_PID]),
        ("qemu", [NAMELESS]),
        ("qemu:8", [NAMELESS]),
        ("WEB1", []),
        ("007", []),
        ("", []),
    ],
)
def test_a_word_means_every_guest_that_it_matches(word: str, expected: list[Guest]) -> None:
    """Names and aliases exactly, UUIDs in any spelling, pids; comm only where there is no name."""
    index = GuestIndex([NAMED, NAMELESS, LIKE_A_PID], "known")
    assert index.matching(word) == expected


def test_an_item_stands_once_under_a_word() -> None:
    """Also where two of its words are the same one once they are made fit to be shown."""
    index: WordIndex[int] = WordIndex()
    index.add(1, ("a\x1b", "a\\x1b", None))
    assert index.matching("a\x1b") == index.matching("a\\x1b") == [1]


def test_a_word_without_a_guest_is_refused_unless_it_was_accepted_before() -> None:
    """The sentence says which guests there are, and why there may be fewer than expected."""
    index = GuestIndex([NAMELESS], "known", "the file is damaged")
    assert index.resolve(["8", "web1"], accepted=["web1"]) == {"8": [NAMELESS], "web1": []}
    with pytest.raises(GuestError) as caught:
        index.resolve(["8", "web1"])
    assert str(caught.value) == (
        "no known guest has the name, UUID or pid 'web1'; name one of: qemu:8 (pid 8) "
        "(the file is damaged)"
    )


def test_a_pid_stays_with_its_process_and_a_name_does_not() -> None:
    """A later process of that pid is not meant; a later guest of that name is."""
    pinned = PinnedWords(GuestIndex([NAMED, NAMELESS], "running").resolve(["8", "web1"]))
    assert pinned.matching([NAMED, NAMELESS]) == [NAMELESS, NAMED]
    later = [guest(8, start_ticks=900), guest(10, "web1", start_ticks=901)]
    assert pinned.matching(later) == [later[1]]


def test_a_name_that_looks_like_a_pid_never_means_a_later_process() -> None:
    """The word "7" was only a name when it was given."""
    pinned = PinnedWords(GuestIndex([LIKE_A_PID], "running").resolve(["7"]))
    assert pinned.matching([LIKE_A_PID, NAMED]) == [LIKE_A_PID]
