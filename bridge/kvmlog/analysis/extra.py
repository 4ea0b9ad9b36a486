# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages of the extra kvmlog[analysis], asked for before what imports them is loaded."""

from __future__ import annotations

import importlib

from kvmlog.util.errors import KvmlogError


class ExtraMissingError(KvmlogError):
    """A package of kvmlog[analysis] is not installed."""


def require(what: str, *packages: str) -> None:
    """Load the packages, or raise ExtraMissingError: `what` takes the one that is missing."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ExtraMissingError(
                f"{what} takes the Python package {package}, which cannot be loaded ({error}); "
                f"install it: pip install {package}, or all that analysis takes: pip install "
                f"'kvmlog[analysis]'"
            ) from None
