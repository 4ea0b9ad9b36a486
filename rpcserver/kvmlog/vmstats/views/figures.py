# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of the model as a document: its fields under their names, without what is not known."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.views.units import iso


def figures(part: Any) -> dict[str, Any]:
    """Return a dataclass of the model as a document; moments are times of day."""
    document = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if value is not None:
            document[field.name] = _plain(value)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, Moment):
        return iso(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return figures(value) if is_dataclass(value) else value
