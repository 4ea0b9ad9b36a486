# SPDX-License-Identifier: GPL-2.0-or-later
"""Untrusted names and UUIDs, made safe to print, to keep and to compare."""

from __future__ import annotations

import re
from typing import Final

NAME_CHARACTERS: Final = 256
_UUID: Final = re.compile("-?".join(f"([0-9a-f]{{{digits}}})" for digits in (8, 4, 4, 4, 12)))


def clean(text: str | bytes, most: int = NAME_CHARACTERS) -> str:
    """Return the text in at most `most` characters, all of them printable.

    Anybody may start a guest and choose its name, which must not control terminals or logs. Bytes
    that are not UTF-8 become \\xNN, control and format characters Python's escapes.
    """
    # Cutting early is safe, since escaping never shortens the text.
    if isinstance(text, bytes):
        text = text[: 4 * most].decode("utf-8", "backslashreplace")
    text = text[:most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return text[:most]


def normal_uuid(text: str) -> str | None:
    """Return a UUID in lower case with dashes, from any spelling; None for anything else."""
    parts = _UUID.fullmatch(text.lower())
    return None if parts is None else "-".join(parts.groups())


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
