# SPDX-License-Identifier: GPL-2.0-or-later
"""A real `kvmlog bridge` process for tests, and one-shot runs of other sub-commands."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kvmlog.control.client import SwitchClient

KVMLOG = [sys.executable, "-m", "kvmlog.cli.main"]
# Generous: reached only when something hangs.
HANG_S = 60
# Compiled BPF programs of this checkout: a text is compiled once, for all tests.
BPF_CACHE = Path(__file__).resolve().parents[2] / "build" / "bpf-cache"
NOT_LOADED = "the kernel module kvmlog is not loaded"

without_module = pytest.mark.skipif(
    os.path.isdir("/sys/module/kvmlog"),
    reason="the module kvmlog is loaded here; unload it (rmmod kvmlog) to test its absence",
)


@dataclass
class Bridge:
    """A running bridge; `lines` is its log up to the line that says it is ready."""

    process: subprocess.Popen[str]
    ring: Path
    switch: Path
    udp: tuple[str, int]
    lines: list[str] = field(default_factory=list)

    def ask(self, command: bytes) -> bytes:
        """Sends one UDP datagram and returns the answer; udp.plain = "owner" takes it, too."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(HANG_S)
            link.sendto(command, self.udp)
            return link.recv(65_536)

    def say(self, command: str) -> str:
        """Sends a command to the local socket and returns the answer."""
        return SwitchClient(str(self.switch), timeout_s=HANG_S).send(command)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Ends it; its exit status and the rest of its log."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=HANG_S)
        return self.process.returncode, rest


def options(folder: Path) -> list[str]:
    """Ring, socket and port of a bridge of the test's own; the module is not asked for."""
    return [
        *("--source", "kmod"),
        *("--ring", str(folder / "ring")),
        *("--switch", str(folder / "switch")),
        *("--udp", "127.0.0.1:0"),
        *("--bpf-cache", str(BPF_CACHE)),
    ]


@contextlib.contextmanager
def running_bridge(folder: Path, *extra: str, prefix: Sequence[str] = ()) -> Iterator[Bridge]:
    """A bridge that has said that it is ready; ended at the end, whatever it does.

    prefix: a command that execs what follows it, as setpriv does.
    """
    process = subprocess.Popen(
        [*prefix, *KVMLOG, "bridge", *options(folder), *extra], stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield _ready(process, folder)
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str], folder: Path) -> Bridge:
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        found = re.search(r"ready: .* over UDP \S+:(\d+): ", line)
        if found:
            address = ("127.0.0.1", int(found[1]))
            return Bridge(process, folder / "ring", folder / "switch", address, lines)
    raise AssertionError(f"the bridge ended with {process.wait()}: {lines}")


def kvmlog(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of `kvmlog`, to its end."""
    return subprocess.run(
        [*KVMLOG, *arguments], capture_output=True, text=True, timeout=HANG_S, check=False
    )


def until(condition: Callable[[], bool]) -> None:
    """Waits for what has to come; fails only when it hangs."""
    limit = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)
