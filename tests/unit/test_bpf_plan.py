# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel offers and what is made of it: programs, constants, refusals.

Kernels that cannot be had here are scripted: prototypes and offsets as their BTF tells them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from kvmlog.bridge import btf
from kvmlog.bridge._native import lib
from kvmlog.bridge.bpf import plan
from kvmlog.bridge.bpf.plan import Plan, Program, event_offsets, kernel_version, possible_cpus
from kvmlog.bridge.btf import Btf, Tracepoint
from kvmlog.bridge.errors import SourceError
from kvmlog.bridge.source import SourceGoneError

# Of Linux 6.1 on x86-64, as /sys/kernel/tracing/events/kvm/kvm_exit/format begins.
FORMAT = """\
name: kvm_exit
ID: 1711
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned int exit_reason;	offset:8;	size:4;	signed:0;
	field:unsigned long guest_rip;	offset:16;	size:8;	signed:0;
	field:u32 isa;	offset:24;	size:4;	signed:0;
	field:u64 info1;	offset:32;	size:8;	signed:0;
	field:u64 info2;	offset:40;	size:8;	signed:0;
	field:u32 intr_info;	offset:48;	size:4;	signed:0;
	field:u32 error_code;	offset:52;	size:4;	signed:0;
	field:unsigned int vcpu_id;	offset:56;	size:4;	signed:0;

print fmt: "vcpu %u reason %s%s%s rip 0x%lx info1 0x%016llx", REC->vcpu_id, (REC->isa == 1) ? \
__print_symbolic(REC->exit_reason & 0xffff, { 0, "EXCEPTION_NMI" }, { 12, "HLT" }) : ""
"""
EVENT_MACROS = {
    "KVMLOG_AT_EVENT_REASON": 8,
    "KVMLOG_AT_EVENT_RIP": 16,
    "KVMLOG_AT_EVENT_INFO1": 32,
    "KVMLOG_AT_EVENT_INFO2": 40,
    "KVMLOG_AT_EVENT_INTR_INFO": 48,
    "KVMLOG_AT_EVENT_VCPU_ID": 56,
}
RAW, TYPED, EVENT = lib.KVMLOG_BPF_RAW, lib.KVMLOG_BPF_TYPED, lib.KVMLOG_BPF_EVENT
VCPU = "struct kvm_vcpu *"

SIGNATURES = {
    "sched_process_exit": "struct task_struct *",
    "kvm_entry": VCPU,
    "kvm_exit": f"{VCPU}, unsigned int",
    "kvm_userspace_exit": "unsigned int, int",
    "kvm_vcpu_wakeup": "long long unsigned int, _Bool, _Bool",
    "kvm_page_fault": f"{VCPU}, long long unsigned int, long long unsigned int",
    "kvm_fast_mmio": "long long unsigned int",
}
OFFSETS = {
    "task_struct.group_leader": 1608,
    "task_struct.start_boottime": 1856,
    "task_struct.comm": 2960,
    "task_struct.sched_info.run_delay": 1208,
    "kvm_vcpu.kvm": 0,
    "kvm_vcpu.vcpu_id": 36,
    "kvm_vcpu.arch.regs": 304,
    "kvm_vcpu.arch.guest_state_protected": 4744,
    "kvm_vcpu.stat.exits": 5656,
    "kvm_vcpu.arch.hflags": 520,
    "vcpu_svm.vcpu": 64,
    "vcpu_svm.vmcb": 6464,
    "vcpu_svm.vmcb01.ptr": 6472,
    "vmcb.control.exit_code": 112,
    "vmcb.control.exit_info_1": 120,
    "vmcb.control.exit_info_2": 128,
    "vcpu_vmx.loaded_vmcs": 7000,
    "vcpu_vmx.vmcs01": 7008,
}
SVM_MACROS = {
    "KVMLOG_VCPU": 1,
    "KVMLOG_AT_KVM": 0,
    "KVMLOG_AT_VCPU_ID": 36,
    "KVMLOG_AT_REGS": 304,
    "KVMLOG_AT_PROTECTED": 4744,
    "KVMLOG_AT_EXITS": 5656,
    "KVMLOG_AT_VMCB": 6400,
    "KVMLOG_AT_EXIT_CODE": 112,
    "KVMLOG_ARGUMENT_VCPU": 0,
}
TASK_MACROS = {
    "KVMLOG_TASK": 1,
    "KVMLOG_AT_GROUP_LEADER": 1608,
    "KVMLOG_AT_START_BOOTTIME": 1856,
    "KVMLOG_AT_COMM": 2960,
    "KVMLOG_AT_RUN_DELAY": 1208,
}


class ScriptedBtf:
    """A kernel's BTF as far as plans are made of it; None as a value takes something away."""

    def __init__(
        self,
        signatures: dict[str, str | None] | None = None,
        offsets: dict[str, int | None] | None = None,
    ) -> None:
        self._signatures = {**SIGNATURES, **(signatures or {})}
        self._offsets = {**OFFSETS, **(offsets or {})}

    def signature(self, name: str) -> str | None:
        return self._signatures.get(name)

    def offset(self, struct: str, member: str) -> int | None:
        return self._offsets.get(f"{struct}.{member}")

    def tracepoint(self, name: str) -> Tracepoint | None:
        if self._signatures.get(name) is None:
            return None
        return Tracepoint(100 + len(name), None if name.startswith("sched_") else "kvm")


def made(known: ScriptedBtf | None, vendor: str | None, wanted: str = "auto") -> Plan:
    """The plan for that kernel."""
    return plan._Planner(cast(Btf | None, known), vendor, {"KVMLOG_CPUS": 8}).plan(wanted)


def functions(of: Plan) -> list[tuple[str, int]]:
    """Programs in the order of attaching, and how each is hooked."""
    return [(program.function.removeprefix("kvmlog_"), program.kind) for program in of.programs]


Event = Callable[[str], Path]


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Makes a tracefs whose event kvm_exit has this format; returns the event's folder."""
    tracefs = tmp_path / "tracing"
    monkeypatch.setattr(plan, "_TRACEFS", (tmp_path / "not mounted", tracefs))

    def make(text: str) -> Path:
        folder = tracefs / "events" / "kvm" / "kvm_exit"
        folder.mkdir(parents=True)
        (folder / "format").write_text(text, encoding="ascii")
        (folder / "id").write_text("1711\n", encoding="ascii")
        return folder

    return make


Switches = Callable[[str, str], None]


@pytest.fixture
def module_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switches:
    """A /sys/module without modules; sets a parameter there, "kvm_amd/parameters/sev_es"."""
    modules = tmp_path / "module"
    modules.mkdir()

    def elsewhere(first: str | Path, *rest: str) -> Path:
        return Path(modules if first == "/sys/module" else first, *rest)

    monkeypatch.setattr(plan, "Path", elsewhere)

    def set_to(parameter: str, value: str) -> None:
        place = modules / parameter
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{value}\n", encoding="ascii")

    return set_to


@pytest.fixture
def known_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running kernel is one whose sources were read."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", kernel_version())


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
    """As other events have them; an event without fields has none."""
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
    """Before anything is compiled: which it takes, which this is, and what to do."""
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
    """As uname says it."""
    first, second = kernel_version()
    assert os.uname().release.startswith(f"{first}.{second}")


def test_possible_cpus_reach_past_every_cpu_that_is_there() -> None:
    """One more than the highest number: each CPU has its part of the maps."""
    assert possible_cpus() > max(os.sched_getaffinity(0))
    assert possible_cpus() >= os.sysconf("SC_NPROCESSORS_CONF") > 0


@pytest.mark.usefixtures("known_kernel")
def test_svm_with_btf_reads_the_vcpu() -> None:
    """All programs with their types; offsets as BTF has them, of vmcb from the vCPU on."""
    found = made(ScriptedBtf(), "kvm_amd")
    assert (found.reason, found.isa, found.vendor) == ("vcpu", lib.KVMLOG_ISA_SVM, "kvm_amd")
    assert found.words == "reasons from kvm_amd's vCPU, at offsets from BTF"
    assert functions(found) == [
        ("sched_process_exit", TYPED),
        ("kvm_entry", TYPED),
        ("kvm_userspace_exit", TYPED),
        ("kvm_vcpu_wakeup", TYPED),
        ("kvm_exit", TYPED),
    ]
    assert found.programs[0] == Program(
        "kvmlog_sched_process_exit", "sched_process_exit", TYPED, 118
    )
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", TYPED, 108, "kvm")
    assert found.macros == {
        **SVM_MACROS,
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_SVM,
        "KVMLOG_REASON_VCPU": 1,
        "KVMLOG_AT_HFLAGS": 520,
        "KVMLOG_HFLAGS_IDLE": 1,
    }


@pytest.mark.usefixtures("known_kernel")
def test_the_flag_of_interrupts_left_hflags() -> None:
    """Where vcpu_svm has a guest_gif, bit 0 of hflags means a nested guest."""
    found = made(ScriptedBtf(offsets={"vcpu_svm.guest_gif": 6800}), "kvm_amd")
    assert found.macros["KVMLOG_HFLAGS_IDLE"] == 0


def test_a_kernel_newer_than_the_known_ones_trusts_no_hflags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their meaning stands in no BTF."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", (0, 0))
    found = made(ScriptedBtf(), "kvm_amd")
    assert found.reason == "vcpu"
    assert not found.macros.keys() & {"KVMLOG_AT_HFLAGS", "KVMLOG_HFLAGS_IDLE"}


def test_kvm_exit_with_the_reason_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before v5.16: the vCPU is the second argument."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", (0, 0))
    old = ScriptedBtf({"kvm_exit": f"unsigned int, {VCPU}, unsigned int"})
    expected = {**SVM_MACROS, "KVMLOG_ARGUMENT_VCPU": 1}
    found = made(old, "kvm_amd")
    assert found.reason == "vcpu"
    assert found.macros == {
        **expected,
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_SVM,
        "KVMLOG_REASON_VCPU": 1,
    }


def test_vmx_takes_reasons_from_the_event(event: Event) -> None:
    """And the address of an EPT exit from two more tracepoints; kvm_exit's own program is the last,

    right behind the event's: so they run, one telling the other.
    """
    event(FORMAT)
    found = made(ScriptedBtf(), "kvm_intel")
    assert (found.reason, found.isa) == ("event", lib.KVMLOG_ISA_VMX)
    assert found.words == "reasons from the fields of the event kvm_exit"
    assert functions(found) == [
        ("sched_process_exit", TYPED),
        ("kvm_entry", TYPED),
        ("kvm_userspace_exit", TYPED),
        ("kvm_vcpu_wakeup", TYPED),
        ("kvm_page_fault", TYPED),
        ("kvm_fast_mmio", TYPED),
        ("event_exit", EVENT),
        ("kvm_exit", TYPED),
    ]
    assert found.programs[-2] == Program("kvmlog_event_exit", "kvm_exit", EVENT, event_id=1711)
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", TYPED, 108, "kvm")
    assert found.macros == {
        **{
            name: at for name, at in SVM_MACROS.items() if "VMCB" not in name and "CODE" not in name
        },
        **TASK_MACROS,
        **EVENT_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_VMX,
        "KVMLOG_REASON_EVENT": 1,
        "KVMLOG_AT_LOADED_VMCS": 7000,
        "KVMLOG_AT_VMCS01": 7008,
        "KVMLOG_VMX_ADDRESSES": 1,
        "KVMLOG_ARGUMENT_FAULT_ADDRESS": 1,
    }


def test_kvm_page_fault_with_the_address_in_front(event: Event) -> None:
    """As before v6.2."""
    event(FORMAT)
    old = ScriptedBtf({"kvm_page_fault": "long unsigned int, unsigned int"})
    assert made(old, "kvm_intel").macros["KVMLOG_ARGUMENT_FAULT_ADDRESS"] == 0


def test_svm_can_be_told_to_use_the_event(event: Event) -> None:
    """Registers come from the vCPU all the same; no program that only VMX needs."""
    event(FORMAT)
    found = made(ScriptedBtf(), "kvm_amd", "event")
    assert found.reason == "event"
    assert functions(found)[-2:] == [("event_exit", EVENT), ("kvm_exit", TYPED)]
    assert found.macros["KVMLOG_AT_VMCB"] == 6400
    assert found.macros["KVMLOG_ISA"] == lib.KVMLOG_ISA_SVM
    assert "KVMLOG_VMX_ADDRESSES" not in found.macros
    assert "KVMLOG_REASON_VCPU" not in found.macros


@pytest.mark.usefixtures("module_switch")
@pytest.mark.parametrize(
    ("vendor", "isa"),
    [("kvm_intel", lib.KVMLOG_ISA_VMX), ("kvm_amd", lib.KVMLOG_ISA_SVM)],
)
def test_without_btf_the_event_is_all_there_is(event: Event, vendor: str, isa: int) -> None:
    """Raw tracepoints, no offsets but the event's, and the words say what is missing."""
    event(FORMAT)
    found = made(None, vendor)
    assert (found.reason, found.isa) == ("event", isa)
    assert functions(found) == [
        ("sched_process_exit", RAW),
        ("kvm_entry", RAW),
        ("kvm_userspace_exit", RAW),
        ("kvm_vcpu_wakeup", RAW),
        ("event_exit", EVENT),
        ("kvm_exit", RAW),
    ]
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", RAW)
    assert found.macros == {
        **EVENT_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": isa,
        "KVMLOG_REASON_EVENT": 1,
    }
    assert "a guest is a process (this kernel shows no BTF)" in found.words


PROTECTING = [("kvm_amd", "kvm_amd/parameters/sev_es"), ("kvm_intel", "kvm_intel/parameters/tdx")]


@pytest.mark.parametrize("value", ["Y", "1"])
@pytest.mark.parametrize(("vendor", "parameter"), PROTECTING)
def test_a_guest_that_may_be_protected_has_no_sure_rip(
    event: Event, module_switch: Switches, vendor: str, parameter: str, value: str
) -> None:
    """Where nothing tells which guests are: not without BTF, nor with a vCPU of another layout."""
    event(FORMAT)
    module_switch(parameter, value)
    other = ScriptedBtf(offsets={"kvm_vcpu.arch.guest_state_protected": None})
    for known in (None, other):
        found = made(known, vendor)
        assert found.reason == "event"
        assert found.macros["KVMLOG_RIP_UNSURE"] == 1
    for wanted in ("auto", "event"):
        assert "KVMLOG_RIP_UNSURE" not in made(ScriptedBtf(), vendor, wanted).macros


@pytest.mark.parametrize("value", ["N", "0", ""])
@pytest.mark.parametrize(("vendor", "parameter"), PROTECTING)
def test_a_guest_that_cannot_be_protected_has_its_rip(
    event: Event, module_switch: Switches, vendor: str, parameter: str, value: str
) -> None:
    """Switched off; modules too old to have the switch are those of the tests before."""
    event(FORMAT)
    module_switch(parameter, value)
    assert "KVMLOG_RIP_UNSURE" not in made(None, vendor).macros


def test_without_a_vendor_only_returns_are_seen() -> None:
    """Two programs; the words say so."""
    found = made(ScriptedBtf(), None)
    assert (found.reason, found.isa, found.vendor) == ("none", lib.KVMLOG_ISA_NONE, None)
    assert functions(found) == [("sched_process_exit", TYPED), ("kvm_userspace_exit", TYPED)]
    assert found.macros == {
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_NONE,
        "KVMLOG_REASON_NONE": 1,
    }
    assert found.words == "returns from KVM_RUN only: no exits are traced in this KVM"


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
        "KVMLOG_CPUS": 8,
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
    """With the reason and what to use."""
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
    """Of its three members all or none; run_delay is for itself (CONFIG_SCHED_INFO)."""
    found = made(ScriptedBtf(offsets={"task_struct.comm": None}), None)
    assert found.macros == {
        "KVMLOG_CPUS": 8,
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
    """Where it was looked for, which one and how large, and what to do."""
    text = FORMAT.replace(*change)
    assert text != FORMAT
    folder = event(text)
    with pytest.raises(SourceError) as refused:
        made(None, "kvm_amd")
    assert str(refused.value).startswith(f"{folder}/format has {words}")
    assert str(refused.value).endswith("use a newer kvmlog, or --source kmod")


@pytest.mark.usefixtures("module_switch")
def test_an_event_without_an_isa_is_taken(event: Event) -> None:
    """Whose instructions they are, the vendor's module tells."""
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


needs_btf = pytest.mark.skipif(
    not os.access(btf.VMLINUX, os.R_OK),
    reason=f"this kernel has no {btf.VMLINUX}; run where CONFIG_DEBUG_INFO_BTF is set",
)


@pytest.fixture(scope="module")
def types() -> dict[int, dict[str, Any]]:
    """All types of the running kernel by their ids, as bpftool reads them."""
    bpftool = shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if bpftool is None:
        pytest.skip("bpftool is not installed; apt-get install bpftool")
    command = [bpftool, "-j", "btf", "dump", "file", btf.VMLINUX]
    done = subprocess.run(command, check=True, capture_output=True)
    return {kind["id"]: kind for kind in json.loads(done.stdout)["types"]}


def bits(types: dict[int, dict[str, Any]], kind: dict[str, Any], path: list[str]) -> int | None:
    """The offset in bits of a member, another way than the C code's: over all its types."""
    while kind["kind"] in ("CONST", "VOLATILE", "TYPEDEF", "TYPE_TAG"):
        kind = types[kind["type_id"]]
    for member in kind.get("members", ()):
        rest = path[1:] if member["name"] == path[0] else path
        if member["name"] not in (path[0], "(anon)"):
            continue
        deeper = bits(types, types[member["type_id"]], rest) if rest else 0
        if deeper is not None:
            return int(member["bits_offset"]) + deeper
    return None


@needs_btf
@pytest.mark.parametrize(
    ("struct", "member"),
    [
        ("task_struct", "comm"),
        ("task_struct", "group_leader"),
        ("task_struct", "start_boottime"),
        ("task_struct", "sched_info.run_delay"),  # nested
        ("task_struct", "se.avg.last_update_time"),  # deeper
        ("page", "mapping"),  # in an unnamed struct in an unnamed union
        ("sk_buff", "next"),
        ("file", "f_path.dentry"),  # of a type that is, in recent kernels, const
    ],
)
def test_offsets_in_this_kernel(types: dict[int, dict[str, Any]], struct: str, member: str) -> None:
    """The same that bpftool's dump of the same BTF leads to."""
    (kind,) = (
        kind for kind in types.values() if (kind["kind"], kind["name"]) == ("STRUCT", struct)
    )
    expected = bits(types, kind, member.split("."))
    assert expected is not None
    with Btf() as here:
        assert here.offset(struct, member) == expected // 8


@needs_btf
@pytest.mark.parametrize(
    ("struct", "member"),
    [
        ("task_struct", "no_such_member"),
        ("no_such_struct", "comm"),
        ("task_struct", "sched_info.no_such_member"),
        ("task_struct", "pid.x"),  # no struct
        ("task_struct", "group_leader.comm"),  # behind a pointer
        ("task_struct", "sched_reset_on_fork"),  # a bit field
        ("task_struct", "c" * 200),
        ("task_struct", ""),
    ],
)
def test_what_has_no_offset_in_this_kernel(struct: str, member: str) -> None:
    """None, not an offset of something else."""
    with Btf() as here:
        assert here.offset(struct, member) is None


@needs_btf
def test_tracepoints_of_this_kernel(types: dict[int, dict[str, Any]]) -> None:
    """The type's id is that of its typedef; what is no tracepoint has none."""
    with Btf() as here:
        found = here.tracepoint("sched_process_exit")
        assert here.tracepoint("no_such_tracepoint") is None
        assert here.tracepoint("vfs_read") is None
        assert here.tracepoint("s" * 200) is None
    assert found is not None
    assert found.module is None
    kind = types[found.type_id]
    assert (kind["kind"], kind["name"]) == ("TYPEDEF", "btf_trace_sched_process_exit")
