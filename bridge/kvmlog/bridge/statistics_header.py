# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks a statistics file's header before anything is mapped (statistics.h)."""

from __future__ import annotations

import os
import stat
from typing import Any, Final

from kvmlog.bridge._native import ffi, lib
from kvmlog.bridge.errors import StatisticsError, StatisticsMissingError

MAGIC: Final = b"KVMLOGS\n"
HEADER_BYTES: Final[int] = lib.KVMLOG_STATISTICS_HEADER_BYTES
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


def open_file(path: str, flags: int) -> int:
    """A descriptor of the statistics file, or StatisticsMissingError, StatisticsError."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StatisticsMissingError(
            f"{path}: there are no statistics; start the bridge (kvmlog bridge) or name its ring "
            "(--ring)"
        ) from None
    except PermissionError:
        raise StatisticsError(
            f"{path}: no permission; be root or in the group of the file (group kvmlog)"
        ) from None
    except OSError as error:
        raise StatisticsError(f"{path}: cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise StatisticsError(f"{path}: not a regular file; name the bridge's ring (--ring)")
    return fd


def layout(file_bytes: int) -> Any:
    """A struct kvmlog_statistics_header with sizes and offsets of such a file filled in.

    StatisticsError for a size that cannot be: whole MiB within the limits of statistics.h.
    """
    header = ffi.new("struct kvmlog_statistics_header *")
    if lib.kvmlog_statistics_layout(file_bytes, header):
        raise StatisticsError(
            f"{file_bytes} bytes are no size of statistics; give whole MiB from "
            f"{lib.KVMLOG_STATISTICS_MIN_MIB} to {lib.KVMLOG_STATISTICS_MAX_MIB}"
        )
    return header


def read_header(path: str, fd: int) -> Any:
    """The header, checked: a struct kvmlog_statistics_header; StatisticsError."""
    header = ffi.new("struct kvmlog_statistics_header *")
    size = ffi.sizeof("struct kvmlog_statistics_header")
    raw = os.pread(fd, size, 0)
    if len(raw) < size or raw[: len(MAGIC)] != MAGIC:
        raise StatisticsError(
            f"{path}: no kvmlog statistics (it begins {raw[:8]!r}, not {MAGIC!r}); "
            "name the bridge's ring (--ring)"
        )
    ffi.memmove(header, raw, size)
    _expect(path, "format", header.format_version, lib.KVMLOG_STATISTICS_FORMAT_VERSION)
    _expect(path, "record schema", header.schema_version, lib.KVMLOG_SCHEMA_VERSION)
    if header.incompat_flags:
        raise StatisticsError(
            f"{path}: needs features {header.incompat_flags:#x} that this version does not know; "
            "upgrade kvmlog"
        )
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


def _expect(path: str, what: str, found: int, known: int) -> None:
    if found != known:
        raise StatisticsError(
            f"{path}: {what} {found}, this version knows {known}; "
            "restart the bridge or use the kvmlog that wrote it"
        )
