# SPDX-License-Identifier: GPL-2.0-or-later
"""Collection of tests/vm/intel: what takes minutes for each kernel runs in `make soak` only."""

from __future__ import annotations

from tests.support.scale import EVERY_KERNEL

collect_ignore = [] if EVERY_KERNEL else ["test_sources.py"]
