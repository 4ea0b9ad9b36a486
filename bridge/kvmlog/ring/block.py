# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as one binary block: a header of 128 bytes, then whole records as the ring has them.

Everything is little-endian. docs/rpc.md, "The binary block", has the header's table; the records
are struct kvmlog_record of include/uapi/kvmlog/record.h.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kvmlog.ring.records import RECORD_BYTES, SCHEMA_VERSION
from kvmlog.util.errors import KvmlogError

MAGIC: Final = b"KVMLOGRB"
VERSION: Final = 1
HEADER_BYTES: Final = 128

_HEADER: Final = struct.Struct("<8sHHIII16sQQQQQQQQQi12x")


class BlockError(KvmlogError):
    """Bytes that are no block, or one that this version does not understand."""


class Span(NamedTuple):
    """A range of a ring's records, and the state of the ring at that moment; times in ns.

    Records first_index .. next_index - 1 were read; those of them that were requested are in the
    block.
    """

    ring_id: str  # 32 hex digits
    first_index: int
    next_index: int
    written: int  # records since the ring was made
    overwritten: int  # records after the requested position that were gone before they were read
    dropped: int  # exits that the source lost, since the ring was made
    lost_records: int  # all losses that count records, since the ring was made
    monotonic_ns: int  # the three clocks, read at one moment
    realtime_ns: int
    boottime_ns: int
    utc_offset_s: int


def encode(span: Span, records: bytes) -> bytes:
    """Return the block: the header, then `records`, which are whole records."""
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        HEADER_BYTES,
        SCHEMA_VERSION,
        RECORD_BYTES,
        len(records) // RECORD_BYTES,
        bytes.fromhex(span.ring_id),
        *span[1:],
    )
    return header + records


def decode(block: bytes) -> tuple[Span, bytes]:
    """Return header and records of a block; BlockError for anything else."""
    if len(block) < HEADER_BYTES or block[: len(MAGIC)] != MAGIC:
        raise BlockError("the reply is no block of records; is this a kvmlog server?")
    _, version, header, schema, size, count, ring_id, *numbers = _HEADER.unpack_from(block)
    if version != VERSION or schema != SCHEMA_VERSION or size != RECORD_BYTES:
        raise BlockError(
            f"block version {version}, schema {schema}, records of {size} bytes; this kvmlog knows "
            f"{VERSION}, {SCHEMA_VERSION} and {RECORD_BYTES}; use client and server of one version"
        )
    records = block[header:]
    if header < HEADER_BYTES or len(records) != count * RECORD_BYTES:
        raise BlockError(
            f"the block has {len(records)} bytes for {count} records of {size}; ask again"
        )
    return Span(ring_id.hex(), *numbers), records
