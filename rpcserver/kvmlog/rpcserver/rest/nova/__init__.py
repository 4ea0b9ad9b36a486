# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of Nova's own paths, /v2.1, as far as a host can answer them (Compute API reference).

Before microversion 2.53 hypervisors and services have numbers for ids, here their place in the
list.
"""

from typing import Final

from kvmlog.rpcserver.rest.nova import (
    actions,
    hypervisors,
    owners,
    projects,
    servers,
    services,
    versions,
)
from kvmlog.rpcserver.rest.routes import Asked, Question, Route

# What several hosts can answer as well: kvmlog.fleet.
SHARED: Final[tuple[Route[Asked], ...]] = (
    *versions.ROUTES,
    *services.ROUTES,
    *hypervisors.ROUTES,
    *servers.ROUTES,
    *actions.ROUTES,
    *owners.ROUTES,
    *projects.ROUTES,
)
# The lists first: servers/detail is no server's name.
ROUTES: Final[tuple[Route[Question], ...]] = (*servers.LISTS, *SHARED, *services.CHANGES)
