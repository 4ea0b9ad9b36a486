# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions to a kernel before programs are planned for it: its version, its event's fields."""

from __future__ import annotations

import os

import pytest

from kvmlog.sources.base import SourceGoneError
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.plan import event_offsets, kernel_version, possible_cpus
from kvmlog.util.errors import SourceError
from tests.support.scripted_btf import FORMAT


def test_the_fields_of_an_event() -> None:
    """All of them, common ones too, with offset and size; nothing out of the print format."""
    assert event_offsets(FORMAT) == {
        "common_type": (0, 2),
        "common_flags": (2, 1),
        "common_preempt_count": (3, 1),
        "common_pid": (4, 4),
        "exit_reason": (8, 4),
        "guest_rip": (16, 8),
        "isa": (24, 4),
        "info1": (32, 8),
        "info2": (40, 8),
        "intr_info": (48, 4),
        "error_code": (52, 4),
        "vcpu_id": (56, 4),
    }


def test_fields_that_are_arrays_and_pointers() -> None:
    """Other events have such fields; an event without fields has none."""
    text = (
        "\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n"
        "\tfield:const char * name;\toffset:24;\tsize:8;\tsigned:0;\n"
        "\tfield:__data_loc char[] path;\toffset:32;\tsize:4;\tsigned:0;\n"
    )
    assert event_offsets(text) == {"comm": (8, 16), "name": (24, 8), "path": (32, 4)}
    assert event_offsets("name: empty\nID: 1\nformat:\n") == {}


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.12.117+deb12-amd64", (6, 12)),
        ("6.1.0-56-amd64", (6, 1)),
        ("5.17-rc3", (5, 17)),
        ("10.0", (10, 0)),
    ],
)
def test_a_kernels_version(release: str, version: tuple[int, int]) -> None:
    """Its first two numbers."""
    assert kernel_version(release) == version


def test_a_kernel_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled before the refusal, which has both versions and the remedy."""
    monkeypatch.setattr(plan, "waiting_for", lambda: None)
    monkeypatch.setattr(plan, "OLDEST", (99, 4))
    with pytest.raises(SourceError) as refused:
        plan.make_plan()
    assert str(refused.value) == (
        f"the source bpf needs Linux 99.4 or newer, this is {os.uname().release}; "
        "boot a newer kernel, or use --source kmod"
    )


def test_kvm_that_is_not_loaded_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No refusal: the engine goes on when it comes."""
    monkeypatch.setattr(plan, "waiting_for", lambda: "kvm_amd or kvm_intel")
    with pytest.raises(SourceGoneError, match=r"^kvm_amd or kvm_intel is not loaded$"):
        plan.make_plan()


def test_the_running_kernels_version() -> None:
    """The version is that of uname."""
    first, second = kernel_version()
    assert os.uname().release.startswith(f"{first}.{second}")


def test_possible_cpus_reach_past_every_cpu_that_is_there() -> None:
    """One more than the highest number: each CPU has its part of the maps."""
    assert possible_cpus() > max(os.sched_getaffinity(0))
    assert possible_cpus() >= os.sysconf("SC_NPROCESSORS_CONF") > 0
