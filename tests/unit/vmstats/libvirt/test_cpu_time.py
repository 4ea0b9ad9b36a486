# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU time of a daemon that listens on a socket: here, another process of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from kvmlog.vmstats.libvirt.cpu_time import DaemonCpu, process_cpu_ns

# Listens, says so, then burns as much CPU time as a line says, in ms.
_DAEMON = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
for line in sys.stdin:
    end = time.process_time() + int(line) / 1000
    while time.process_time() < end:
        pass
    print("done", flush=True)
"""


def test_only_what_is_spent_within(tmp_path: Path) -> None:
    """What the daemon does for others, between two polls, is not counted."""
    path = tmp_path / "sock"
    with subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def burn(ms: int) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{ms}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        assert process.stdout.readline() == "ready\n"
        meter = DaemonCpu(f"qemu+unix:///system?socket={path}")
        with meter:
            burn(5)
        assert meter.spent_ns is None  # nobody has looked who it is
        meter.find()
        with meter:
            burn(20)
        burn(300)
        with meter:
            burn(20)
        assert meter.spent_ns is not None
        assert 40_000_000 <= meter.spent_ns < 200_000_000
        process.kill()


def test_nobody_listens(tmp_path: Path) -> None:
    """Then nothing is known, which is not zero; nor of another host's daemon."""
    for uri in (f"qemu+unix:///system?socket={tmp_path}/none", "qemu+ssh://host2/system"):
        meter = DaemonCpu(uri)
        meter.find()
        with meter:
            pass
        assert meter.spent_ns is None


def test_this_process() -> None:
    """It is what the kernel tells the process itself."""
    before = time.process_time_ns()
    told = process_cpu_ns(os.getpid())
    after = time.process_time_ns()
    assert told is not None
    assert before <= told <= after


def test_a_process_that_has_ended() -> None:
    """None, and no error."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert process_cpu_ns(process.pid) is None
