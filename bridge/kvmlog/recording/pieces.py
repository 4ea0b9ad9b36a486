# SPDX-License-Identifier: GPL-2.0-or-later
"""Records in pieces of a size that suits their reader, whatever the blocks of a file are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvmlog.ring.records import RECORD_BYTES


def gathered(blocks: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield the records of blocks in pieces of `count`, the last one of what is left."""
    size = count * RECORD_BYTES
    parts: list[bytes] = []
    have = 0
    for block in blocks:
        parts.append(block)
        have += len(block)
        if have < size:
            continue
        whole = b"".join(parts)
        for at in range(0, have - size + 1, size):
            yield whole[at : at + size]
        parts = [whole[have - have % size :]]
        have %= size
    if have:
        yield b"".join(parts)
