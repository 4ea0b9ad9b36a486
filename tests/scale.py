# SPDX-License-Identifier: GPL-2.0-or-later
"""How much a test does: a part in `make test`, all of it in `make soak` (CONTRIBUTING.md)."""

from __future__ import annotations

import os
from typing import Final

FUZZ_CASES: Final = int(os.environ.get("KVMLOG_FUZZ_CASES", "10000"))
"""Damaged inputs of each fuzzed interface."""

LOAD_S: Final = float(os.environ.get("KVMLOG_LOAD_S", "3"))
"""How long clients call at full rate."""
