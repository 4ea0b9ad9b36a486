# SPDX-License-Identifier: GPL-2.0-or-later
"""The gate of each request: who calls, whether they may, and at whose expense it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, Protocol
from xmlrpc.client import Fault

from aiohttp import web

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.auth.caller import Caller, Role
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.service import RefusalError, StaleCredentialsError
from kvmlog.rpcserver.http.work import Accounts, Work
from kvmlog.rpcserver.rest import problems
from kvmlog.rpcserver.rest.connection import JsonConnection
from kvmlog.util.errors import HistoryError, VmStatsError

# Requests are not for web pages: the ones of browsers carry one of these (Fetch, 3.1 and 5.2).
_NOT_OF_PAGES: Final = ("", "none")
# keystoneauth's plugin `none` sends it, as a token has to be something.
_NO_TOKEN: Final = "notused"
_WITHOUT_BODY: Final = (HTTPMethod.GET, HTTPMethod.HEAD)


@dataclass
class _Queue:
    """The requests of one caller: one is answered at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Guarded(Protocol):
    """What is behind the gate."""

    @property
    def credentials(self) -> Credentials:
        """Those that are accepted now."""


class Gate:
    """What all requests pass; its methods run in the event loop."""

    def __init__(
        self,
        service: Guarded,
        accounts: Accounts,
        executor: Executor,
        log_sparingly: Callable[[str], None],
    ) -> None:
        """executor: has a thread for each caller at a time."""
        self._service = service
        self._accounts = accounts
        self._limits = accounts.limits
        self._executor = executor
        self._log_sparingly = log_sparingly
        self._queues: dict[Hashable, _Queue] = {}

    @web.middleware
    async def serve(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer one request, whatever happens, and send the answer in time."""
        connection = request.protocol
        assert isinstance(connection, JsonConnection)
        connection.arrived()
        work = None
        try:
            caller = self._caller(request, connection)
            work = request["work"] = Work(self._accounts, caller.key)
            request["caller"] = caller
            answer = await handler(request)
        except StaleCredentialsError:
            # Closed without a reply, as an idle connection is: clients connect again.
            connection.force_close()
            return web.Response()
        except RefusalError as refusal:
            self._log_sparingly(
                f"{connection.entry.peer.address} refused: {refusal.status:d} {refusal.sentence}"
            )
            answer = problems.response(refusal, request.path)
        except web.HTTPException as error:
            answer = problems.response(self._not_routed(error, request.path), request.path)
        except (HistoryError, VmStatsError, Fault) as error:
            answer = problems.response(problems.refusal_of(error), request.path)
        except Exception as error:  # noqa: BLE001 - a defect must not take the connection with it
            defect = problems.defect(request.get("caller"), error)
            answer = problems.response(defect, request.path)
        try:
            return await self._send(request, connection, answer)
        finally:
            if work is not None:
                work.sent()
            connection.answered()

    async def compute(self, request: web.Request, make: Callable[[], bytes]) -> bytes:
        """Return what `make` returns in a thread, on its caller's account, one at a time for each.

        To be called by what serves a request behind the gate.
        """
        work: Work = request["work"]

        def made() -> bytes:
            with work:
                body = make()
                work.made(len(body))
                return body

        async with self._turn(request["caller"].key):
            return await asyncio.get_running_loop().run_in_executor(self._executor, made)

    def _not_routed(self, error: web.HTTPException, path: str) -> RefusalError:
        """Return the refusal of a path or a method that is not served."""
        return problems.not_routed(error, path)

    def _caller(self, request: web.Request, connection: JsonConnection) -> Caller:
        """Return who calls, and count it; RefusalError, StaleCredentialsError."""
        peer = connection.entry.peer
        try:
            caller = self._service.credentials.caller(
                peer, _tls_of(request), _authorization(request)
            )
            _refuse_pages(request, caller)
            if not caller.may(Role.READ):
                raise RefusalError(
                    HTTPStatus.FORBIDDEN, f"{caller.name} ({caller.how}) has no right to read."
                )
        except RefusalError:
            # Before it is refused: what is refused costs time as well.
            self._accounts.count_request(peer.group)
            raise
        connection.entry.authenticated = True
        self._accounts.count_request(caller.key)
        if request.method in _WITHOUT_BODY and request.body_exists:
            raise RefusalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A GET has no body here; send none."
            )
        return caller

    @contextlib.asynccontextmanager
    async def _turn(self, key: Hashable) -> AsyncIterator[None]:
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        try:
            try:
                async with asyncio.timeout(self._limits.queue_s):
                    await queue.lock.acquire()
            except TimeoutError:
                raise RefusalError(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"Other requests of yours have kept this one waiting for "
                    f"{self._limits.queue_s:g} s; have fewer under way.",
                    {"Retry-After": f"{self._limits.queue_s:.0f}"},
                ) from None
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.users -= 1
            if not queue.users:
                del self._queues[key]

    async def _send(
        self, request: web.Request, connection: JsonConnection, answer: web.StreamResponse
    ) -> web.StreamResponse:
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Server"] = "kvmlog"
        if connection.entry.ending or answer.status in (401, 403, 413):
            answer.force_close()
        try:
            async with asyncio.timeout(self._limits.reply_s):
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            self._log_sparingly(f"{connection.entry.peer.address} did not accept its reply")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            self._log_sparingly(f"{connection.entry.peer.address} went before its reply came")
        return answer


def _tls_of(request: web.Request) -> ssl.SSLObject | None:
    """Return the server's side of the connection's TLS."""
    transport = request.transport
    found: Any = None if transport is None else transport.get_extra_info("ssl_object")
    return found if isinstance(found, ssl.SSLObject) else None


def _authorization(request: web.Request) -> str | None:
    """Return the Authorization, which OpenStack's clients send as X-Auth-Token."""
    shown = request.headers.getall("Authorization", [])
    for token in request.headers.getall("X-Auth-Token", []):
        if token != _NO_TOKEN:
            shown.append(f"Bearer {token}")
    if not shown:
        return None
    # Given twice: neither is better than the other, unless they are the same.
    return shown[0] if len(set(shown)) == 1 else ""


def _refuse_pages(request: web.Request, caller: Caller) -> None:
    """Refuse web pages, whose user did not mean to ask (CSRF, DNS rebinding)."""
    sent = request.headers.get("Sec-Fetch-Site", "")
    if "Origin" in request.headers or sent.lower() not in _NOT_OF_PAGES:
        raise RefusalError(HTTPStatus.FORBIDDEN, "Web pages may not call this server.")
    # A page whose name leads here has no token, and sends neither of them to plain HTTP.
    if caller.how not in ("token", "certificate") and not _is_address(request.host):
        raise RefusalError(
            HTTPStatus.FORBIDDEN,
            f"The Host is {clean(request.host, 60)!a}; without a token use an IP address or "
            "localhost.",
        )


def _is_address(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    with contextlib.suppress(ValueError):
        ipaddress.ip_address((name or host).strip("[]"))
        return True
    return (name or host).lower() == "localhost"
