# SPDX-License-Identifier: GPL-2.0-or-later
"""The records as numpy reads them: types made from the C structs, without copying a byte."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES

Array: TypeAlias = np.ndarray[Any, Any]

_FORMATS: Final = {
    "unsigned char": "u1",
    "unsigned short": "u2",
    "short": "i2",
    "unsigned int": "u4",
    "unsigned long long": "u8",
    "long long": "i8",
}


def dtype_of(struct: str) -> np.dtype[Any]:
    """Return the numpy type of a C struct, with the names and offsets of its fields."""
    kind = ffi.typeof(f"struct {struct}")
    names, formats, offsets = [], [], []
    for name, field in kind.fields:
        if name.startswith("reserved"):
            continue
        array = field.type.kind == "array"
        names.append(name)
        formats.append(f"S{ffi.sizeof(field.type)}" if array else _FORMATS[field.type.cname])
        offsets.append(field.offset)
    layout: Any = {
        "names": names,
        "formats": formats,
        "offsets": offsets,
        "itemsize": ffi.sizeof(kind),
    }
    return np.dtype(layout)


EXIT: Final = dtype_of("kvmlog_record")
_FIGURES: Final = dtype_of("kvmlog_exit_figures")


def exits_of(records: bytes | bytearray) -> Array:
    """Return whole records as an array; those of other types share the first and last fields."""
    return np.frombuffer(records, EXIT)


def columns_of(exits: Array) -> dict[str, Array]:
    """Return each field of records as an array of its own, which is faster to go over often."""
    return {name: np.ascontiguousarray(exits[name]) for name in exits.dtype.names or ()}


def figures_of(exits: Array) -> Array:
    """Return who spent the time of each exit, as the statistics count it."""
    exits = np.ascontiguousarray(exits)
    figures = np.zeros(len(exits), _FIGURES)
    if len(exits):
        lib.kvmlog_exit_figures(
            ffi.cast("struct kvmlog_record *", ffi.from_buffer(exits.view("u1"))),
            len(exits),
            ffi.cast("struct kvmlog_exit_figures *", ffi.from_buffer(figures.view("u1"))),
        )
    return figures


def in_time_order(records: bytes | bytearray) -> Array:
    """Return the records as an array sorted by time, equal times as they came.

    A guest's announcement stands before its exits of these records (kvmlog.cli.records).
    """
    exits = exits_of(records)
    kinds = exits["type"]
    # Doubled, so that an announcement finds a place right before an exit of the same time.
    keys = exits["exit_ns"].astype("u8") * 2 + 1
    for at in np.flatnonzero(kinds == lib.KVMLOG_RECORD_GUEST):
        later = exits[at:]
        own = (later["type"] == lib.KVMLOG_RECORD_EXIT) & (later["guest"] == exits["guest"][at])
        first = later["exit_ns"][own].min() if own.any() else exits["exit_ns"][at]
        keys[at] = min(int(exits["exit_ns"][at]), int(first)) * 2
    if np.all(keys[1:] >= keys[:-1]):
        return exits
    return exits[np.argsort(keys, kind="stable")]


def record_bytes(exits: Array, at: int) -> bytes:
    """Return one record of an array as its bytes."""
    found = exits[at : at + 1].tobytes()
    assert len(found) == RECORD_BYTES
    return found
