# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's file of guests, as a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvmlog.guests import store
from kvmlog.guests.model import Guest
from kvmlog.ring.reader import boot_id


def write_guests(ring: Path, guests: Sequence[Guest]) -> None:
    """Write the file beside a ring."""
    store.save(f"{ring}.guests", boot_id(), guests)
