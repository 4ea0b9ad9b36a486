# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents against the schemas of docs/schemas."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema

from kvmlog.vmstats.views.schemas import schema


@functools.cache
def validator(name: str) -> Any:
    """The validator of a schema, which checks formats too."""
    kind = jsonschema.Draft202012Validator
    return kind(schema(name), format_checker=kind.FORMAT_CHECKER)


def validate(document: Any, name: str) -> None:
    """A document has its schema."""
    validator(name).validate(document)
