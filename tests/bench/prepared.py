# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers to compare with, which answer each request with a prepared body.

    python -m tests.bench.prepared threads|aiohttp FILE

prints its port. `threads` is the stdlib's XML-RPC server with a thread for each connection, as many
programs have it: it parses the call, looks up the method and sends what is prepared.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    """Keeps connections, as ours does."""

    protocol_version = "HTTP/1.1"
    encode_threshold = None  # type: ignore[assignment]  # None is documented, typeshed says int


class Threads(ThreadingMixIn, SimpleXMLRPCServer):
    """A thread for each connection; `body` is the answer to everything."""

    daemon_threads = True
    body = b""

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that end."""

    def _marshaled_dispatch(self, data: bytes, *_: object) -> bytes:  # type: ignore[override]
        return self.body


def serve_threads(body: bytes) -> None:
    """Serve until killed."""
    with Threads(("127.0.0.1", 0), Handler, logRequests=False) as server:
        server.body = body
        print(server.server_address[1], flush=True)
        server.serve_forever()


def serve_aiohttp(body: bytes) -> None:
    """Serve until killed; needs the package aiohttp."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/RPC2", answer)

    async def start() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(start())


if __name__ == "__main__":
    kind, path = sys.argv[1:]
    {"threads": serve_threads, "aiohttp": serve_aiohttp}[kind](Path(path).read_bytes())
