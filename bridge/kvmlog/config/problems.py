# SPDX-License-Identifier: GPL-2.0-or-later
"""All that is wrong with a configuration, not only what is found first."""

from __future__ import annotations

from collections.abc import Callable

from kvmlog.config import Config
from kvmlog.util.errors import KvmlogError


def refusals(config: Config, *looks: Callable[[Config], object]) -> list[KvmlogError]:
    """What each of them raises, in their order."""
    found: list[KvmlogError] = []
    for look in looks:
        try:
            look(config)
        except KvmlogError as error:
            found.append(error)
    return found
