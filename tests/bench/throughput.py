# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests per second of `kvmlog rpc`, beside servers that send prepared bytes, as a table.

    python -m tests.bench.throughput [SECONDS]     (of each figure; default: 5)

8 connections that are kept, one caller, no limit of requests; a real bridge, a ring with records of
a busy guest. The clients are one process (tests/bench/load.py), on the same CPUs as the server. The
stdlib's and aiohttp's server answer the same bodies without making them; aiohttp only where it is
installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xmlrpc.client import dumps

from kvmlog.ring.writer import RingWriter
from tests.bench.rpc import RECORDS, typical
from tests.support.bridge_process import running_bridge
from tests.support.rpc_process import post, rpc_server

CONNECTIONS: Final = 8
CALLS: Final = {
    "kvmLogStatus": dumps((), "kvmLogStatus"),
    "getKvmLog": dumps((), "getKvmLog"),
    "kvmRecords(1024)": dumps(({"count": RECORDS},), "kvmRecords"),
    "kvmRecords(1024, structs)": dumps(({"count": RECORDS, "form": "structs"},), "kvmRecords"),
    "kvmStatus": dumps((), "kvmStatus"),
    "kvmGuests": dumps((), "kvmGuests"),
}


def kept(call: str) -> bytes:
    """Return the request of a call whose connection is kept."""
    return post(call.encode()).replace(b"Connection: close\r\n", b"")


def per_second(port: int, call: str, seconds: float) -> float:
    """Return how many requests are answered in a second."""
    words = ["tests.bench.load", "127.0.0.1", str(port), str(CONNECTIONS), str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", *words], input=kept(call), stdout=subprocess.PIPE, check=True
    )
    return float(done.stdout)


@contextlib.contextmanager
def prepared(kind: str, body: bytes, folder: Path) -> Iterator[int]:
    """Run a server of tests/bench/prepared.py; its port."""
    file = folder / "body"
    file.write_bytes(body)
    command = [sys.executable, "-m", "tests.bench.prepared", kind, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def main() -> int:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    kinds = ["threads"] + ["aiohttp"] * (importlib.util.find_spec("aiohttp") is not None)
    heads = "".join(f"{kind:>12}" for kind in ("kvmlog", *kinds))
    title = f"requests/s, {len(os.sched_getaffinity(0))} CPUs"
    print(f"{title:<28}{heads}{'bytes':>11}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        ring = folder / "busy"
        with (
            running_bridge(folder) as bridge,
            RingWriter(str(ring), 4 * RECORDS) as writer,
            rpc_server(ring, bridge.switch, extra=("--requests-per-s", "0")) as server,
        ):
            writer.append(typical())
            for call, text in CALLS.items():
                body = server.exchange(post(text.encode())).split(b"\r\n\r\n", 1)[1]
                found = [per_second(server.port, text, seconds)]
                for kind in kinds:
                    with prepared(kind, body, folder) as port:
                        found.append(per_second(port, text, seconds))
                figures = "".join(f"{rate:>12,.0f}" for rate in found)
                print(f"{call:<28}{figures}{len(body):>11,}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
