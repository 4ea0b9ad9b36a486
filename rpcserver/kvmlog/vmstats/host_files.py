# SPDX-License-Identifier: GPL-2.0-or-later
"""Small files of /proc and /sys; what a kernel does not have, or does not let us read, is None."""

from __future__ import annotations

from typing import Final

# None that is read here is near it.
_FILE_BYTES: Final = 1 << 20
# More digits are no figure.
_DIGITS: Final = 20


def text(path: str) -> str | None:
    """Return the content of a file."""
    try:
        with open(path, "rb") as file:
            return file.read(_FILE_BYTES).decode("utf-8", "backslashreplace")
    except OSError:
        return None


def number(path: str) -> int | None:
    """Return the number that a file holds."""
    return digits(text(path))


def digits(word: str | None) -> int | None:
    """Parse a number without a sign; None for all else."""
    word = (word or "").strip()
    if len(word) > _DIGITS or not (word.isascii() and word.isdecimal()):
        return None
    return int(word)


def decimal(word: str) -> float | None:
    """Parse a decimal number without a sign; None for all else."""
    whole, _, fraction = word.partition(".")
    if digits(whole) is None or (fraction and digits(fraction) is None):
        return None
    return float(word)
