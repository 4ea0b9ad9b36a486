# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of an RPC server as processes of their own, and what they measured."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from kvmlog.client import Client
from tests.support.scale import LOAD_S
from tests.vm.inside import host
from tests.vm.inside.processes import HANG_S, Rpc

PROCESSES: Final = 2
CLIENTS: Final = 4  # of each process

# Switches tracing on for argv[2] seconds and goes on asking; never switches it off.
_LEASED: Final = """
import sys, xmlrpc.client
host = xmlrpc.client.ServerProxy(sys.argv[1])
host.kvmSwitch({"on": True, "for_s": int(sys.argv[2])})
print("on", flush=True)
while True:
    host.getKvmLog()
"""


def calls(rpc: Rpc, pid: int) -> dict[str, list[float]]:
    """All clients call for LOAD_S; how many seconds each call took, by method.

    pid: a guest that exits meanwhile. Each reply is checked (rpc_clients.py): fails when one is
    wrong.
    """
    running = []
    # The first exits are written: brief calls tell what was written last.
    with Client(rpc.url(), timeout_s=HANG_S) as caller:
        caller.statistics(fresh=True)
    for first in range(0, PROCESSES * CLIENTS, CLIENTS):
        words = (rpc.url(), str(LOAD_S), str(first), str(CLIENTS), str(pid))
        running.append(_start("-m", "tests.vm.inside.rpc_clients", *words))
    took_s: dict[str, list[float]] = defaultdict(list)
    for client in running:
        output, errors = client.communicate(timeout=LOAD_S + 2 * HANG_S)
        assert (client.returncode, errors) == (0, ""), errors
        for name, times in json.loads(output).items():
            took_s[name] += times
    return took_s


def table(took_s: dict[str, list[float]], title: str) -> list[str]:
    """Percentiles of how long calls took, in ms: they inform, and decide nothing."""
    lines = [f"{title:<44}{'calls':>7}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}"]
    for name, unsorted in sorted(took_s.items()):
        times = sorted(unsorted)
        p50, p99 = (times[len(times) * part // 100] for part in (50, 99))
        numbers = "".join(f"{1_000 * one:>10.1f}" for one in (p50, p99, times[-1]))
        lines.append(f"{name:<44}{len(times):>7}{numbers}")
    return lines


@contextlib.contextmanager
def leased(rpc: Rpc, lease_s: int) -> Iterator[None]:
    """A client that has switched tracing on for so long, and calls; killed at the end."""
    client = _start("-c", _LEASED, rpc.url(), str(lease_s))
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "on\n"
        yield
        client.kill()


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=host.PROJECT,
    )
