# SPDX-License-Identifier: GPL-2.0-or-later
"""Both sources on an Intel host, through a real bridge into its ring.

    KVMLOG_EVERY_KERNEL=1 .venv/bin/python -m pytest tests/vm/intel/test_sources.py

Two boots for each kernel, of some minutes of CPU: Python, and for bpf a compiler, run in there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from kvmlog.native import lib
from tests.vm.intel.comparison import differences
from tests.vm.intel.events import Run, read_runs
from tests.vm.intel.expected import KINDS, MMIO, counted
from tests.vm.intel.machine import Machine, run_bochs

SCENARIO: Final = Path(__file__).with_name("python.sh")
KERNELS: Final = os.environ.get("KVMLOG_KERNELS", "6.1 6.12").split()
SOURCES: Final = {"kmod": lib.KVMLOG_SOURCE_KMOD, "bpf": lib.KVMLOG_SOURCE_BPF}


@pytest.fixture(
    scope="module", params=[(kernel, one) for kernel in KERNELS for one in SOURCES], ids="-".join
)
def traced(request: pytest.FixtureRequest) -> tuple[str, dict[str, Run]]:
    """The source, and all runs of one boot by name."""
    kernel, source = request.param
    result = run_bochs(
        kernel,
        SCENARIO,
        Machine(has_python=True),
        config={"VM_PROGRAM": "tests.vm.intel.traced", "VM_ARGUMENTS": source},
        name=f"intel-{kernel}-{source}",
        timeout_s=3_600,
    )
    assert result.exit_code == 0, result.stdout[-4000:]
    return source, {run.name: run for run in read_runs(result.stdout)}


def test_every_record_tells_what_the_kernel_tells(traced: tuple[str, dict[str, Run]]) -> None:
    """As of the module alone (test_exits.py)."""
    _, runs = traced
    assert {name: differences(run)[:10] for name, run in runs.items()} == {
        name: [] for name in runs
    }


def test_the_ring_has_all_exits(traced: tuple[str, dict[str, Run]]) -> None:
    """Of the source that was asked for, each of them, and none was dropped."""
    source, runs = traced
    for run in runs.values():
        assert run.status == 0, run.name
        assert len(run.records) == len(run.exits) > 0, run.name
        assert {record.source for record in run.records} == {SOURCES[source]}
        assert run.line("status")["dropped"] == 0


def test_mmio_has_its_address(traced: tuple[str, dict[str, Run]]) -> None:
    """Each access to a device, not only a page's first."""
    _, runs = traced
    assert counted(runs["kinds"].exits) == KINDS
    found = [
        record.detail
        for record in runs["kinds"].records
        if record.reason == lib.KVMLOG_VMX_EPT_MISCONFIG
        and record.flags & lib.KVMLOG_F_DETAIL_VALID
    ]
    assert tuple(found) == MMIO
