# SPDX-License-Identifier: GPL-2.0-or-later
"""Payload of QEMU's guests, that of `kvmlog demo` with other orders, and the work it reports."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from kvmlog.cli.demo.image import KINDS, Orders, read_image, report_offset

__all__ = ["KINDS", "Orders", "done"]

_ANSWERS: Final = struct.Struct("<5I")  # first page, bytes of one, counts in it, kinds, "parked"
_COUNT: Final = struct.Struct(f"<{len(KINDS)}Q")


def done(read: Callable[[int, int], bytes], vcpu: int = 0) -> dict[str, int]:
    """Return how often a vCPU did each kind, as it reports, and "parked".

    1 when all its turns are done.

    read: gives so many bytes of the guest's memory from a physical address on.
    """
    image = read_image()
    first, size, counts_at, kinds, parked_at = _ANSWERS.unpack_from(image, report_offset(image))
    assert kinds == len(KINDS)
    page = read(first + size * vcpu, size)
    counts = dict(zip(KINDS, _COUNT.unpack_from(page, counts_at), strict=True))
    (parked,) = struct.unpack_from("<I", page, parked_at)
    return {**counts, "parked": parked}
