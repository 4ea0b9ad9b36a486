# SPDX-License-Identifier: GPL-2.0-or-later
"""Time of 1,024 records over RPC: as one binary block, as structs, and as legacy text.

    python -m tests.bench.rpc

A real server and the stock client, xmlrpc.client, on loopback; milliseconds of this machine, best
of ten, and how much faster the block is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kvmlog.native import lib
from kvmlog.ring import block
from kvmlog.ring.records import unpack_records
from kvmlog.ring.writer import RingWriter
from tests.bench.statistics import best_ms
from tests.support.records import exit_bytes
from tests.support.rpc_process import rpc_server

RECORDS = 1_024
REASONS = (0x78, 0x7B, 0x7C, 0x400, 0x60)
FLAGS = lib.KVMLOG_F_RIP_VALID | lib.KVMLOG_F_INFO_VALID | lib.KVMLOG_F_DETAIL_VALID


def typical() -> bytes:
    """Exits as a busy guest has them."""
    now_ns = time.monotonic_ns()
    return b"".join(
        exit_bytes(
            exit_ns=now_ns + n * 10_000,
            total_ns=2_000 + n,
            reason=REASONS[n % len(REASONS)],
            flags=FLAGS,
            rip=0xFFFF_FFFF_8100_0000 + n,
            info1=0x1F0_0010,
            detail=0x1F0,
            tid=4_242,
            vcpu=n % 8,
        )
        for n in range(RECORDS)
    )


def main() -> int:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        ring = Path(folder, "ring")
        with (
            RingWriter(str(ring), 4 * RECORDS) as writer,
            rpc_server(ring, Path(folder, "switch")) as server,
            server.client() as client,
        ):
            writer.append(typical())

            def call(form: str) -> int:
                reply = client.kvmRecords({"count": RECORDS, "form": form})
                return int(reply["count"]) and len(reply["records"])

            def decoded() -> int:
                reply = client.kvmRecords({"count": RECORDS})
                return len(unpack_records(block.decode(reply["records"])[1]))

            ways: list[tuple[str, Callable[[], int]]] = [
                ("legacy text", lambda: len(client.getKvmLog())),
                ("binary block", lambda: call("binary")),
                ("binary block, decoded", decoded),
                ("structs", lambda: call("structs")),
            ]
            took = {name: best_ms(step) for name, step in ways}
    for name, ms in took.items():
        print(f"{name:<24}{ms:>8.1f} ms{took['structs'] / ms:>8.1f} times as fast as structs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
