# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of `kvmlog top`: 200 guests x 8 vCPUs, one refresh a second.

    python -m tests.bench.top

How long the first picture takes (best of five), CPU time in percent of one core at three sizes of
the terminal, and how many bytes a second are written to it.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.live_host import LiveHost

GUESTS, VCPUS = 200, 8
EACH = 400  # exits a second of the guests with most
STARTS = 5
SECONDS = 20.0
SIZES = ((80, 24), (200, 50), (20, 5))
_FIRST = b"averages since"
_KVMLOG = [sys.executable, "-m", "kvmlog.cli.main", "top"]


class Screen:
    """A running `kvmlog top` on a terminal of its own."""

    def __init__(self, host: LiveHost, width: int, height: int) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (height, width))
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [*_KVMLOG, "--ring", host.ring, "--switch", host.switch],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        )
        os.close(theirs)

    def read_until(self, word: bytes) -> float:
        """Read until these bytes; seconds since it was started."""
        seen = b""
        while word not in seen:
            seen += os.read(self._ours, 65_536)
        return time.perf_counter() - self.began

    def read_for(self, seconds: float) -> int:
        """Read for so long; number of bytes."""
        end, count = time.monotonic() + seconds, 0
        while (left_s := end - time.monotonic()) > 0:
            if select.select([self._ours], [], [], left_s)[0]:
                count += len(os.read(self._ours, 65_536))
        return count

    def close(self) -> None:
        """Quit as people do."""
        os.write(self._ours, b"q")
        with contextlib.suppress(OSError):
            while os.read(self._ours, 65_536):
                pass
        self.process.wait()
        os.close(self._ours)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, in user space and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def exiting(host: LiveHost) -> Iterator[None]:
    """Guests exit meanwhile, five times a second."""
    ended = threading.Event()

    def feed() -> None:
        while not ended.wait(0.2):
            host.feed_all(EACH // 5)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main() -> int:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        names = [f"web{number}" for number in range(GUESTS)]
        with LiveHost(Path(folder), names, VCPUS, mib=64) as host:
            host.feed_all(20 * EACH)
            host.counting.writer.flush()
            first = []
            for _ in range(STARTS):
                screen = Screen(host, 80, 24)
                wall_s = screen.read_until(_FIRST)
                first.append((wall_s, cpu_s(screen.process.pid)))
                screen.close()
            wall_s, spent_s = min(first)
            print(f"first picture: {wall_s:.2f} s, of which {spent_s:.2f} s of CPU time")
            with exiting(host):
                for width, height in SIZES:
                    screen = Screen(host, width, height)
                    screen.read_for(5.0)
                    before_s = cpu_s(screen.process.pid)
                    count = screen.read_for(SECONDS)
                    spent_s = cpu_s(screen.process.pid) - before_s
                    screen.close()
                    print(
                        f"{GUESTS} guests x {VCPUS} vCPUs at {width}x{height}: "
                        f"{100 * spent_s / SECONDS:.1f} % of a core, "
                        f"{count / SECONDS / 1_000:.1f} KB/s to the terminal"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
