# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog history` as a process, and what its file says."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from kvmlog.history.client import HistoryClient
from kvmlog.history.model import Action, Fault
from kvmlog.history.reader import HistoryReader
from kvmlog.util.errors import HistoryError
from tests.support.bridge_process import HANG_S, KVMLOG

_T = TypeVar("_T")


class History:
    """A running history."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.file = folder / "history.db"
        self.socket = folder / "history.socket"
        self._log = folder / "history.log"
        self.reader = HistoryReader(str(self.file))
        self.client = HistoryClient(str(self.socket), timeout_s=HANG_S)

    def log(self) -> str:
        """Return what it said on stderr."""
        return self._log.read_text(errors="replace")

    def until(self, ask: Callable[[HistoryReader], _T]) -> _T:
        """Wait until the answer is true; return it."""
        limit = time.monotonic() + HANG_S
        while True:
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(HistoryError):
                found = ask(self.reader)
                if found:
                    return found
            assert time.monotonic() < limit, (self.log(), self.reader.changes(0))
            time.sleep(0.1)

    def actions(self, uuid: str) -> list[Action]:
        """Return a VM's actions, oldest first."""
        return list(reversed(self.reader.actions(uuid=uuid)))

    def names(self, uuid: str) -> list[str]:
        """Return the names of a VM's actions, oldest first."""
        return [one.action for one in self.actions(uuid)]

    def faults(self, uuid: str) -> list[Fault]:
        """Return a VM's faults, oldest first."""
        return list(reversed(self.reader.faults(uuid=uuid)))

    def stop(self) -> int:
        """End it by SIGTERM; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG_S)


def command(folder: Path, vmstats: Path | None = None, options: Sequence[str] = ()) -> list[str]:
    """Return the command of a history whose files are in a folder; it has no bridge."""
    return [
        *(*KVMLOG, "history", "--user", "root"),
        *("--history-file", str(folder / "history.db")),
        *("--history-socket", str(folder / "history.socket")),
        *("--vmstats-file", str(vmstats or folder / "vms.json")),
        *("--ring", str(folder / "ring"), "--switch", str(folder / "switch")),
        *options,
    ]


@contextlib.contextmanager
def history(
    folder: Path,
    vmstats: Path | None = None,
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Iterator[History]:
    """A history that has its file, until the end.

    vmstats: the collector's file; prefix: a command that execs what follows it.
    """
    with (folder / "history.log").open("wb") as output:
        process = subprocess.Popen(
            [*prefix, *command(folder, vmstats, options)],
            stdin=subprocess.DEVNULL,
            stderr=output,
        )
    with process:
        try:
            made = History(process, folder)
            # A socket's file may be that of one that was killed.
            made.until(lambda _: "keeping what happens" in made.log())
            yield made
        finally:
            process.kill()
