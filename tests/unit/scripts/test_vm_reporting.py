# SPDX-License-Identifier: GPL-2.0-or-later
"""Outcomes of tests inside a VM, as they come back to the host."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.vm.reporting import Outcome, read


def test_a_failure_in_tear_down_outweighs_a_pass(tmp_path: Path) -> None:
    """And a failure is never outweighed."""
    passed = Outcome("t::a", "passed", "", 0.1)
    failed = Outcome("t::a", "failed", "tear-down", 0.1)
    lone = Outcome("t::b", "failed", "call", 0.1)
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(asdict(o)) + "\n" for o in (passed, failed, lone)))

    assert read(results) == {"t::a": failed, "t::b": lone}


def test_no_results_are_no_outcomes(tmp_path: Path) -> None:
    """The VM may have died before the first."""
    assert read(tmp_path / "missing") == {}
