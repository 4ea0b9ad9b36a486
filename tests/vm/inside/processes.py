# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole path as real processes: `kvmlog bridge` and `kvmlog rpc`, in places of their own.

Ring, socket and UDP port are never the default ones. What a process says goes to a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from kvmlog.control.client import SwitchClient
from kvmlog.ring.reader import RingInfo, RingReader
from tests.vm.inside import host

KVMLOG = host.PROJECT / ".venv/bin/kvmlog"
HANG_S = host.HANG_S
HOOKS = ("kvm_exit", "kvm_entry", "kvm_userspace_exit", "kvm_vcpu_wakeup", "sched_process_exit")
# The bridge's zone: east of UTC by something that is no whole hour.
ZONE, ZONE_S = "HERE-5:30", 19_800


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for what has to come; fails, with `what`, only when it does not."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def kvmlog(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """One run of the command to its end, which has to be this exit status."""
    done = subprocess.run([KVMLOG, *arguments], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == status, (arguments, done)
    return done


def probes() -> dict[str, int]:
    """Return how often each hooked tracepoint is enabled, read from the kernel's memory."""
    return host.probe_counts(*HOOKS)


class Process:
    """One `kvmlog` process, running until end(); stdout and stderr are its log."""

    def __init__(
        self,
        log: Path,
        *arguments: str | Path,
        user: int | None = None,
        groups: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """user: the uid, and the gid, it runs as; groups: supplementary ones; command: instead."""
        self._log = log
        with log.open("wb") as output:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                command or [KVMLOG, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                user=user,
                group=user,
                extra_groups=None if user is None else groups,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """All that it has said so far."""
        return self._log.read_text()

    def says(self, pattern: str) -> re.Match[str]:
        """Waits until the pattern stands in its log; fails when it ends before."""

        def found() -> bool:
            ended = self.process.poll() is not None
            hit = re.search(pattern, self.log())
            assert hit or not ended, f"ended with {self.process.returncode}: {self.log()}"
            return hit is not None

        until(found, f"{pattern!r} in {self._log}")
        match = re.search(pattern, self.log())
        assert match is not None
        return match

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it by a signal to its pid; its exit status, -number when it died of it."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(HANG_S)
        finally:
            self.process.kill()
            self.process.wait()

    def descriptors(self) -> int:
        """Return the number of files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self) -> int:
        """Memory that it has in RAM, shared pages and mapped files too (statm, proc(5))."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Bridge(Process):
    """A `kvmlog bridge`; ready() before anything is asked of it."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        name: str = "bridge",
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """folder: the bridge makes it when it is not there; its log stands beside it.

        command: how to start it instead, in the same places.
        """
        self.ring, self.switch = folder / "ring", folder / "switch"
        places = ("--ring", self.ring, "--switch", self.switch, "--udp", "127.0.0.1:0")
        # send() does not wait, and so its socket's owner cannot be told.
        options = ("--udp-plain", "any", *options)
        if "--config" not in options:
            # Guests that exit at full rate, in emulation, take far more than the default allows.
            options = ("--budget", "0", *options)
        log = folder.with_name(f"{folder.name}-{name}.log")
        super().__init__(
            log, "bridge", *places, *options, environment={"TZ": ZONE}, command=command
        )
        self.client = SwitchClient(str(self.switch), timeout_s=HANG_S)

    def ready(self) -> Bridge:
        """Waits until it takes commands."""
        port = self.says(r"ready: .* over UDP 127\.0\.0\.1:(\d+): ")[1]
        self.udp = ("127.0.0.1", int(port))
        return self

    def send(self, command: bytes) -> None:
        """A datagram from a socket that closes at once: nobody reads the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(command, self.udp)

    def ask(self, command: bytes) -> bytes:
        """The same, from one that waits for the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(HANG_S)
            link.connect(self.udp)
            link.send(command)
            return link.recv(65_536)

    def info(self) -> RingInfo:
        """The header of its ring."""
        with RingReader(self.ring) as reader:
            return reader.info()

    def status(self) -> dict[str, Any]:
        """Its status, after the promise that nothing vanishes was checked on all counters in it."""
        status = self.client.status()
        check_sum(status["counters"])
        check_sum(status["source"].get("counters", {}))
        check_sum(self.info().counters)
        return status

    def records(self, since: int = 0) -> bytes:
        """Everything in its ring from this index on, none overwritten."""
        with RingReader(self.ring) as reader:
            snapshot = reader.snapshot(since=since)
        assert snapshot.overwritten == 0
        return snapshot.records


class Rpc(Process):
    """A `kvmlog rpc` for a bridge's ring and socket."""

    def __init__(self, bridge: Bridge, name: str = "rpc", **who: Any) -> None:
        places = ("--ring", bridge.ring, "--switch", bridge.switch, "--listen", "127.0.0.1:0")
        # Otherwise it would become a user that need not exist here.
        user = ("--user", "root")
        folder = bridge.ring.parent
        super().__init__(
            folder.with_name(f"{folder.name}-{name}.log"), "rpc", *places, *user, **who
        )

    def url(self) -> str:
        """Return the URL once it serves."""
        return self.says(r"serving (http://\S+) from ring")[1]

    def client(self) -> Any:
        """A stock xmlrpc.client.ServerProxy, once it serves."""
        return ServerProxy(self.url())


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A place for one bridge, not there yet, on tmpfs as /run/kvmlog is."""
    parent = Path(tempfile.mkdtemp(prefix="kvmlog-", dir="/run"))
    parent.chmod(0o755)
    try:
        yield parent / "kvmlog"
    finally:
        shutil.rmtree(parent)


@contextlib.contextmanager
def ended(*processes: Process) -> Iterator[None]:
    """End all of them, in order.

    None may leave a traceback. Those that the test ended are left alone.
    """
    try:
        yield
        statuses = [process.end() for process in reversed(processes)]
        assert set(statuses) <= {0, -signal.SIGKILL}
    finally:
        for process in processes:
            process.end(signal.SIGKILL)
    for process in processes:
        assert "Traceback" not in process.log()


def check_sum(counters: Mapping[str, int]) -> None:
    """Every exit that was seen went somewhere."""
    places = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counters.get("seen", 0) == sum(counters.get(place, 0) for place in places), counters


def check_losses(info: RingInfo) -> None:
    """Nothing but what was dropped is lost, and that is told in the ring."""
    dropped = info.counters["dropped"]
    told = info.head - info.counters["emitted"] - info.counters["notes"]
    assert info.lost_records == dropped
    assert (told > 0) == (dropped > 0)
    assert (info.lost_messages, info.bad_messages) == (0, 0)


def check_off(bridge: Bridge) -> None:
    """Switched off, every exit is accounted for.

    A guest that exits as fast as it can may be faster than the bridge, on a busy machine.
    """
    status = bridge.status()
    assert status["counters"]["pending"] == 0
    assert status["pump"]["bad_messages"] == status["pump"]["errors"] == 0
    check_losses(bridge.info())


@contextlib.contextmanager
def load(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A guest that exits as fast as it can, until the end."""
    guest = host.start_guest("--turns", "0", *options)
    try:
        yield guest
    finally:
        guest.terminate()
        guest.communicate(timeout=HANG_S)
