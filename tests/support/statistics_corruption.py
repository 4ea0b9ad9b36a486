# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers of a statistics file, read and overwritten where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kvmlog.native import ffi

STRUCT: Final = "struct kvmlog_statistics"
HEADER: Final = f"{STRUCT}_header"


def offset(field: str, struct: str = HEADER) -> int:
    """Return the offset of a field in the header, or in another struct."""
    return int(ffi.offsetof(struct, *field.split(".")))


def patch(path: Path, at: int, value: int, size: int = 4) -> None:
    """Overwrites a number of the file in its place."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value.to_bytes(size, "little"))


def number_at(path: Path, at: int, size: int = 4) -> int:
    """A number of the file."""
    with path.open("rb") as file:
        file.seek(at)
        return int.from_bytes(file.read(size), "little")


def element(path: Path, part: str) -> int:
    """Return the offset of the first guest, reason or row."""
    return number_at(path, offset(f"{part}s_offset"), 8)
