# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vmstats` as a process, and what its file says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kvmlog.util.errors import VmStatsMissingError
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import SnapshotReader
from kvmlog.vmstats.snapshot import Snapshot, Vm
from tests.support.bridge_process import HANG_S, KVMLOG

INTERVAL_S = 1.0


class Collector:
    """A running collector."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path, log: Path) -> None:
        self.process, self.file, self._log = process, file, log
        self.reader = SnapshotReader(str(file))

    def log(self) -> str:
        """Return what it said on stderr."""
        return self._log.read_text(errors="replace")

    def snapshot(self) -> Snapshot:
        """Return what it wrote last."""
        return self.reader.read()

    def vm(self, name: str) -> Vm:
        """Return what it wrote last of a VM."""
        return self._named(self.snapshot(), name)

    def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        """Wait until its file fulfils a condition; return that snapshot."""
        limit = time.monotonic() + HANG_S
        while True:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < limit, (self.log(), self.file.read_text()[:20_000])
            with contextlib.suppress(VmStatsMissingError):
                found = self.snapshot()
                if condition(found):
                    return found
            time.sleep(0.05)

    def until_vm(self, name: str, condition: Callable[[Vm], bool]) -> Vm:
        """Wait until a VM fulfils a condition; return it."""
        return self._named(
            self.until(lambda now: any(vm.sample.name == name and condition(vm) for vm in now.vms)),
            name,
        )

    def fresh(self, name: str) -> Vm:
        """Return a VM's first sample that was begun after now."""
        now = Moment.now()
        # One poll may be under way.
        first = self.until_vm(name, lambda vm: vm.sample.taken > now).sample.taken
        return self.until_vm(name, lambda vm: vm.sample.taken > first)

    def stop(self) -> int:
        """End it by SIGTERM; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG_S)

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self) -> int:
        """Return how many descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @staticmethod
    def _named(snapshot: Snapshot, name: str) -> Vm:
        (found,) = (vm for vm in snapshot.vms if vm.sample.name == name)
        return found


@contextlib.contextmanager
def collector(
    folder: Path,
    *uris: str,
    options: Sequence[str] = (),
    entering: Callable[..., list[str]] = lambda *command: list(command),
) -> Iterator[Collector]:
    """A collector of these connections, until the end; it polls each second, without a budget.

    entering: makes of its command one that runs elsewhere (LibvirtHost.entering).
    """
    file, log = folder / "vms.json", folder / "vmstats.log"
    command = [*KVMLOG, "vmstats", "--vmstats-file", str(file), "--user", "root", "--budget", "0"]
    command += ["--interval", str(INTERVAL_S), *options]
    for uri in uris:
        command += ["--uri", uri]
    with log.open("wb") as output:
        process = subprocess.Popen(entering(*command), stdin=subprocess.DEVNULL, stderr=output)
    with process:
        try:
            yield Collector(process, file, log)
        finally:
            process.kill()
