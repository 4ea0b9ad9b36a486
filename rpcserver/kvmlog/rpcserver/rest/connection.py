# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection: aiohttp's, with bounds on how long a request takes and how long it is.

aiohttp waits for ever for the rest of a head, and reads as many requests ahead as are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web

from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.http.connections import Connection
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.rest import problems

_ALLOW: Final = MappingProxyType({"Allow": "GET,HEAD"})
_RAW: Final = (
    "HTTP/1.1 {status:d} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    "Connection: close\r\n\r\n"
)


class JsonConnection(web.RequestHandler):
    """The protocol of one connection; entry: the connection as it is counted."""

    def __init__(
        self,
        manager: web.Server,
        loop: asyncio.AbstractEventLoop,
        entry: Connection,
        limits: Limits,
        ended: Callable[[JsonConnection], None],
        log_sparingly: Callable[[str], None],
    ) -> None:
        """ended: called once the connection is no more."""
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            access_log=None,  # type: ignore[arg-type]  # typed as if there had to be one
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
            lingering_time=1.0,
        )
        self.entry = entry
        self._limits = limits
        self._ended = ended
        self._log_sparingly = log_sparingly
        self._timer: asyncio.TimerHandle | None = None
        self._began = False  # a request has begun to arrive
        self._unanswered_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait(self._limits.idle_s)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        if not self._began:
            self._began = True
            self._wait(self._limits.request_s)
        self._unanswered_bytes += len(data)
        if self._unanswered_bytes > self._limits.head_bytes:
            most = self._limits.head_bytes
            self._end(
                RefusalError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"Requests may have {most} bytes until the first of them is answered; send one "
                    "at a time.",
                )
            )
            return
        super().data_received(data)

    def arrived(self) -> None:
        """Note that a whole head is there: from now on the server takes its time."""
        self._stop_waiting()

    def answered(self) -> None:
        """Note that it has been answered: the next request may come."""
        self._began = False
        self._unanswered_bytes = 0
        self._wait(self._limits.idle_s)

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse; everything else the gate has answered."""
        sentence = (message or "malformed").partition("\n")[0].rstrip(" .:")
        if "nvalid method" in sentence:
            refusal = RefusalError(
                HTTPStatus.METHOD_NOT_ALLOWED, "There is no such method: send GET.", _ALLOW
            )
        else:
            refusal = RefusalError(
                HTTPStatus.BAD_REQUEST,
                f"This is no HTTP request ({clean(sentence)}); send GET PATH HTTP/1.1.",
            )
        self._log(refusal)
        found = problems.response(refusal, "")
        found.force_close()
        return found

    def _wait(self, wait_s: float) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._timed_out)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        if self._began:
            self._end(
                RefusalError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"The request did not arrive within {self._limits.request_s:g} s.",
                )
            )
        elif self.transport is not None:
            self.transport.abort()

    def _end(self, refusal: RefusalError) -> None:
        """Refuse what is no whole request yet, and close."""
        self._stop_waiting()
        self._log(refusal)
        if self.transport is not None:
            found = problems.response(refusal, "")
            body = found.body
            assert isinstance(body, bytes)
            head = _RAW.format(
                status=int(refusal.status),
                phrase=refusal.status.phrase,
                kind=problems.PROBLEM,
                length=len(body),
            )
            self.transport.write(head.encode() + body)
        self.force_close()

    def _log(self, refusal: RefusalError) -> None:
        self._log_sparingly(
            f"{self.entry.peer.address} refused: {refusal.status:d} {refusal.sentence}"
        )
