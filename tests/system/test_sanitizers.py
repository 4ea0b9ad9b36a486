# SPDX-License-Identifier: GPL-2.0-or-later
"""Native code under GCC's sanitizers (scripts/sanitize): a part of what `make soak` runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.scale import SANITIZED_TURNS

ROOT = Path(__file__).parents[2]
# What calls native code, but for races, which ThreadSanitizer has, and what only repeats calls.
NATIVE_TESTS = ["ring", "native", "recording/test_round_trip.py", "recording/test_damage.py"]
NATIVE_TESTS += ["engine/test_pump.py", "sources"]
REPEATING = ["torn", "open_while_written", "fuzz", "scribbled", "bomb"]


def sanitize(*words: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/sanitize; its whole output is in stdout."""
    return subprocess.run(
        ["scripts/sanitize", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_native_tests_without_a_bad_access_or_undefined_behaviour() -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer have nothing to report."""
    wanted = " and ".join(f"not {word}" for word in REPEATING)
    done = sanitize("memory", "-q", "-k", wanted, *(f"tests/unit/{part}" for part in NATIVE_TESTS))
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("call", "report"),
    [
        ("kvmlog_test_heap_read(8, 8)", "AddressSanitizer: heap-buffer-overflow"),
        ("kvmlog_test_add(2**31 - 1, 1)", "runtime error: signed integer overflow"),
    ],
)
def test_control_a_fault_of_native_code_is_reported(tmp_path: Path, call: str, report: str) -> None:
    """The test above can fail."""
    faulty = tmp_path / "test_faulty.py"
    faulty.write_text(f"from tests.native import lib\n\ndef test_it():\n    lib.{call}\n")
    done = sanitize("memory", "-q", f"--rootdir={ROOT}", str(faulty))
    assert done.returncode != 0
    assert report in done.stdout


@pytest.mark.parametrize("meeting", ["ring", "statistics", "pump"])
def test_no_thread_of_the_engine_races_another(meeting: str) -> None:
    """ThreadSanitizer has nothing to report where writers, readers and controls meet."""
    done = sanitize("threads", meeting, str(SANITIZED_TURNS))
    assert done.returncode == 0, done.stdout
    turns = [int(number) for number in done.stdout.splitlines()[-1].split()]
    assert min(turns) > 0
    assert SANITIZED_TURNS in turns


def test_control_a_reader_without_the_protocol_races() -> None:
    """The test above can fail."""
    done = sanitize("threads", "without-protocol", str(SANITIZED_TURNS))
    assert done.returncode == 66
    assert "ThreadSanitizer: data race" in done.stdout
    assert "in read_without_protocol" in done.stdout
