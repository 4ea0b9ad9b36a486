# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of a domain, found by libvirt's pid file; with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kvmlog.vmstats.libvirt import pids
from kvmlog.vmstats.moment import Moment
from tests.support.vmstats_samples import WEB1

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_pid_and_start(tmp_path: Path) -> None:
    """The start is the kernel's, to a tick, however late it is asked for."""
    before = Moment.now()
    program = [sys.executable, "-c", "input()", "-uuid", WEB1]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:
        after = Moment.now()
        (tmp_path / "web1.pid").write_text(f"{process.pid}\n")
        found = pids.of_domain(str(tmp_path), "web1", WEB1)
        again = pids.of_domain(str(tmp_path), "web1", WEB1)
        process.kill()
    assert found is not None
    assert again is not None
    assert found.pid == process.pid
    for one in (found, again):
        started_ns = one.started.monotonic_ns
        assert before.monotonic_ns - TICK_NS <= started_ns <= after.monotonic_ns + TICK_NS


def test_another_process_is_none(tmp_path: Path) -> None:
    """A pid that was given to another since; a name that is a path; no file; no folder."""
    (tmp_path / "web1.pid").write_text(f"{os.getpid()}\n")
    assert pids.of_domain(str(tmp_path), "web1", WEB1) is None
    assert pids.of_domain(str(tmp_path), "../web1", WEB1) is None
    assert pids.of_domain(str(tmp_path), "db1", WEB1) is None
    assert pids.of_domain(None, "web1", WEB1) is None
