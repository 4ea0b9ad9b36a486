# SPDX-License-Identifier: GPL-2.0-or-later
"""The version of kvmlog."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Return the version of kvmlog that this process runs, "unknown" where it is not installed."""
    try:
        return metadata.version("kvmlog")
    except metadata.PackageNotFoundError:
        return "unknown"
