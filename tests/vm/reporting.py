# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest plugin for the session inside a VM: writes each test's outcome at once.

One JSON object a line, flushed to the host's disk, so that a panic in the middle
leaves the outcomes that were had before it. Loaded by `-p tests.vm.reporting`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import pytest

RESULTS_ENVIRONMENT = "KVMLOG_VM_RESULTS"
MARKER = "kvmlog test: "
_KERNEL_LOG = Path("/dev/kmsg")


@dataclass(frozen=True)
class Outcome:
    """Outcome of one test."""

    nodeid: str
    outcome: str  # "passed", "failed" or "skipped"
    text: str  # why, with captured output
    seconds: float


@contextmanager
def _results() -> Iterator[TextIO]:
    with Path(os.environ[RESULTS_ENVIRONMENT]).open("a") as results:
        yield results
        results.flush()
        os.fsync(results.fileno())


def pytest_runtest_logstart(nodeid: str) -> None:
    """Tell the kernel's log, so that what the kernel complains about later has a culprit."""
    with suppress(OSError):
        _KERNEL_LOG.write_text(MARKER + nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """The call's outcome; or set-up's and tear-down's when that is not a pass."""
    if report.when != "call" and report.passed:
        return
    if report.skipped and isinstance(report.longrepr, tuple):
        text = report.longrepr[2].removeprefix("Skipped: ")
    else:
        text = report.longreprtext
    sections = "".join(f"\n--- {title} ---\n{content}" for title, content in report.sections)
    outcome = Outcome(
        report.nodeid, report.outcome, text + (sections if report.failed else ""), report.duration
    )
    with _results() as results:
        results.write(json.dumps(asdict(outcome)) + "\n")


def read(path: Path) -> dict[str, Outcome]:
    """All outcomes by node id; a failure in tear-down outweighs a passed call."""
    found: dict[str, Outcome] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        outcome = Outcome(**json.loads(line))
        before = found.get(outcome.nodeid)
        if before is None or before.outcome != "failed":
            found[outcome.nodeid] = outcome
    return found
