# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the family, byte for byte as netlink.h tells them, for tests of who receives them."""

from __future__ import annotations

import struct

from kvmlog.native import lib
from tests import ring_making as make

FAMILY = 0x25


def exits(first: int, count: int) -> bytes:
    """`count` exits whose times are first, first + 1, ..."""
    return b"".join(make.exit_bytes(exit_ns=first + i) for i in range(count))


def batch(
    records: bytes,
    *,
    cpu: int = 0,
    sequence: int = 0,
    dropped: int = 0,
    epoch: int = 1,
    count: int | None = None,
    exit_count: int | None = None,
    record_bytes: int = lib.KVMLOG_RECORD_BYTES,
) -> bytes:
    """A whole KVMLOG_CMD_BATCH message; `count` and `exit_count` lie when given."""
    types = records[:: lib.KVMLOG_RECORD_BYTES]
    if count is None:
        count = len(records) // lib.KVMLOG_RECORD_BYTES
    if exit_count is None:
        exit_count = min(count, types.count(lib.KVMLOG_RECORD_EXIT))
    body = struct.pack("=BBH", lib.KVMLOG_CMD_BATCH, lib.KVMLOG_GENL_VERSION, 0)
    body += struct.pack("=HH", 4 + 32, lib.KVMLOG_A_BATCH)
    body += struct.pack("=IHHQQII", cpu, count, exit_count, sequence, dropped, epoch, record_bytes)
    body += struct.pack("=HH", 4, lib.KVMLOG_A_PAD)
    body += struct.pack("=HH", 4 + len(records), lib.KVMLOG_A_RECORDS)
    body += records
    return struct.pack("=IHHII", 16 + len(body), FAMILY, 0, 0, 0) + body


def ack(error: int = 0) -> bytes:
    """An NLMSG_ERROR with a request's header in it."""
    request = struct.pack("=IHHII", 16, FAMILY, 5, 1, 0)
    return struct.pack("=IHHIIi", 20 + len(request), 2, 0, 1, 0, error) + request
