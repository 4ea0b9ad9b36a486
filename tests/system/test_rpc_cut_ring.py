# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPC server while somebody cuts the ring short, again and again: faults, and it goes on."""

from __future__ import annotations

import os
import threading
import xmlrpc.client
from pathlib import Path

from kvmlog.ring.writer import RingWriter
from tests.support import records as make
from tests.support.rpc_process import rpc_server

SLOTS = 1 << 16
ROUNDS = 300
CALLERS = 3


def test_the_server_outlives_a_ring_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    """Each call is answered, by records or by a fault; afterwards all is as before."""
    path = tmp_path / "ring"
    with RingWriter(str(path), SLOTS) as writer:
        writer.append(make.exit_bytes() * SLOTS)
    whole = path.read_bytes()
    done = threading.Event()
    unexpected: list[BaseException] = []

    def call() -> None:
        with server.client() as client:
            while not done.is_set():
                try:
                    client.kvmRecords({"count": 16_384})
                except xmlrpc.client.Fault:
                    pass
                except BaseException as error:  # noqa: BLE001 - told by the test itself
                    unexpected.append(error)
                    return

    with rpc_server(path, tmp_path / "switch", extra=("--requests-per-s", "0")) as server:
        callers = [threading.Thread(target=call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        with path.open("r+b", buffering=0) as file:
            for _ in range(ROUNDS):
                os.ftruncate(file.fileno(), 4096)
                os.pwrite(file.fileno(), whole[4096:], 4096)
        done.set()
        for caller in callers:
            caller.join()
        assert unexpected == []
        with server.client() as client:
            assert client.kvmLogStatus()["records"] == str(SLOTS)
