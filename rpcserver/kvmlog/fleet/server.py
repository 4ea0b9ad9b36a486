# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON port of a fleet: Nova's paths for OpenStack's clients, targets for Prometheus."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from kvmlog.fleet import targets
from kvmlog.fleet.computes import Fleet, FleetComputes
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.rest import nova, openapi
from kvmlog.rpcserver.rest.encode import encoded
from kvmlog.rpcserver.rest.json_gate import JsonGate
from kvmlog.rpcserver.rest.loop_server import LoopServer, listen
from kvmlog.rpcserver.rest.routes import Asked, Route

DESCRIPTION: Final = "/v1/openapi.json"


@dataclass(frozen=True, kw_only=True)
class FleetQuestion(Asked):
    """A request that the hosts of a fleet answer."""

    fleet: Fleet

    @property
    def computes(self) -> FleetComputes:
        return FleetComputes(self.fleet, self.work)


class FleetService:
    """Credentials of the port; replaced as a whole at SIGHUP."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS; None for plain HTTP."""
        return self.credentials.context


class FleetServer(LoopServer):
    """Listens on (host, port) at once; serves from start() until stop()."""

    def __init__(
        self,
        host: str,
        port: int,
        service: FleetService,
        fleet: Fleet,
        limits: Limits,
        version: str,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """Bind the address; ServerError when it cannot be had."""
        remedy = "is another kvmlog fleet serve running? --listen takes another port"
        self._fleet = fleet
        super().__init__(listen(host, port, remedy), "fleet", service, limits, log_sparingly)
        asking = functools.partial(FleetQuestion, fleet=fleet)
        accounts = Accounts(limits)
        self._gate = JsonGate(service, asking, accounts, self._executor, log_sparingly)
        self._routes = routes(version)

    def _app(self) -> web.Application:
        return self._gate.application(self._routes)

    def stop(self) -> None:
        self._fleet.stop()
        super().stop()

    def _tidy(self) -> None:
        """Do nothing: there is nothing to have ready for the next caller."""


def _targets(question: FleetQuestion) -> list[dict[str, Any]]:
    settings = question.fleet.settings
    return targets.document(settings.hosts, settings.metrics_port, {})


_GROUP: Final = {
    "type": "object",
    "required": ["targets", "labels"],
    "properties": {
        "targets": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def routes(version: str) -> list[Route[FleetQuestion]]:
    """Return all routes, with that of their own description."""
    found: list[Route[FleetQuestion]] = [
        *nova.SHARED,
        Route(
            "/targets",
            "targets",
            "What Prometheus scrapes of the hosts, for its http_sd_configs",
            _targets,
            {"type": "array", "items": _GROUP},
        ),
    ]
    about = "This description, OpenAPI 3.1"
    found.append(Route(DESCRIPTION, "openapi", about, lambda _: made, {"type": "object"}))
    # Now, since the user that the server becomes may not be able to read the schemas.
    made = encoded(openapi.document(found, version))
    return found
