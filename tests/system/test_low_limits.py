# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command with few descriptors, or little memory: a sentence and an exit status."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvmlog.cli.main import COMMANDS
from kvmlog.guests.model import FILE_BYTES, Guest, encode
from kvmlog.ring.reader import boot_id
from tests.support.bridge_process import HANG_S, KVMLOG, options, running_bridge

RECORDING = Path(__file__).resolve().parents[1] / "data/recordings/two-guests-boot.kvmlog"
# What those that would run on are given before they are asked to end.
_RUN_S = 3.0


def arguments(name: str, folder: Path) -> list[str]:
    """Return arguments with which the command works on the files of this folder."""
    ring, switch = ["--ring", str(folder / "ring")], ["--switch", str(folder / "switch")]
    vms = ["--vmstats-file", str(folder / "vms.json")]
    past = ["--history-file", str(folder / "history.db")]
    socket = ["--history-socket", str(folder / "history.socket")]
    recording = str(RECORDING)
    given: dict[str, list[str]] = {
        "bridge": options(folder),
        "rpc": [*ring, *switch, "--listen", "127.0.0.1:0", "--user", "root"],
        "vmstats": [*vms, "--uri", "test:///default", "--interval", "1", "--user", "root"],
        "history": [*past, *socket, *ring, *switch, *vms, "--user", "root"],
        "notify": [*past, *socket, "--webhook", "http://127.0.0.1:9/", "--user", "root"],
        "metrics": [*ring, *switch, *vms, *socket, "--listen", "127.0.0.1:0", "--user", "root"],
        "vms": [*ring, *switch, *vms],
        "record": [*ring, *switch, "-o", str(folder / "recording"), "--force", "--for", "1s"],
        "top": [*ring, *switch],
        "check": ["losses", "--host", "127.0.0.1:9"],
        "events": past,
        "services": past,
        "usage": past,
        "why": ["web1", *ring, *switch, *vms],
        "report": [recording, "-o", str(folder / "report.html"), "--force"],
        "export": [recording, "--format", "jsonl", "-o", str(folder / "export"), "--force"],
        "query": [recording, "select 1"],
        "status": [*ring, *switch],
        "switch": ["on", *switch],
        "dump": ring,
        "tail": ring,
        "stat": [*ring, *switch],
        "guests": [*ring, *switch],
        "pending": [*ring, *switch],
        "explain": ["HLT"],
        "remote": ["127.0.0.1:9", "status"],
        "fleet": ["status", "--hosts", str(folder / "hosts")],
        "demo": ["127.0.0.1:9"],
        "bpf": ["list", "--bpf-cache", str(folder)],
        "config": ["show"],
    }
    return given[name]


def limited(kind: int, most: int) -> Callable[[], None]:
    """Return what a child does before it becomes kvmlog."""
    return lambda: resource.setrlimit(kind, (most, most))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a bridge that has ended, with many guests."""
    found = tmp_path_factory.mktemp("low")
    with running_bridge(found) as bridge:
        assert bridge.stop()[0] == 0
    guests = [
        Guest(pid=n + 10, start_ticks=1, comm="qemu", kind="qemu", name=f"web{n}", named=True)
        for n in range(2_000)
    ]
    (found / "hosts").write_text("127.0.0.1:9\n")
    (found / "ring.guests").write_bytes(encode(boot_id(), guests))
    return found


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_NOFILE, 6),
        (resource.RLIMIT_AS, 100_000 << 10),
    ],
)
def test_a_command_ends_in_a_sentence_or_works(
    folder: Path, name: str, kind: int, most: int
) -> None:
    """No traceback; where it fails, status 1 and one line that says what to do."""
    process = subprocess.Popen(
        [*KVMLOG, name, *arguments(name, folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=limited(kind, most),
    )
    limit = time.monotonic() + _RUN_S
    with process:
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=HANG_S)
    assert "Traceback" not in told
    # One that is about to end may do so by the signal; 3 is a plugin's UNKNOWN.
    assert process.returncode in (0, 1, 130, -signal.SIGINT, *((3,) if name == "check" else ()))
    if process.returncode == 1 and name != "status":
        assert [line for line in told.splitlines() if line.startswith("kvmlog")]


@pytest.mark.parametrize(
    ("kind", "most", "words"),
    [
        (resource.RLIMIT_NOFILE, 5, "too few file descriptors: this process may have 5 open"),
        (resource.RLIMIT_AS, 60 << 20, "this process may have 60 MiB of address space"),
    ],
)
def test_the_limit_is_told(folder: Path, kind: int, most: int, words: str) -> None:
    """The sentence has its value, and how to raise it."""
    done = subprocess.run(
        [*KVMLOG, "bridge", *options(folder), "--slots", "65536", "--statistics-mib", "512"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        preexec_fn=limited(kind, most),
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "raise the limit (ulimit -" in done.stderr


def test_reading_the_guests_takes_memory_for_what_there_is(folder: Path) -> None:
    """Not for the largest file there could be: half of that is enough for the whole process."""
    done = subprocess.run(
        [*KVMLOG, "guests", *arguments("guests", folder), "--all"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        preexec_fn=limited(resource.RLIMIT_AS, FILE_BYTES - (1 << 20)),
    )
    assert "web1999" in done.stdout, done.stderr
