# SPDX-License-Identifier: GPL-2.0-or-later
"""Names and UUIDs from outside, made fit to be shown, kept and compared."""

from __future__ import annotations

import re
from typing import Final

NAME_CHARACTERS: Final = 256
_UUID: Final = re.compile("-?".join(f"([0-9a-f]{{{digits}}})" for digits in (8, 4, 4, 4, 12)))


def clean(text: str | bytes, most: int = NAME_CHARACTERS) -> str:
    """The text in at most `most` characters, all of them printable.

    Whoever starts a guest chooses its name: terminals and logs must not obey it. Bytes that are
    no UTF-8 are shown as \\xNN, control and format characters as Python escapes them.
    """
    # No character becomes less than one: what is cut here would be cut below.
    if isinstance(text, bytes):
        text = text[: 4 * most].decode("utf-8", "backslashreplace")
    text = text[:most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return text[:most]


def normal_uuid(text: str) -> str | None:
    """Lower case with dashes, from any case with or without; None for what is no UUID."""
    parts = _UUID.fullmatch(text.lower())
    return None if parts is None else "-".join(parts.groups())


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
