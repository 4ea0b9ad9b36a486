# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON server, beside the XML-RPC server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from aiohttp import web

from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.rest import nova, openapi, v1, v1_history
from kvmlog.rpcserver.rest.encode import encoded
from kvmlog.rpcserver.rest.json_gate import JsonGate
from kvmlog.rpcserver.rest.loop_server import LoopServer, listen
from kvmlog.rpcserver.rest.routes import Question, Route
from kvmlog.rpcserver.service import RpcService
from kvmlog.rpcserver.vms.documents import Vms, look_ahead

DESCRIPTION: Final = "/v1/openapi.json"


class JsonServer(LoopServer):
    """Listens on (host, port) at once; serves from start() until stop()."""

    def __init__(
        self,
        host: str,
        port: int,
        service: RpcService,
        vms: Vms,
        accounts: Accounts,
        version: str,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """Bind the address; ServerError when it cannot be had.

        accounts: those of the XML-RPC server, whose callers these are.
        """
        remedy = "is another kvmlog rpc running? --json-listen takes another port"
        found = listen(host, port, remedy)
        super().__init__(found, "json", service, accounts.limits, log_sparingly)
        asking = functools.partial(Question, vms=vms, service=service)
        self._gate = JsonGate(service, asking, accounts, self._executor, log_sparingly)
        self._routes = routes(version)

    def _app(self) -> web.Application:
        return self._gate.application(self._routes)

    def _tidy(self) -> None:
        look_ahead()


def routes(version: str) -> list[Route[Question]]:
    """Return all routes, with that of their own description."""
    about = "This description, OpenAPI 3.1"
    found = [*v1.ROUTES, *v1_history.ROUTES, *nova.ROUTES]
    found.append(Route(DESCRIPTION, "openapi", about, lambda _: made, {"type": "object"}))
    # Now, since the user that the server becomes may not be able to read the schemas.
    made = encoded(openapi.document(found, version))
    return found
