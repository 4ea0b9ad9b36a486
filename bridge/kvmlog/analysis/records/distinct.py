# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of many records, each distinct one made once: numbers for keys, dictionaries for Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from kvmlog.analysis.records.structs import Array

NONE: Final = -1
# Keys whose words are remembered; addresses of guests may be any number of them.
_KNOWN_MOST: Final = 1 << 20


def factorize(values: Array) -> tuple[Array, Array]:
    """Return the number of each value's distinct value, and these: values == distinct[codes]."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_numpy()


def distinct_rows(columns: Sequence[Array]) -> tuple[Array, list[tuple[int, ...]]]:
    """Return the number of each row's distinct row, and these, as tuples of integers."""
    codes, first = factorize(columns[0])
    parts = [first]
    for column in columns[1:]:
        own, values = factorize(column)
        combined = codes.astype("i8") * len(values) + own
        codes, pairs = factorize(combined)
        parts = [part[pairs // len(values)] for part in parts]
        parts.append(values[pairs % len(values)])
    return codes, list(zip(*(part.tolist() for part in parts), strict=True))


class Dictionary:
    """The texts of one column: each has a number, which stays as more are added."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._array: Any = pa.array([], pa.string())

    def number(self, text: str | None) -> int:
        """Return the number of a text, new or not; NONE for none."""
        if text is None:
            return NONE
        return self._numbers.setdefault(text, len(self._numbers))

    def column(self, numbers: Array) -> Any:
        """Return an Arrow dictionary array of the texts with these numbers, null for NONE."""
        if len(self._array) != len(self._numbers):
            self._array = pa.array(list(self._numbers), pa.string())
        numbers = np.asarray(numbers, "i4")
        indices = pa.array(numbers, mask=numbers == NONE)
        return pa.DictionaryArray.from_arrays(indices, self._array)


class Decoder:
    """A column of texts made of integers, of which each distinct set is decoded once."""

    def __init__(self, decode: Callable[..., str | None]) -> None:
        self._decode = decode
        self._known: dict[tuple[int, ...], int] = {}
        self.texts: Final = Dictionary()

    def column(self, columns: Sequence[Array], rows: Array) -> Any:
        """Return the texts of rows (where true), null elsewhere; the arrays are of those rows."""
        numbers = np.full(len(rows), NONE, "i4")
        if rows.any():
            codes, keys = distinct_rows(columns)
            numbers[rows] = np.array([self._number(key) for key in keys], "i4")[codes]
        return self.texts.column(numbers)

    def _number(self, key: tuple[int, ...]) -> int:
        found = self._known.get(key)
        if found is None:
            found = self.texts.number(self._decode(*key))
            if len(self._known) < _KNOWN_MOST:
                self._known[key] = found
        return found
