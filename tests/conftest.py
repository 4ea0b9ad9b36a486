# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures and hooks of all tests.

In continuous integration (CI=true) a skipped test is a failure.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, as /etc/kvmlog is, and pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="kvmlog-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def pytest_configure() -> None:
    """Started in the background, Ctrl-C may be ignored here, and then in all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing is left out quietly where everything has to run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"\nCI: {len(skipped)} skipped, which counts as failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
