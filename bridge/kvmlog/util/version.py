# SPDX-License-Identifier: GPL-2.0-or-later
"""The version of the kvmlog that runs."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def version() -> str:
    """Return the version of this process: an upgrade restarts it. "unknown": not installed."""
    try:
        return metadata.version("kvmlog")
    except metadata.PackageNotFoundError:
        return "unknown"
