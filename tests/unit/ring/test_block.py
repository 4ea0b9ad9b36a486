# SPDX-License-Identifier: GPL-2.0-or-later
"""The binary block, byte for byte as docs/rpc.md has it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.ring import block
from kvmlog.ring.block import BlockError, Span
from tests.support.records import exit_bytes

SPAN = Span("0123456789abcdef" * 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, -3600)


def test_every_field_stands_where_the_document_says() -> None:
    """Offsets as literal numbers."""
    raw = block.encode(SPAN, exit_bytes(exit_ns=77) * 2)
    assert raw[:8] == b"KVMLOGRB"
    assert struct.unpack_from("<HH", raw, 8) == (1, 128)
    assert struct.unpack_from("<III", raw, 12) == (2, 112, 2)
    assert raw[24:40].hex() == SPAN.ring_id
    assert struct.unpack_from("<9Q", raw, 40) == (1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert struct.unpack_from("<i", raw, 112) == (-3600,)
    assert raw[116:128] == bytes(12)
    assert raw[128:] == exit_bytes(exit_ns=77) * 2
    assert block.decode(raw) == (SPAN, exit_bytes(exit_ns=77) * 2)


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (0, b"x", "no block of records"),
        (8, b"\2", "block version 2, schema 2, records of 112 bytes; this kvmlog knows 1, 2"),
        (12, b"\7", "block version 1, schema 7"),
        (16, b"\1", "records of 1 bytes"),
        (20, b"\5", "112 bytes for 5 records of 112; ask again"),
        (10, b"\0", "ask again"),
    ],
)
def test_another_block_is_refused(at: int, value: bytes, sentence: str) -> None:
    """Version, schema and sizes are checked before anything is taken for a record."""
    raw = bytearray(block.encode(SPAN, exit_bytes()))
    raw[at : at + len(value)] = value
    with pytest.raises(BlockError, match=sentence):
        block.decode(bytes(raw))


@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_block_or_refused(raw: bytes) -> None:
    """Bytes of any kind give a block or BlockError."""
    with pytest.raises(BlockError):
        block.decode(block.MAGIC + b"\1\0" + raw)
