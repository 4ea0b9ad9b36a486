# SPDX-License-Identifier: GPL-2.0-or-later
"""Collection of tests/vm: what stands in inside/ runs in VMs, one boot per kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vm.inside_items import INSIDE, InsideModule, begin, in_vm, measured


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """Make one item per test and kernel of each file of inside/, on the host."""
    if in_vm() or INSIDE not in module_path.parents:
        return None
    module: pytest.Collector = InsideModule.from_parent(parent, path=module_path)
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here boots a VM, except inside one."""
    here = Path(__file__).parent
    for item in items:
        if not in_vm() and here in item.path.parents:
            item.add_marker(pytest.mark.vm)


def pytest_runtestloop(session: pytest.Session) -> None:
    """Boot the VMs of inside/ before anything runs: they take the longest."""
    if not (in_vm() or session.testsfailed or session.config.option.collectonly):
        begin(session)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the measurements made inside."""
    for line in measured(config):
        terminalreporter.write_line(line)
