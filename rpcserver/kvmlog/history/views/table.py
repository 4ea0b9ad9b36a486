# SPDX-License-Identifier: GPL-2.0-or-later
"""All documents that are made of the history, by the names of their schemas (docs/schemas)."""

from __future__ import annotations

from typing import Final

SCHEMAS: Final = (
    "service-2.53",
    "service",
    "host-service",
    "instance-action-2.84",
    "fault",
    "tenant-usage-2.40",
)
