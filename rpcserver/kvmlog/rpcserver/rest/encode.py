# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies as bytes."""

from __future__ import annotations

import json
from typing import Any


def encoded(value: Any) -> bytes:
    """Return a value as JSON, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
