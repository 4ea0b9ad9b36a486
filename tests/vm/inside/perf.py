# SPDX-License-Identifier: GPL-2.0-or-later
"""`perf kvm stat`: another tool's account of exits, to compare with.

What it takes as one sample is a kvm_exit and the next kvm_entry of the same thread, and the
time between them. So it has no sample of an exit that nothing follows (the last of a vCPU that
then halts for ever, or whose process ends in it), and none before the first entry that it saw.
It knows threads, not guests. What its buffers could not take is lost: see Recording.lost().
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm.inside import host
from tests.vm.inside.processes import HANG_S, Process, until

# VM-EXIT, Samples, Samples%, Time%, Min Time, Max Time, Avg time
_ROW: Final = re.compile(
    r"^ *(\S.*?) +(\d+) +[\d.]+% +[\d.]+% +([\d.]+)us +([\d.]+)us +([\d.]+)us", re.MULTILINE
)
_TOTAL: Final = re.compile(r"^Total Samples:(\d+),", re.MULTILINE)
_LOST: Final = re.compile(r"^\s*LOST(?:_SAMPLES)? events:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class PerfRow:
    """One reason in the report; times in microseconds, to a hundredth."""

    samples: int
    min_us: float
    max_us: float
    avg_us: float


class Recording:
    """A file that `perf kvm stat record` wrote; complete once record() has ended."""

    def __init__(self, path: Path, perf: Process) -> None:
        self.path = path
        self.pid = perf.pid

    def report(self, pid: int | None = None) -> dict[str, PerfRow]:
        """Samples by reason, of one process or of all.

        Reasons are named as in SVM_EXIT_REASONS (arch/x86/include/uapi/asm/svm.h), without
        SVM_EXIT_ and in small letters: perf has them from there.
        """
        chosen = [] if pid is None else ["--pid", str(pid)]
        # It all goes to stderr.
        done = subprocess.run(
            ["perf", "kvm", "-i", str(self.path), "stat", "report", *chosen],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        text = done.stdout
        rows = {
            name: PerfRow(int(samples), float(low), float(high), float(mean))
            for name, samples, low, high, mean in _ROW.findall(text)
        }
        total = _TOTAL.search(text)
        assert total, text
        # Every line of the table was understood.
        assert sum(row.samples for row in rows.values()) == int(total[1]), text
        return rows

    def lost(self) -> int:
        """Return how often the file says that perf's buffers lost something."""
        text = host.run("perf", "report", "-i", str(self.path), "--stats", "--stdio")
        return sum(int(count) for count in _LOST.findall(text))


def _answered(way: int) -> bool:
    """Its "ack" has come."""
    try:
        return bool(os.read(way, 16))
    except BlockingIOError:
        return False


@contextlib.contextmanager
def record(buffer_pages: int = 1024) -> Iterator[Recording]:
    """Records all CPUs until the end; begins when every event is armed (some seconds).

    The file stays, on tmpfs, about 100 bytes an event.

    buffer_pages: of each CPU, 4 KiB each, a power of two. 1024, perf's own choice here, hold
    some 40,000 events, two or three for each exit, until perf gets to run; more are lost.
    """
    place = Path(tempfile.mkdtemp(prefix="perf-", dir="/run"))
    ways = [place / "control", place / "answer"]
    for way in ways:
        os.mkfifo(way)
    path = place / "perf.data"
    command = [
        *("perf", "kvm", "stat", "record", "-a", "-o", str(path)),
        *("-m", str(buffer_pages), "--delay=-1", f"--control=fifo:{ways[0]},{ways[1]}"),
    ]
    perf = Process(place / "log", command=command)
    # Opened for both directions: opening neither waits for perf nor fails without it.
    control, answer = (os.open(way, os.O_RDWR | os.O_NONBLOCK) for way in ways)
    try:
        os.write(control, b"enable\n")
        until(lambda: _answered(answer) or perf.process.poll() is not None, "an answer of perf")
        assert perf.process.poll() is None, perf.log()
        yield Recording(path, perf)
        perf.process.send_signal(signal.SIGINT)
        assert perf.process.wait(HANG_S) in (0, -signal.SIGINT), perf.log()
        assert "Captured and wrote" in perf.log(), perf.log()
    finally:
        perf.end(signal.SIGKILL)
        os.close(control)
        os.close(answer)
