# SPDX-License-Identifier: GPL-2.0-or-later
"""The word that an unknown one was probably meant for, in refusals of both protocols."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_NEAR_ENOUGH: Final = 0.5
_CHARACTERS: Final = 64


def meant(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean WORD?)"; "" where none is near."""
    close = difflib.get_close_matches(word[:_CHARACTERS], known, 1, _NEAR_ENOUGH)
    return f" (did you mean {close[0]}?)" if close else ""


def one_of(word: object, known: Iterable[str]) -> str:
    """Return what is accepted in place of a word, "give one of A, B (did you mean A?)"."""
    near = meant(word, known) if isinstance(word, str) else ""
    return f"give one of {', '.join(known)}{near}"
