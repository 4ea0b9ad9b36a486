# SPDX-License-Identifier: GPL-2.0-or-later
"""The gate of the JSON port: from a request to the question of its route, and to the reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, Generic, Protocol, TypeVar
from xmlrpc.client import Fault

from aiohttp import web

from kvmlog.rpcserver.auth.caller import Caller
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.http.work import Accounts, Work
from kvmlog.rpcserver.rest import microversions, problems
from kvmlog.rpcserver.rest.encode import encoded
from kvmlog.rpcserver.rest.gate import Gate, Guarded
from kvmlog.rpcserver.rest.nova.paths import PREFIX
from kvmlog.rpcserver.rest.routes import Asked, Route, bad_request
from kvmlog.util.errors import HistoryError, VmStatsError

_JSON: Final = "application/json"
_BODY_BYTES: Final = 4 * 1024


Q = TypeVar("Q", bound=Asked)
Q_co = TypeVar("Q_co", bound=Asked, covariant=True)


class Asking(Protocol[Q_co]):
    """Makes the question of a request."""

    def __call__(
        self,
        *,
        caller: Caller,
        work: Work,
        path: Mapping[str, Any],
        query: Mapping[str, Any],
        version: tuple[int, int],
        body: Mapping[str, Any],
    ) -> Q_co: ...


class JsonGate(Gate, Generic[Q]):
    """The gate of a JSON port."""

    def __init__(
        self,
        service: Guarded,
        asking: Asking[Q],
        accounts: Accounts,
        executor: Executor,
        log_sparingly: Callable[[str], None],
    ) -> None:
        super().__init__(service, accounts, executor, log_sparingly)
        self._asking = asking

    def application(self, routes: Sequence[Route[Q]]) -> web.Application:
        """Return what serves these routes."""
        app = web.Application(middlewares=[self.serve])
        for route in routes:
            handler, method = self.handler(route), route.method
            if method == HTTPMethod.GET:
                app.router.add_get(route.path, handler, name=route.name)
            else:
                app.router.add_route(method, route.path, handler, name=route.name)
        return app

    def handler(self, route: Route[Q]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return what serves a route behind the gate."""
        of_nova = route.path.startswith(PREFIX)

        async def serve(request: web.Request) -> web.StreamResponse:
            caller, work = request["caller"], request["work"]
            self._check_role(caller, route)
            version = microversions.negotiate(request.headers) if of_nova else microversions.MOST
            query: dict[str, list[str]] = {}
            for name, value in request.query.items():
                query.setdefault(name, []).append(value)
            path, given = route.question(request.match_info, query)
            sent = {} if route.body is None else await self._body_of(request)
            question = self._asking(
                caller=caller, work=work, path=path, query=given, version=version, body=sent
            )
            headers = microversions.headers_of(version) if of_nova else {}
            try:
                body = await self.compute(request, lambda: _body(route, question))
            except (HistoryError, VmStatsError, Fault) as error:
                found = problems.response(problems.refusal_of(error), request.path)
                found.headers.update(headers)
                return found
            return web.Response(body=body, content_type=_JSON, headers=headers)

        return serve

    def _check_role(self, caller: Caller, route: Route[Q]) -> None:
        if not caller.may(route.role):
            rights = " and ".join(str(one.name).lower() for one in route.role)
            self._log_sparingly(f"{caller} may not call {route.name}: no right to {rights}")
            raise RefusalError(
                HTTPStatus.FORBIDDEN,
                f"{caller.name} ({caller.how}) is not allowed to do that; it takes the right to "
                f"{rights}.",
            )

    async def _body_of(self, request: web.Request) -> Mapping[str, Any]:
        """Return the object that a request has as its body; RefusalError."""
        raw = b""
        try:
            async with asyncio.timeout(self._limits.request_s):
                while len(raw) <= _BODY_BYTES and (part := await request.content.readany()):
                    raw += part
        except TimeoutError:
            raise RefusalError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The body did not arrive within {self._limits.request_s:g} s.",
            ) from None
        if len(raw) > _BODY_BYTES:
            raise RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body has more than {_BODY_BYTES} bytes; send less.",
            )
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise bad_request("The body is no JSON; send an object.") from None
        if not isinstance(found, dict):
            raise bad_request("The body is no JSON object; send one.")
        return found


def _body(route: Route[Q], question: Q) -> bytes:
    """Return the reply to a question; called in a thread."""
    found = route.answer(question)
    return found if isinstance(found, bytes) else encoded(found)
