# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schemas of all documents (draft 2020-12), which users find in docs/schemas."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = Path(__file__).resolve().parents[1]


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema in docs/schemas/NAME.json; the caller leaves it as it is."""
    found: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _folder() -> Path:
    installed = _PACKAGE / "schemas"
    return installed if installed.is_dir() else _PACKAGE.parents[2] / "docs" / "schemas"
