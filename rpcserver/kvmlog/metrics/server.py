# SPDX-License-Identifier: GPL-2.0-or-later
"""GET /metrics, for the callers that `kvmlog rpc` would let read."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kvmlog.metrics.host import HostMetrics
from kvmlog.metrics.scrapes import Scrapes
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.http.work import Accounts
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.rest.gate import Gate
from kvmlog.rpcserver.rest.loop_server import LoopServer, listen

PATH: Final = "/metrics"
# A scrape may be as large as series_most allows, and takes a while to make; nobody needs many.
LIMITS: Final = Limits(requests_per_s=20, connections_per_peer=8, reply_s=30.0)


class MetricsService:
    """Credentials of the port; replaced as a whole at SIGHUP."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS; None for plain HTTP."""
        return self.credentials.context


class _MetricsGate(Gate):
    def _not_routed(self, error: web.HTTPException, path: str) -> RefusalError:
        if isinstance(error, web.HTTPMethodNotAllowed):
            return RefusalError(
                HTTPStatus.METHOD_NOT_ALLOWED, "Send GET.", {"Allow": error.headers["Allow"]}
            )
        if error.status == HTTPStatus.NOT_FOUND:
            return RefusalError(HTTPStatus.NOT_FOUND, f"There is no such path; GET {PATH}.")
        return super()._not_routed(error, path)


class MetricsServer(LoopServer):
    """Listens on (host, port) at once; serves from start() until stop()."""

    def __init__(
        self,
        host: str,
        port: int,
        service: MetricsService,
        metrics: HostMetrics,
        log_sparingly: Callable[[str], None],
        limits: Limits = LIMITS,
    ) -> None:
        """Bind the address; ServerError when it cannot be had."""
        remedy = "is another kvmlog metrics running? --listen takes another port"
        super().__init__(listen(host, port, remedy), "metrics", service, limits, log_sparingly)
        self._gate = _MetricsGate(service, Accounts(limits), self._executor, log_sparingly)
        # It would be collected once more, to learn its names.
        registry = CollectorRegistry(auto_describe=False)
        registry.register(metrics)
        self._scrapes = Scrapes(registry)

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate.serve])
        app.router.add_get(PATH, self._scrape)
        return app

    def _tidy(self) -> None:
        self._scrapes.tidy()

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(", ".join(request.headers.getall("Accept", [])))
        packed = _takes_gzip(", ".join(request.headers.getall("Accept-Encoding", [])))
        asked_s = time.monotonic()

        def make() -> bytes:
            return self._scrapes.get(encode, packed, asked_s)

        headers = {"Content-Type": content_type}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=await self._gate.compute(request, make), headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Return whether a client takes it (RFC 9110, 12.5.3): named, and not with a weight of 0."""
    for one in accepted.split(","):
        name, _, weight = one.strip().partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
