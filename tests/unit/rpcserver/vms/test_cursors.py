# SPDX-License-Identifier: GPL-2.0-or-later
"""What callers were told stays apart, and bounded."""

from __future__ import annotations

import pytest

from kvmlog.rpcserver.vms import cursors
from kvmlog.rpcserver.vms.cursors import Cursors


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def told(kept: Cursors[int], caller: object, word: str = "") -> int:
    """How often this caller has been told something, this time included."""
    return kept.advance(caller, word, lambda count: (count + 1, count + 1))


def test_each_caller_and_each_word_has_its_own() -> None:
    """One does not take another's growth."""
    kept = Cursors(0)
    assert [told(kept, "a"), told(kept, "a"), told(kept, "b"), told(kept, "a", "x")] == [1, 2, 1, 1]


def test_words_push_out_only_the_same_callers() -> None:
    """The one used longest ago goes."""
    kept = Cursors(0)
    assert told(kept, "b") == 1
    for word in range(cursors._MOST_WORDS):
        told(kept, "a", str(word))
    assert told(kept, "a", "0") == 2
    assert told(kept, "a", "one more") == 1
    assert told(kept, "a", "0") == 3
    assert told(kept, "a", "1") == 1
    assert told(kept, "b") == 2


def test_callers_are_bounded() -> None:
    """As words are."""
    kept = Cursors(0)
    for caller in range(cursors._MOST_CALLERS + 1):
        told(kept, caller)
    assert told(kept, 1) == 2
    assert told(kept, 0) == 1
    assert len(kept._told) == cursors._MOST_CALLERS


def test_an_hour_without_a_call_begins_anew() -> None:
    """Nothing of it is kept."""
    clock = Clock()
    kept = Cursors(0, clock)
    told(kept, "a")
    clock.now_s = cursors._KEPT_S
    assert (told(kept, "a"), told(kept, "b")) == (2, 1)
    clock.now_s = 2 * cursors._KEPT_S + 1
    assert told(kept, "b") == 1
    assert len(kept._told) == 1


def test_a_document_that_cannot_be_made_takes_nothing() -> None:
    """The next one begins where the last one ended."""
    kept = Cursors(0)
    told(kept, "a")

    def fail(_: int) -> tuple[int, int]:
        raise ValueError("no document")

    with pytest.raises(ValueError, match="no document"):
        kept.advance("a", "", fail)
    assert told(kept, "a") == 2
