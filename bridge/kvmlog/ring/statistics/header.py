# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of a statistics file's header before anything is mapped (statistics.h)."""

from __future__ import annotations

import os
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.ring import mapped_file
from kvmlog.util.errors import StatisticsError, StatisticsMissingError

MAGIC: Final = b"KVMLOGS\n"
HEADER_BYTES: Final[int] = lib.KVMLOG_STATISTICS_HEADER_BYTES
STATISTICS: Final = mapped_file.FileKind(
    "there are no statistics", StatisticsMissingError, StatisticsError, StatisticsError
)
_FIELDS: Final = (
    "file_bytes",
    "guests_offset",
    "reasons_offset",
    "blocks_offset",
    "rows_offset",
    "guests_capacity",
    "reasons_capacity",
    "blocks_capacity",
    "rows_capacity",
)


def layout(file_bytes: int) -> Any:
    """Return a struct kvmlog_statistics_header with the sizes and offsets of such a file.

    StatisticsError for a size that is not whole MiB within the limits of statistics.h.
    """
    header = ffi.new("struct kvmlog_statistics_header *")
    if lib.kvmlog_statistics_layout(file_bytes, header):
        raise StatisticsError(
            f"{file_bytes} bytes are no size of statistics; give whole MiB from "
            f"{lib.KVMLOG_STATISTICS_MIN_MIB} to {lib.KVMLOG_STATISTICS_MAX_MIB}"
        )
    return header


def read_header(path: str, fd: int) -> Any:
    """Return the checked header, a struct kvmlog_statistics_header; StatisticsError."""
    header = ffi.new("struct kvmlog_statistics_header *")
    size = ffi.sizeof("struct kvmlog_statistics_header")
    raw = os.pread(fd, size, 0)
    if len(raw) < size or raw[: len(MAGIC)] != MAGIC:
        raise StatisticsError(
            f"{path}: no kvmlog statistics (it begins {raw[:8]!r}, not {MAGIC!r}); "
            "name the bridge's ring (--ring)"
        )
    ffi.memmove(header, raw, size)
    STATISTICS.expect(path, "format", header.format_version, lib.KVMLOG_STATISTICS_FORMAT_VERSION)
    STATISTICS.expect(path, "record schema", header.schema_version, lib.KVMLOG_SCHEMA_VERSION)
    STATISTICS.expect_no_features(path, header.incompat_flags)
    try:
        known = layout(header.file_bytes)
    except StatisticsError as error:
        raise StatisticsError(f"{path}: damaged ({error}); restart the bridge") from None
    if any(getattr(known, name) != getattr(header, name) for name in _FIELDS):
        raise StatisticsError(f"{path}: damaged (its parts overlap); restart the bridge")
    if os.fstat(fd).st_size < header.file_bytes:
        raise StatisticsError(
            f"{path}: damaged ({os.fstat(fd).st_size} bytes, its header says "
            f"{header.file_bytes}); restart the bridge"
        )
    return header
