# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of finding a rare reason in a full ring of 524,288 slots (58.7 MB).

    python -m tests.bench.search

CPU milliseconds of this machine, best of five, and as a ratio to a copy of as many bytes in memory.
The five exits found are the oldest. For comparison, the same by decoding each record in Python.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable

from kvmlog.exits.reasons import lookup
from kvmlog.exits.search import Search, Selection
from kvmlog.ring.reader import RingReader
from kvmlog.ring.records import iter_records
from kvmlog.ring.writer import RingWriter
from tests.support import records as make

SLOTS, CHUNK, WANTED = 1 << 19, 1 << 14, 5
ROUNDS = 5


def fill(writer: RingWriter) -> None:
    """Five exits for an MSR, and a ring full of others after them."""
    writer.append(make.exit_bytes(reason=0x7C, total_ns=1_000) * WANTED)
    common = make.exit_bytes(reason=0x78, total_ns=1_000) + make.exit_bytes(reason=0x400)
    left = SLOTS - WANTED
    while left:
        part = min(left, CHUNK)
        writer.append((common * (part // 2 + 1))[: part * writer.geometry.record_bytes])
        left -= part


def best_ms(step: Callable[[], object], rounds: int = ROUNDS) -> float:
    """CPU milliseconds of the cheapest round."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        step()
        took.append(time.process_time() - began)
    return min(took) * 1_000


def main() -> int:
    """Measures and prints."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        RingWriter(f"{folder}/ring", SLOTS) as writer,
        RingReader(f"{folder}/ring") as ring,
    ):
        fill(writer)
        chosen = Selection.of(lookup.find("msr"))
        whole = ring.snapshot(count=SLOTS).records
        one_by_one = [0]

        def decode() -> None:
            one_by_one[0] = sum(map(chosen.shows, iter_records(whole)))

        memory_ms = best_ms(lambda: bytearray(whole))
        search_ms = best_ms(lambda: Search(ring, chosen).newest(WANTED))
        python_ms = best_ms(decode, 1)
        found = Search(ring, chosen).newest(WANTED)
        print(f"a plain copy of the ring: {memory_ms:.1f} ms")
        print(
            f"{WANTED} of reason msr among {found.next_index - found.first_index:,} records: "
            f"{search_ms:.1f} ms, {search_ms / memory_ms:.2f} of a plain copy; "
            f"{search_ms * 1e6 / SLOTS:.0f} ns each"
        )
        print(f"decoded one by one: {python_ms:.0f} ms, {python_ms / search_ms:.0f} times as long")
        assert one_by_one[0] == WANTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
