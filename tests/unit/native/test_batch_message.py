# SPDX-License-Identifier: GPL-2.0-or-later
"""A message is a batch only when it is what netlink.h says, to the byte."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.native import ffi, lib
from tests.native import lib as testing
from tests.support.batches import FAMILY, ack, batch, exits

GOOD = batch(exits(0, 3), cpu=2, sequence=7, dropped=5, epoch=9)


def verdict(message: bytes, port: int = 0, truncated: bool = False, size: int | None = None) -> int:
    """Return the result of kvmlog_batch_check; `size`: the value that recvmsg returned."""
    head = message[:64].ljust(64, b"\0")
    out = ffi.new("struct kvmlog_batch *")
    length = len(message) if size is None else size
    return int(testing.kvmlog_batch_check(head, length, port, truncated, FAMILY, out))


def patched(offset: int, value: bytes) -> bytes:
    """GOOD with some bytes changed."""
    return GOOD[:offset] + value + GOOD[offset + len(value) :]


def test_a_good_batch_is_taken_with_all_its_fields() -> None:
    """The header stands where KVMLOG_BATCH_OFFSET says."""
    out = ffi.new("struct kvmlog_batch *")
    verdict_of_good = testing.kvmlog_batch_check(GOOD[:64], len(GOOD), 0, 0, FAMILY, out)
    assert verdict_of_good == lib.KVMLOG_BATCH_OK
    assert (out.cpu, out.count, out.sequence, out.dropped) == (2, 3, 7, 5)
    assert (out.config_epoch, out.record_bytes) == (9, 112)


@pytest.mark.parametrize("count", [0, 1, lib.KVMLOG_BATCH_RECORDS])
def test_the_smallest_and_the_largest_batch_are_taken(count: int) -> None:
    """KVMLOG_BATCH_RECORDS is the most; the message is then KVMLOG_MESSAGE_BYTES long.

    Without records it reports losses.
    """
    message = batch(exits(0, count))
    assert verdict(message) == lib.KVMLOG_BATCH_OK
    assert count < 2 or len(message) == lib.KVMLOG_MESSAGE_BYTES


BAD: dict[str, tuple[Callable[[], int], str]] = {
    "from another process": (lambda: verdict(GOOD, port=4711), "SENDER"),
    "truncated": (lambda: verdict(GOOD, truncated=True), "TRUNCATED"),
    "empty": (lambda: verdict(b""), "LENGTH"),
    "shorter than a header": (lambda: verdict(GOOD[:15]), "LENGTH"),
    "cut": (lambda: verdict(GOOD[:-1]), "LENGTH"),
    "longer than it says": (lambda: verdict(GOOD + b"\0\0\0\0"), "LENGTH"),
    "a header alone": (lambda: verdict(struct.pack("=IHHII", 16, FAMILY, 0, 0, 0)), "LENGTH"),
    "cut before the records": (
        lambda: verdict(struct.pack("=I", 40) + GOOD[4:40]),
        "LENGTH",
    ),
    "another family": (lambda: verdict(patched(4, b"\x77\0")), "LAYOUT"),
    "another version": (lambda: verdict(patched(17, b"\x02")), "LAYOUT"),
    "another first attribute": (lambda: verdict(patched(22, b"\x01\0")), "LAYOUT"),
    "a longer first attribute": (lambda: verdict(patched(20, b"\x28\0")), "LAYOUT"),
    "no pad": (lambda: verdict(patched(58, b"\x17\0")), "LAYOUT"),
    "another last attribute": (lambda: verdict(patched(62, b"\x15\0")), "LAYOUT"),
    "a shorter last attribute": (lambda: verdict(patched(60, b"\x04\0")), "LAYOUT"),
    "exits without records": (lambda: verdict(batch(b"", exit_count=1)), "COUNT"),
    "records that are not counted": (lambda: verdict(batch(exits(0, 1), count=0)), "LAYOUT"),
    "too many records": (lambda: verdict(batch(exits(0, lib.KVMLOG_BATCH_RECORDS + 1))), "COUNT"),
    "more exits than records": (lambda: verdict(batch(exits(0, 1), exit_count=2)), "COUNT"),
    "a count that lies": (lambda: verdict(batch(exits(0, 3), count=2)), "LAYOUT"),
    "another record size": (lambda: verdict(batch(exits(0, 3), record_bytes=32)), "RECORD"),
    "an impossible CPU": (lambda: verdict(batch(exits(0, 1), cpu=65_535)), "CPU"),
    "an acknowledgement": (lambda: verdict(ack()), "CONTROL"),
    "another command": (lambda: verdict(patched(16, b"\x01")), "CONTROL"),
}


@pytest.mark.parametrize("case", BAD)
def test_everything_else_is_named_for_what_it_is(case: str) -> None:
    """One case per rule."""
    check, kind = BAD[case]
    assert check() == getattr(lib, f"KVMLOG_BATCH_{kind}")


@given(raw=st.binary(max_size=200), size=st.integers(0, 20_000))
def test_any_bytes_get_a_verdict(raw: bytes, size: int) -> None:
    """No byte of the message decides where is read."""
    assert 0 <= verdict(raw, size=size) < lib.KVMLOG_BATCH_VERDICTS
