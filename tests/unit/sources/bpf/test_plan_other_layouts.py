# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that are laid out otherwise than is known: what takes the missing part's place, and
refusals.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.util.errors import SourceError
from tests.support.scripted_btf import (
    EVENT,
    EVENT_MACROS,
    FORMAT,
    RAW,
    SVM_MACROS,
    TASK_MACROS,
    TYPED,
    Event,
    ScriptedBtf,
    functions,
    made,
)


@pytest.mark.usefixtures("module_switch")
@pytest.mark.parametrize(
    ("offsets", "missing"),
    [
        ({"kvm_vcpu.stat.exits": None}, "KVMLOG_AT_EXITS"),
        ({"vcpu_svm.vmcb01.ptr": 6488}, "KVMLOG_AT_VMCB"),
        ({"vcpu_svm.vcpu": None}, "KVMLOG_AT_VMCB"),
        ({"vmcb.control.exit_info_2": 136}, "KVMLOG_AT_EXIT_CODE"),
        (
            {"vcpu_svm.vmcb": None, "vmcb.control.exit_code": None},
            "KVMLOG_AT_VMCB, KVMLOG_AT_EXIT_CODE",
        ),
    ],
)
def test_a_vcpu_that_is_laid_out_otherwise_is_not_read(
    event: Event, offsets: dict[str, int | None], missing: str
) -> None:
    """The event takes its place, and no program knows the pointer; if asked for, a refusal."""
    event(FORMAT)
    found = made(ScriptedBtf(offsets=offsets), "kvm_amd")
    assert found.reason == "event"
    assert f"its BTF lacks {missing})" in found.words
    assert functions(found)[-2:] == [("event_exit", EVENT), ("kvm_exit", TYPED)]
    assert found.macros == {
        **TASK_MACROS,
        **EVENT_MACROS,
        "KVMLOG_DECODE_ASSISTS": 1,
        "KVMLOG_ISA": lib.KVMLOG_ISA_SVM,
        "KVMLOG_REASON_EVENT": 1,
    }
    with pytest.raises(SourceError, match=rf"its BTF lacks {missing}\); use --bpf-reason event"):
        made(ScriptedBtf(offsets=offsets), "kvm_amd", "vcpu")


@pytest.mark.parametrize(
    ("signatures", "kind"),
    [
        ({"kvm_exit": "unsigned int, unsigned int"}, TYPED),
        ({"kvm_entry": "unsigned int"}, TYPED),
        ({"kvm_exit": None}, RAW),
    ],
)
def test_tracepoints_without_a_vcpu(
    event: Event, signatures: dict[str, str | None], kind: int
) -> None:
    """Whatever its layout, there is nothing to read it from."""
    event(FORMAT)
    found = made(ScriptedBtf(signatures), "kvm_amd")
    assert found.reason == "event"
    assert functions(found)[-2:] == [("event_exit", EVENT), ("kvm_exit", kind)]
    assert not found.macros.keys() & SVM_MACROS.keys()
    assert "its BTF shows kvm_exit or kvm_entry without a vCPU" in found.words


def test_the_vcpu_of_vmx_is_refused_when_asked_for() -> None:
    """The refusal gives the cause and what to use."""
    with pytest.raises(SourceError, match=r"VMX keeps them in the CPU.*--bpf-reason event or auto"):
        made(ScriptedBtf(), "kvm_intel", "vcpu")


def test_a_tracepoint_that_passes_something_else_is_refused() -> None:
    """Both prototypes and the remedy; one that passes more than is known is taken."""
    changed = ScriptedBtf({"kvm_userspace_exit": "struct kvm_run *, int"})
    with pytest.raises(SourceError) as refused:
        made(changed, None)
    assert str(refused.value) == (
        "kvm_userspace_exit takes (struct kvm_run *, int) in the running kernel, kvmlog knows "
        "(unsigned int, int); use a newer kvmlog, or --source kmod"
    )
    assert made(ScriptedBtf({"kvm_userspace_exit": "unsigned int, int, int"}), None).programs
    with pytest.raises(SourceError, match="kvm_userspace_exit takes"):
        made(ScriptedBtf({"kvm_userspace_exit": "unsigned int, int *"}), None)


def test_task_struct_laid_out_otherwise() -> None:
    """The three members are used all or none; run_delay is by itself (CONFIG_SCHED_INFO)."""
    found = made(ScriptedBtf(offsets={"task_struct.comm": None}), None)
    assert found.macros == {
        "KVMLOG_DECODE_ASSISTS": 1,
        "KVMLOG_ISA": lib.KVMLOG_ISA_NONE,
        "KVMLOG_REASON_NONE": 1,
        "KVMLOG_AT_RUN_DELAY": 1208,
    }
    found = made(ScriptedBtf(offsets={"task_struct.sched_info.run_delay": None}), None)
    assert "KVMLOG_AT_RUN_DELAY" not in found.macros
    assert found.macros["KVMLOG_TASK"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("u32 intr_info;", "u32 interruption;"), "no field intr_info of 4 bytes"),
        (
            ("u64 info2;	offset:40;	size:8", "u64 info2;	offset:40;	size:4"),
            "no field info2 of 8",
        ),
        (
            ("guest_rip;	offset:16;	size:8", "guest_rip;	offset:16;	size:4"),
            "no field guest_rip of 8",
        ),
        (("field:unsigned int vcpu_id", "field:unsigned int vcpu"), "no field vcpu_id of 4 bytes"),
    ],
)
def test_an_event_without_a_field_is_refused(
    event: Event, change: tuple[str, str], words: str
) -> None:
    """The refusal names the file, the field and its size, and the remedy."""
    text = FORMAT.replace(*change)
    assert text != FORMAT
    folder = event(text)
    with pytest.raises(SourceError) as refused:
        made(None, "kvm_amd")
    assert str(refused.value).startswith(f"{folder}/format has {words}")
    assert str(refused.value).endswith("use a newer kvmlog, or --source kmod")


@pytest.mark.usefixtures("module_switch")
def test_an_event_without_an_isa_is_taken(event: Event) -> None:
    """The vendor's module tells the ISA."""
    text = FORMAT.replace("u32 isa;", "u32 instruction_set;")
    assert text != FORMAT
    event(text)
    found = made(None, "kvm_amd")
    assert found.macros["KVMLOG_ISA"] == found.isa == lib.KVMLOG_ISA_SVM


def test_tracefs_that_is_not_mounted(event: Event, tmp_path: Path) -> None:
    """The command that mounts it."""
    with pytest.raises(SourceError) as refused:
        made(None, "kvm_amd")
    place = tmp_path / "not mounted"
    assert str(refused.value) == (
        f"no event kvm_exit in {place}; mount it: mount -t tracefs tracefs {place}"
    )
