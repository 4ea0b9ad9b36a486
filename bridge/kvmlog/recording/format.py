# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of a recording as bytes (include/uapi/kvmlog/recording.h, docs/recording-format.md)."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, Final, NamedTuple

from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES, SCHEMA_VERSION, Bytes
from kvmlog.util.errors import KvmlogError

MAGIC: Final = b"KVMLOGF\n"
BLOCK_MAGIC: Final = b"KVMB"
FORMAT_VERSION: Final[int] = lib.KVMLOG_RECORDING_FORMAT_VERSION
BLOCK_RECORDS: Final[int] = lib.KVMLOG_RECORDING_BLOCK_RECORDS
HEADER: Final[int] = lib.KVMLOG_RECORDING_HEADER
GUESTS: Final[int] = lib.KVMLOG_RECORDING_GUESTS
CLOCKS: Final[int] = lib.KVMLOG_RECORDING_CLOCKS
RECORDS: Final[int] = lib.KVMLOG_RECORDING_RECORDS
END: Final[int] = lib.KVMLOG_RECORDING_END

# struct kvmlog_recording_start and _block.
_START: Final = struct.Struct("<8s6I")
_BLOCK: Final = struct.Struct("<4sB3x4I3Q4xI")
_CRC: Final = struct.Struct("<I")
START_BYTES: Final = _START.size
BLOCK_BYTES: Final = _BLOCK.size
if (
    ffi.sizeof("struct kvmlog_recording_start"),
    ffi.sizeof("struct kvmlog_recording_block"),
) != (START_BYTES, BLOCK_BYTES):
    raise ImportError("format.py and recording.h differ")
_RECORDS_BYTES: Final[int] = lib.KVMLOG_RECORDING_RECORDS_BYTES
_TEXT_BYTES: Final[int] = lib.KVMLOG_RECORDING_TEXT_BYTES
# For memory that C fills: zeroing it first would be wasted.
_new_uninitialized: Final[Any] = ffi.new_allocator(should_clear_after_alloc=False)


class RecordingError(KvmlogError):
    """The recording cannot be read, or not be written."""


class DamagedBlockError(RecordingError):
    """The content of one block is not what was written."""


class Block(NamedTuple):
    """A block's header; times in ns (CLOCK_MONOTONIC), 0 in blocks of text."""

    kind: int  # enum kvmlog_recording_kind
    stored_bytes: int  # of the content behind the header
    plain_bytes: int  # of text; 0: records
    records: int
    content_crc: int
    first_ns: int  # least time of a record
    last_ns: int  # greatest
    lost_records: int  # known to be missing in the recording, up to here


def start() -> bytes:
    """Return what a file begins with."""
    return _START.pack(MAGIC, FORMAT_VERSION, SCHEMA_VERSION, 0, 0, RECORD_BYTES, 0)


def check_start(path: str, raw: bytes) -> None:
    """Raise RecordingError unless a file that begins so can be read by this version."""
    if not raw.startswith(MAGIC[: len(raw)]) or not raw:
        raise RecordingError(
            f"{path}: no recording (it begins {raw[:8]!r}, not {MAGIC!r}); "
            "name a file that kvmlog record made"
        )
    if len(raw) < START_BYTES:
        raise RecordingError(
            f"{path}: cut short before its first block ({len(raw)} bytes); record again"
        )
    _, version, schema, _, incompat, record_bytes, _ = _START.unpack(raw)
    unknown = incompat & ~lib.KVMLOG_RECORDING_INCOMPAT_KNOWN
    for what, found, known in (
        ("format", version, FORMAT_VERSION),
        ("record schema", schema, SCHEMA_VERSION),
        ("record size", record_bytes, RECORD_BYTES),
        ("features", unknown, 0),
    ):
        if found != known:
            raise RecordingError(
                f"{path}: {what} {found}, this kvmlog knows {known}; "
                "read it with the version of kvmlog that recorded it"
            )


def records_block(records: Bytes, lost_records: int) -> bytes:
    """Return a block of 1 to BLOCK_RECORDS whole records; lost_records: so far, in all."""
    count = len(records) // RECORD_BYTES
    native = ffi.from_buffer("struct kvmlog_record[]", records)
    out = _new_uninitialized("__u8[]", _RECORDS_BYTES)
    times = ffi.new("__u64[2]")
    length = lib.kvmlog_recording_encode(native, count, out, times)
    if length < 0:
        raise RecordingError(f"{count} records of {len(records)} bytes make no block")
    content = bytes(ffi.buffer(out, length))
    head = Block(RECORDS, length, 0, count, zlib.crc32(content), times[0], times[1], lost_records)
    return _header(head) + content


def text_block(kind: int, text: bytes, lost_records: int = 0) -> bytes:
    """Return a block of text; RecordingError for more than a reader takes."""
    room = lib.kvmlog_recording_text_room(len(text))
    out = _new_uninitialized("__u8[]", room)
    length = lib.kvmlog_recording_pack(text, len(text), out, room)
    if len(text) > _TEXT_BYTES or length < 0:
        raise RecordingError(f"{len(text)} bytes of text; a block has at most {_TEXT_BYTES}")
    content = bytes(ffi.buffer(out, length))
    head = Block(kind, length, len(text), 0, zlib.crc32(content), 0, 0, lost_records)
    return _header(head) + content


def json_block(kind: int, content: Any, lost_records: int = 0) -> bytes:
    """Return a block of JSON."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text_block(kind, text.encode("utf-8", "backslashreplace"), lost_records)


def read_header(raw: bytes) -> Block | None:
    """Return the header that these bytes are; None: of no block, or of one that cannot be."""
    if len(raw) != BLOCK_BYTES or not raw.startswith(BLOCK_MAGIC):
        return None
    _, *fields, header_crc = _BLOCK.unpack(raw)
    if header_crc != zlib.crc32(raw[: -_CRC.size]):
        return None
    found = Block(*fields)
    if found.kind == RECORDS:
        fits = 1 <= found.records <= BLOCK_RECORDS and found.stored_bytes <= _RECORDS_BYTES
    else:
        fits = not found.records and max(found.stored_bytes, found.plain_bytes) <= _TEXT_BYTES
    return found if fits else None


def records_of(block: Block, content: bytes) -> bytes:
    """Return the whole records of a block; DamagedBlockError."""
    _check_content(block, content)
    records = _new_uninitialized("struct kvmlog_record[]", block.records)
    rc = lib.kvmlog_recording_decode(content, len(content), records, block.records)
    if rc < 0:
        raise DamagedBlockError("a block of records is damaged")
    return bytes(ffi.buffer(records))


def text_of(block: Block, content: bytes) -> bytes:
    """Return the text of a block; DamagedBlockError."""
    _check_content(block, content)
    text = _new_uninitialized("__u8[]", max(1, block.plain_bytes))
    if lib.kvmlog_recording_unpack(content, len(content), text, block.plain_bytes) < 0:
        raise DamagedBlockError("a block of text is damaged")
    return bytes(ffi.buffer(text, block.plain_bytes))


def json_of(block: Block, content: bytes) -> Any:
    """Return the content of a block of JSON; DamagedBlockError."""
    try:
        return json.loads(text_of(block, content))
    except (ValueError, RecursionError):
        raise DamagedBlockError("a block of text is no JSON") from None


def _header(block: Block) -> bytes:
    raw = _BLOCK.pack(BLOCK_MAGIC, *block, 0)[: -_CRC.size]
    return raw + _CRC.pack(zlib.crc32(raw))


def _check_content(block: Block, content: bytes) -> None:
    if len(content) != block.stored_bytes or zlib.crc32(content) != block.content_crc:
        raise DamagedBlockError("the checksum of a block is wrong")
