# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge and an RPC server that run for one demo: nothing has to be installed or configured.

They have the defaults of all options, whatever this host's configuration says, and end with the
demo, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kvmlog.cli.demo.guest import DemoError
from kvmlog.client.client import Client
from kvmlog.config.schema.defaults import DEFAULT_SOCKET
from kvmlog.control.client import SwitchClient
from kvmlog.util.closeable import Closeable
from kvmlog.util.errors import KvmlogError, SwitchError

_FOLDER: Final = Path("/run/kvmlog-demo")
# Empty: all options have their defaults.
_CONFIG: Final = _FOLDER / "kvmlog.toml"
_HOST: Final = "127.0.0.1"
_PORT: Final = 50080
# An emulated CPU takes half a minute for the BPF programs.
_START_LIMIT_S: Final = 120.0
_STEP_S: Final = 0.1
_END_S: Final = 10.0
_SAID: Final = 2_000  # characters of a log


class OwnServices(Closeable):
    """The two, from their start to close(); DemoError where they cannot be started.

    source: as `kvmlog bridge --source` takes it.
    """

    def __init__(self, source: str) -> None:
        if os.geteuid() != 0:
            raise DemoError("--services starts a bridge, which takes root; try again with sudo")
        if _bridge_answers():
            raise DemoError(
                "a bridge runs here already: leave out --services, and its exits are shown"
            )
        _FOLDER.mkdir(mode=0o755, exist_ok=True)
        _CONFIG.write_bytes(b"")
        self._cleanup = contextlib.ExitStack()
        address = f"{_HOST}:{_free_port()}"
        self.url: Final = f"http://{address}"
        with contextlib.ExitStack() as undo:
            # A guest that does nothing but exit costs more than guests at work: no budget.
            bridge = undo.enter_context(_Service("bridge", "--source", source, "--budget", "0"))
            rpc = undo.enter_context(_Service("rpc", "--listen", address, "--user", "root"))
            bridge.wait_until(_bridge_answers)
            rpc.wait_until(self._rpc_answers)
            self._cleanup = undo.pop_all()

    def _rpc_answers(self) -> bool:
        try:
            with Client(self.url) as client:
                client.status()
        except KvmlogError:
            return False
        return True

    def close(self) -> None:
        self._cleanup.close()


class _Service(Closeable):
    """One process; Ctrl-C does not reach it, so that it ends in its turn."""

    def __init__(self, command: str, *options: str) -> None:
        self._name = f"kvmlog {command}"
        self._log = _FOLDER / f"{command}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", "--"),
                    # The program that runs now, wherever it is installed.
                    *(sys.executable, str(Path(sys.argv[0]).resolve()), command),
                    *("--config", str(_CONFIG), *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Returns once `ready()`; DemoError when the process ends or takes too long."""
        limit = time.monotonic() + _START_LIMIT_S
        while not ready():
            if self._process.poll() is not None or time.monotonic() > limit:
                said = self._log.read_text(errors="replace")[-_SAID:].strip()
                raise DemoError(f"{self._name} does not start: {said or 'it says nothing'}")
            time.sleep(_STEP_S)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _bridge_answers() -> bool:
    try:
        SwitchClient(DEFAULT_SOCKET).status()
    except SwitchError:
        return False
    return True


def _free_port() -> int:
    """The usual port, or another one where somebody has that."""
    for port in (_PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return int(probe.getsockname()[1])
    raise DemoError(f"no port is free on {_HOST}; end what listens there")
