# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog notify` as a process, beside a real history."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.bridge_process import HANG_S, KVMLOG


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the end, when it is killed; what it says goes into a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output)
    with process:
        try:
            yield process
        finally:
            process.kill()


def notify(
    folder: Path, *options: str
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """A notifier of the history whose files are in a folder; its log is notify.log there."""
    command = [
        *(*KVMLOG, "notify", "--user", "root"),
        *("--history-file", str(folder / "history.db")),
        *("--history-socket", str(folder / "history.socket")),
        *("--audit-file", str(folder / "audit.json")),
        *options,
    ]
    return running(command, folder / "notify.log")


def receiver(port: int, file: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """A webhook's receiver (tests.support.webhook)."""
    command = [sys.executable, "-m", "tests.support.webhook", str(port), str(file)]
    return running(command, file.with_suffix(".log"))


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    limit = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a process by SIGTERM; return its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(HANG_S)
