# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's process by libvirt's pid file, which may be old, or lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kvmlog.vmstats.libvirt.pids import of_domain
from kvmlog.vmstats.moment import Moment

TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
UUID: Final = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def process() -> Iterator[int]:
    """A process with the domain's UUID on its command line, as QEMU has it; its pid."""
    command = [sys.executable, "-c", "input()", "-name", "guest=web1", "-uuid", UUID]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as started:
        yield started.pid
        started.kill()


def test_the_pid_in_the_file(tmp_path: Path, process: int) -> None:
    """It is the process with that UUID."""
    (tmp_path / "web 1.pid").write_text(f"{process}\n")
    found = of_domain(str(tmp_path), "web 1", UUID)
    assert found is not None
    assert found.pid == process


def test_when_it_started(tmp_path: Path) -> None:
    """It is the kernel's time, to a tick, however late it is asked for."""
    before = Moment.now()
    command = [sys.executable, "-c", "input()", UUID]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        after = Moment.now()
        (tmp_path / "web1.pid").write_text(str(process.pid))
        found = [of_domain(str(tmp_path), "web1", UUID) for _ in range(2)]
        process.kill()
    for one in found:
        assert one is not None
        started_ns = one.started.monotonic_ns
        assert before.monotonic_ns - TICK_NS <= started_ns <= after.monotonic_ns + TICK_NS


def test_the_pid_of_another_process(tmp_path: Path, process: int) -> None:
    """A file that was left behind names whoever got the pid since."""
    (tmp_path / "web1.pid").write_text(str(os.getpid()))
    assert of_domain(str(tmp_path), "web1", UUID) is None
    (tmp_path / "web1.pid").write_text(str(process))
    assert of_domain(str(tmp_path), "web1", UUID.replace("1", "2")) is None


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "99999999999999999999"])
def test_no_pid(tmp_path: Path, content: str) -> None:
    """Whatever is in the file."""
    (tmp_path / "web1.pid").write_text(content)
    assert of_domain(str(tmp_path), "web1", UUID) is None


def test_no_file(tmp_path: Path) -> None:
    """None there, none for remote hosts, none outside the folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "up.pid").write_text(str(os.getpid()))
    assert of_domain(str(tmp_path / "a"), "../up", str(os.getpid())) is None
    assert of_domain(str(tmp_path), "web1", UUID) is None
    assert of_domain(None, "web1", UUID) is None
