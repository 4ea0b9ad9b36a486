# SPDX-License-Identifier: GPL-2.0-or-later
"""A part of the model as a document: its fields under their names, without what is not known."""

from __future__ import annotations

import functools
from dataclasses import fields, is_dataclass
from typing import Any, Final

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.views.units import iso

_PLAIN: Final = frozenset((int, float, str, bool))


def figures(part: Any) -> dict[str, Any]:
    """Return a dataclass of the model as a document; moments are times of day."""
    document = {}
    for name in _names(part.__class__):
        value = getattr(part, name)
        if value is not None:
            document[name] = value if type(value) in _PLAIN else _plain(value)
    return document


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: Any) -> Any:
    if isinstance(value, Moment):
        return iso(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return figures(value) if is_dataclass(value) else value
