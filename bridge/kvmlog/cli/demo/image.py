# SPDX-License-Identifier: GPL-2.0-or-later
"""Code that a demo guest runs instead of a BIOS: bridge/guest/payload.S, with orders in it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvmlog.util.errors import KvmlogError

# In the order of KIND_* in bridge/guest/turn.h.
KINDS: Final = ("cpuid", "pio", "mmio", "hlt", "rdmsr", "wrmsr")
_FOLDER: Final = Path(__file__).resolve().parent
_MAGIC: Final = b"kvmlog-payload 1"
_ORDERS: Final = struct.Struct("<3I")  # kinds, turns, length of a halt in ns


@dataclass(frozen=True)
class Orders:
    """Orders for each vCPU.

    kinds: what a turn does once each, in the order of KINDS, separated by commas.
    turns: 0 for 2^32, which nothing outlives. After the last, the vCPU halts for ever.
    halt_us: length of a halt, ended by the guest's own APIC timer, microseconds.
    """

    kinds: str = "cpuid,pio"
    turns: int = 0
    halt_us: int = 1000

    def image(self) -> bytes:
        """The firmware that does so, 64 KiB; KvmlogError when it is not installed."""
        image = bytearray(read_image())
        bits = sum(1 << KINDS.index(kind) for kind in self.kinds.split(","))
        _ORDERS.pack_into(image, _after_magic(image), bits, self.turns, self.halt_us * 1000)
        return bytes(image)

    def write_image(self, path: Path) -> Path:
        """The same in a file."""
        path.write_bytes(self.image())
        return path


def read_image() -> bytes:
    """The firmware without orders; KvmlogError when it is not installed."""
    return _read([_FOLDER / "payload.rom", _FOLDER.parents[3] / "build/guest/payload.rom"])


def answers_at(image: bytes) -> int:
    """Return the offset in the image of the words that say where a vCPU counts what it does."""
    return _after_magic(image) + _ORDERS.size


def _read(places: Iterable[Path]) -> bytes:
    """Return the image of the installed package, or of the source tree."""
    for path in places:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KvmlogError(
                f"{path}: cannot be read ({error.strerror}); install kvmlog again"
            ) from None
    raise KvmlogError(
        "the demo guest's image (payload.rom) is not installed; install kvmlog again, or run "
        "`make guest` in its sources"
    )


def _after_magic(image: bytes | bytearray) -> int:
    if image.count(_MAGIC) != 1:
        raise KvmlogError("payload.rom is not what this version runs; install kvmlog again")
    return image.index(_MAGIC) + len(_MAGIC)
