# SPDX-License-Identifier: GPL-2.0-or-later
"""How long one caller's kvmLogStatus takes while another caller attacks, as a table.

    python -m tests.bench.fairness [SECONDS]     (of each attack; default: 5)

The attacker (tests/bench/attack.py) has 16 connections and runs on the same CPUs; the other caller
calls on one connection that is kept, a hundred times a second. Plain HTTP, then TLS; the limits are
the defaults. The last column is the server's resident memory at its highest.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xmlrpc.client import dumps

from kvmlog.ring.statistics.reader import SUFFIX
from kvmlog.ring.statistics.writer import StatisticsWriter
from kvmlog.ring.writer import RingWriter
from kvmlog.rpcserver.auth.tokens import new_token
from tests.bench.attack import KINDS
from tests.bench.rpc import typical
from tests.support.bridge_process import running_bridge
from tests.support.certificates import Authority
from tests.support.rpc_process import Server, post, rpc_server

_EACH_S: Final = 0.01
_SLOTS: Final = 4 * 65_536
_CALL: Final = dumps((), "kvmLogStatus").encode()


@contextlib.contextmanager
def connected(port: int, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Connect, before the attack: the attacker is the same user, and takes the connections."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        if context is None:
            yield link
            return
        with context.wrap_socket(link, server_hostname="127.0.0.1") as wrapped:
            yield wrapped


def latencies_ms(link: socket.socket, token: str, seconds: float) -> list[float]:
    """Return how long each call took, sorted."""
    request = post(_CALL, headers=f"Authorization: Bearer {token}\r\n")
    request = request.replace(b"Connection: close\r\n", b"")
    found = []
    end_s = time.monotonic() + seconds
    while (begin_s := time.monotonic()) < end_s:
        link.sendall(request)
        reply = b""
        while not reply.endswith(b"</methodResponse>\n"):
            part = link.recv(1 << 16)
            reply += part
            if not part or not reply.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"fairness: {reply[:300]!r}")
        took_s = time.monotonic() - begin_s
        found.append(took_s * 1000)
        time.sleep(max(0.0, _EACH_S - took_s))
    return sorted(found)


@contextlib.contextmanager
def attack(kind: str, port: int, token: str, ca: Path | None) -> Iterator[None]:
    """Attack meanwhile; nobody, for an empty kind."""
    if not kind:
        yield
        return
    words = ["tests.bench.attack", kind, str(port), token, *([str(ca)] if ca else [])]
    with subprocess.Popen([sys.executable, "-m", *words]) as process:
        try:
            time.sleep(1.0)
            yield
        finally:
            process.kill()


def highest_mib(server: Server) -> float:
    """Return the server's highest resident memory so far, and begin anew."""
    folder = Path("/proc", str(server.process.pid))
    found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
    assert found is not None
    (folder / "clear_refs").write_text("5")
    return int(found[1]) / 1024


def measure(server: Server, tokens: tuple[str, str], ca: Path | None, seconds: float) -> None:
    """Print a line for each attack."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    scheme = "https" if ca else "http"
    for kind in ("", *KINDS):
        highest_mib(server)
        with connected(server.port, context) as link, attack(kind, server.port, tokens[0], ca):
            found = latencies_ms(link, tokens[1], seconds)
        shown = [found[len(found) // 2], found[min(len(found) * 99 // 100, len(found) - 1)]]
        figures = "".join(f"{one:>10.1f}" for one in (*shown, found[-1], highest_mib(server)))
        print(f"{scheme:<6} {kind or 'no attack':<26}{len(found):>6}{figures}", flush=True)


def main() -> int:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    heads = "".join(f"{head:>10}" for head in ("p50 ms", "p99 ms", "max ms", "MiB"))
    print(f"{len(os.sched_getaffinity(0))} CPUs  {'attack':<25}{'calls':>6}{heads}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ring, file = folder / "busy", folder / "tokens"
        tokens = new_token(str(file), "attacker", "read"), new_token(str(file), "other", "read")
        bridge = stack.enter_context(running_bridge(folder))
        writer = stack.enter_context(RingWriter(str(ring), _SLOTS))
        statistics = stack.enter_context(
            contextlib.closing(StatisticsWriter(f"{ring}{SUFFIX}", writer, 64))
        )
        assert statistics is not None
        for _ in range(_SLOTS // 1024):
            writer.append(typical())
        authority = Authority(folder)
        certificate, key = authority.issue("server")
        extra = ["--token-file", str(file)]
        with rpc_server(ring, bridge.switch, extra=extra) as server:
            measure(server, tokens, None, seconds)
        extra += ["--tls-cert", str(certificate), "--tls-key", str(key)]
        with rpc_server(ring, bridge.switch, extra=extra) as server:
            measure(server, tokens, authority.certificate, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
