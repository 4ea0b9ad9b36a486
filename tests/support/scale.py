# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes of long tests: a part in `make test`, all of it in `make soak` (CONTRIBUTING.md).

Each number is the environment's of that name after "KVMLOG_", which scripts/soak sets.
"""

from __future__ import annotations

import os
from typing import Final

_SET: dict[str, str] = {}


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(f"KVMLOG_{name}")
    if text is None:
        return otherwise
    _SET[f"KVMLOG_{name}"] = text
    return int(text)


RING_RECORDS: Final = _number("RING_RECORDS", 10_000_000)
"""Records written into a ring while it is read, in each case."""

STATISTICS_BATCHES: Final = _number("STATISTICS_BATCHES", 1_500)
"""Batches of 2,000 exits, counted in statistics while they are read, in each case."""

FUZZ_CASES: Final = _number("FUZZ_CASES", 10_000)
"""Damaged inputs of each fuzzed interface."""

SANITIZED_TURNS: Final = _number("SANITIZED_TURNS", 2_000)
"""Batches that are written while all other threads of the engine run, under ThreadSanitizer."""

POLLS: Final = _number("POLLS", 300)
"""Polls of libvirt by one collector, after which nothing has grown."""

OPENAPI_EXAMPLES: Final = _number("OPENAPI_EXAMPLES", 5)
"""Requests that are made up for each path of the JSON port."""

LOAD_S: Final = _number("LOAD_S", 3)
"""How long clients of the RPC server call while a guest exits at full rate."""

REPEATS: Final = _number("REPEATS", 1)
"""How many times as often what races in a VM is repeated."""

EXITS: Final = _number("EXITS", 20_000)
"""Exits of guests whose records, counted in a row, have to be the kernel's own count."""

KILLS: Final = _number("KILLS", 2)
"""Times that a bridge is killed under load, one after the other."""

HISTORY_KILLS: Final = _number("HISTORY_KILLS", 3)
"""Times that a history is killed while it writes, one after the other."""

SLEEPS: Final = _number("SLEEPS", 1)
"""Times that a host sleeps in each of two ways, while it traces."""

EVERY_KERNEL: Final = _number("EVERY_KERNEL", 0)
"""1: what does not depend on the kernel is tested on each all the same (tests/vm/inside/once)."""

ENVIRONMENT: Final = _SET
"""Those that are set, by their names in the environment: for tests inside a VM."""
