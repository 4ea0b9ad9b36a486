# SPDX-License-Identifier: GPL-2.0-or-later
"""All problems of a configuration at once, where a service stops at the first one.

The checks are those that a service makes when it starts: `kvmlog.bridge.preflight` and
`kvmlog.rpcserver.preflight` list theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from kvmlog.config.load import Config
from kvmlog.util.errors import KvmlogError


def collect_problems(config: Config, *checks: Callable[[Config], object]) -> list[KvmlogError]:
    """Return what each check raises, in their order; empty when the configuration is fine."""
    found: list[KvmlogError] = []
    for check in checks:
        try:
            check(config)
        except KvmlogError as error:
            found.append(error)
    return found
