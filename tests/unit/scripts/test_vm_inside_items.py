# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels on which each test inside a VM runs: nothing is left out but what says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import scale
from tests.vm.inside_items import INSIDE, boots_of

DEBUG = INSIDE / "debug/test_judges.py"
OWN, ONCE = INSIDE / "test_guest.py", INSIDE / "once/test_provision.py"
ONCE_DEEPER = INSIDE / "once/one_bridge/test_demo.py"
TEST, WITH_BPF = "test_it[kmod-1]", "test_it[bpf-1]"


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernels of the caller's choice."""
    monkeypatch.delenv("KVMLOG_KERNELS", raising=False)


@pytest.mark.parametrize(
    ("path", "every", "expected"),
    [
        (OWN, 0, ["6.1", "6.12"]),
        (INSIDE / "one_bridge/test_system_log.py", 0, ["6.1", "6.12"]),
        (ONCE, 0, ["6.1"]),
        (ONCE, 1, ["6.1", "6.12"]),
        (ONCE_DEEPER, 0, ["6.1"]),
        (ONCE_DEEPER, 1, ["6.1", "6.12"]),
        (DEBUG, 1, []),
    ],
)
def test_only_what_stands_in_once_runs_on_one_kernel(
    monkeypatch: pytest.MonkeyPatch, path: Path, every: int, expected: list[str]
) -> None:
    """What `make soak` runs besides runs on each."""
    assert path.exists()
    monkeypatch.setattr(scale, "EVERY_KERNEL", every)
    assert [boot.kernel for boot in boots_of(path, TEST)] == expected


@pytest.mark.parametrize(
    ("path", "expected"), [(DEBUG, ["debug"]), (OWN, ["6.1", "debug"]), (ONCE, ["6.1"])]
)
def test_what_stands_in_debug_runs_on_the_debug_kernel(
    monkeypatch: pytest.MonkeyPatch, path: Path, expected: list[str]
) -> None:
    """Everything else does so too, where it is asked for."""
    assert path.exists()
    monkeypatch.setattr(scale, "EVERY_KERNEL", 0)
    monkeypatch.setenv("KVMLOG_KERNELS", "6.1 debug")
    assert [boot.kernel for boot in boots_of(path, TEST)] == expected


def test_the_only_kernel_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever was chosen."""
    monkeypatch.setattr(scale, "EVERY_KERNEL", 0)
    monkeypatch.setenv("KVMLOG_KERNELS", "6.12")
    assert [boot.kernel for boot in boots_of(ONCE, TEST)] == ["6.12"]


def test_what_stands_in_once_has_vms_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One VM is not to take as long as all others together."""
    monkeypatch.setattr(scale, "EVERY_KERNEL", 1)
    assert set(boots_of(ONCE, TEST)) == set(boots_of(ONCE_DEEPER, TEST))
    assert not set(boots_of(ONCE, TEST)) & set(boots_of(OWN, TEST))
    names = [boot.name for path in (OWN, ONCE) for boot in boots_of(path, TEST)]
    assert names == ["inside-6.1", "inside-6.12", "inside-6.1-once", "inside-6.12-once"]


def test_what_stands_in_once_is_shared_out_by_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs' VM runs beside the module's; elsewhere one VM has both."""
    monkeypatch.setattr(scale, "EVERY_KERNEL", 0)
    assert [boot.name for boot in boots_of(ONCE_DEEPER, WITH_BPF)] == ["inside-6.1-once-bpf"]
    choice = INSIDE / "once/test_bpf_choice.py"
    assert choice.exists()
    assert boots_of(choice, "test_auto") == boots_of(ONCE_DEEPER, WITH_BPF)
    assert boots_of(OWN, WITH_BPF) == boots_of(OWN, TEST)
