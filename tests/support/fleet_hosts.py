# SPDX-License-Identifier: GPL-2.0-or-later
"""Many servers on loopback ports in one process: what hosts of a fleet answer, and how they fail.

The replies are those of the real methods, written by the server's own marshaller; each host has a
name and an id of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kvmlog.history.model import Owner
from kvmlog.history.views import services, usage
from kvmlog.rpcserver.methods.reply import reply_pieces
from kvmlog.vmstats.views import hypervisor_253, hypervisor_288, hypervisors, limits
from tests.support import history_model as model
from tests.support import vmstats_samples as samples

_METHOD = re.compile(rb"<methodName>([^<]*)</methodName>")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PLACE = "kvm1.example.net"


class Kind(Enum):
    """How a host behaves."""

    GOOD = "good"
    DEAD = "dead"  # nobody listens
    HANGING = "hanging"  # takes the request, and never answers
    DRIPPING = "dripping"  # a byte of a reply from time to time, so that no single wait is long
    GARBAGE = "garbage"  # HTTP with something else in it
    NOISE = "noise"  # no HTTP
    HUGE = "huge"  # a reply without an end
    DEEP = "deep"  # XML-RPC of another kind of server
    REFUSING = "refusing"  # 401


def name_of(number: int) -> str:
    """The hypervisor's name of a host."""
    return f"kvm{number}.fleet.example.net"


def id_of(number: int) -> str:
    """The hypervisor's id of a host."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name_of(number)))


def answers() -> dict[str, Any]:
    """What each method returns, of the host whose name is _PLACE."""
    now = samples.NOW
    one, whole = samples.host(), samples.snapshot()
    window = usage.Window(
        model.at("2012-10-08T00:00:00").realtime_ns, model.at("2012-10-09T00:00:00").realtime_ns
    )
    owner = Owner("shop", "Shop", None, None)
    lives = [model.life(model.span("2012-10-08T12:00:00", owner=owner), name="web1")]
    until = model.at("2012-10-09T00:00:00")
    used = usage.document(usage.servers(lives, window), window, until, detailed=True)
    rules = limits.Rules(cpu_ratio=4.0, ram_ratio=1.0)
    return {
        "hypervisorDetail": [hypervisor_253.document(one, whole, now)],
        "hypervisorDetail nova-2.88": [hypervisor_288.document(one, whole, now)],
        "hypervisorList": hypervisors.document([one], whole, now, with_servers=True),
        "kvmStatus": {
            "version": "0.1.0",
            "bridge": {},
            "bridge_error": "no bridge here; start kvmlog bridge",
            "ring": {},
            "ring_error": "/run/kvmlog/ring: there is no ring; start kvmlog bridge",
        },
        "hostList": [{"host_name": _PLACE, "service": "compute", "zone": "nova"}],
        "serviceList": [services.own(model.service(host=_PLACE), until)],
        "projectLimits": limits.document(whole, None, rules, now),
        "projectUsage": {
            "observed_since": "2012-10-08T00:00:00.000000",
            "tenant_usages": used,
            "next_marker": None,
        },
    }


@dataclass
class Hosts:
    """Running hosts, and what they were asked."""

    ports: list[int]
    asked: list[str] = field(default_factory=list)

    def lines(self, *more: str) -> str:
        """The list of hosts for `kvmlog fleet`."""
        return "".join(f"127.0.0.1:{port}\n" for port in self.ports) + "".join(more)


class _Server:
    """All the hosts, in one event loop."""

    def __init__(self, kinds: Sequence[Kind], asked: list[str]) -> None:
        made = answers()
        made["hypervisorDetail"][0]["id"] = made["hypervisorDetail nova-2.88"][0]["id"]
        self._own_id = str(made["hypervisorDetail"][0]["id"])
        self._replies = {name: b"".join(reply_pieces(one)) for name, one in made.items()}
        self._kinds, self._asked = kinds, asked

    def body(self, request: bytes, number: int) -> bytes:
        """The XML that answers a request."""
        found = _METHOD.search(request)
        name = found[1].decode() if found else ""
        self._asked.append(name)
        reply = self._replies.get(f"{name} nova-2.88") if b"nova-2.88" in request else None
        reply = reply or self._replies[name]
        return reply.replace(_PLACE.encode(), name_of(number).encode()).replace(
            self._own_id.encode(), id_of(number).encode()
        )

    def serving(self, number: int) -> Callable[..., Any]:
        """What serves the connections of one host."""
        kind = self._kinds[number]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = _LENGTH.search(head)
                    request = await reader.readexactly(int(length[1]) if length else 0)
                    await self._answer(writer, kind, request, number)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                # At once: a client may be gone without reading.
                writer.transport.abort()

        return serve

    async def _answer(
        self, writer: asyncio.StreamWriter, kind: Kind, request: bytes, number: int
    ) -> None:
        if kind is Kind.HANGING:
            await asyncio.sleep(3600)
        elif kind is Kind.NOISE:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            await writer.drain()
            raise ConnectionError
        elif kind is Kind.HUGE:
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n")
            while True:
                writer.write(b"x" * (1 << 20))
                await writer.drain()
        elif kind is Kind.DRIPPING:
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        else:
            status, body = "200 OK", b""
            if kind is Kind.GARBAGE:
                body = b"<html>It works!</html>"
            elif kind is Kind.DEEP:
                body = b"".join(reply_pieces({"a": [{"b": "c"}] * 3}))
            elif kind is Kind.REFUSING:
                status, body = "401 Unauthorized", b"Show a token."
            else:
                body = self.body(request, number)
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}"
            writer.write(f"{head}\r\n\r\n".encode() + body)
            await writer.drain()


def sockets(count: int) -> list[socket.socket]:
    """Listening sockets on ports of the kernel's choice."""
    return [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(count)]


async def serve(
    kinds: Sequence[Kind], listening: Sequence[socket.socket], asked: list[str]
) -> None:
    """Serve until cancelled."""
    server = _Server(kinds, asked)
    for number, one in enumerate(listening):
        if kinds[number] is not Kind.DEAD:
            await asyncio.start_server(server.serving(number), sock=one)
    await asyncio.Event().wait()


@contextlib.contextmanager
def fleet_hosts(*kinds: Kind) -> Iterator[Hosts]:
    """Run hosts of these kinds, in a thread."""
    listening = sockets(len(kinds))
    hosts = Hosts([one.getsockname()[1] for one in listening])
    for kind, one in zip(kinds, listening, strict=True):
        if kind is Kind.DEAD:
            one.close()
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve(kinds, listening, hosts.asked))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        rest = asyncio.all_tasks(loop)
        for one in rest:
            one.cancel()
        if rest:
            loop.run_until_complete(asyncio.wait(rest))
        # What they have closed is closed in the next round.
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield hosts
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
        for one in listening:
            one.close()


def main() -> None:
    """Run argv[1] good hosts, and print their ports."""
    listening = sockets(int(sys.argv[1]))
    for one in listening:
        print(one.getsockname()[1])
    print("serving", flush=True)
    asyncio.run(serve([Kind.GOOD] * len(listening), listening, []))


if __name__ == "__main__":
    main()
