# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of others made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control characters, lone surrogates and the like escaped.

    Names of guests and processes are untrusted: none of them may move the cursor.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
