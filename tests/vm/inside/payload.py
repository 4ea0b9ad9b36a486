# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs in QEMU's guests: the image of tests/guest/payload.S, with orders written into it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm.inside import host

IMAGE: Final = host.PROJECT / "build/guest/payload.rom"
# In the order of KIND_* in tests/guest/guest.h.
KINDS: Final = ("cpuid", "pio", "mmio", "hlt", "rdmsr", "wrmsr")
_MAGIC: Final = b"kvmlog-payload 1"
_ORDERS: Final = struct.Struct("<3I")  # kinds, turns, length of a halt in ns
_ANSWERS: Final = struct.Struct("<5I")  # first page, bytes of one, counts in it, kinds, "parked"
_COUNT: Final = struct.Struct(f"<{len(KINDS)}Q")


@dataclass(frozen=True)
class Orders:
    """What each vCPU does.

    kinds: what a turn does once each, in the order of KINDS, separated by commas.
    turns: 0 for 2^32, which no test outlives. After the last, the vCPU halts for ever.
    halt_us: length of a halt, ended by the guest's own APIC timer, microseconds.
    """

    kinds: str = "cpuid,pio"
    turns: int = 0
    halt_us: int = 1000

    def write_image(self, path: Path) -> Path:
        """The firmware that does so."""
        image = bytearray(IMAGE.read_bytes())
        bits = sum(1 << KINDS.index(kind) for kind in self.kinds.split(","))
        _ORDERS.pack_into(image, _after_magic(image), bits, self.turns, self.halt_us * 1000)
        path.write_bytes(image)
        return path


def done(read: Callable[[int, int], bytes], vcpu: int = 0) -> dict[str, int]:
    """How often a vCPU says it did each kind, and "parked": 1 when it did all its turns.

    read: gives so many bytes of the guest's memory from a physical address on.
    """
    image = IMAGE.read_bytes()
    first, size, counts_at, kinds, parked_at = _ANSWERS.unpack_from(
        image, _after_magic(image) + _ORDERS.size
    )
    assert kinds == len(KINDS)
    page = read(first + size * vcpu, size)
    counts = dict(zip(KINDS, _COUNT.unpack_from(page, counts_at), strict=True))
    (parked,) = struct.unpack_from("<I", page, parked_at)
    return {**counts, "parked": parked}


def _after_magic(image: bytes | bytearray) -> int:
    assert image.count(_MAGIC) == 1, f"{IMAGE}: not what tests/guest/payload.S makes"
    return image.index(_MAGIC) + len(_MAGIC)
