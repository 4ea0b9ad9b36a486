# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that cannot be had here: prototypes and offsets as their BTF tells them, and kvm_exit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from kvmlog.native import lib
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.plan import Plan
from kvmlog.sources.btf import Btf, Tracepoint

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
    "kvm_mmio": "int, int, long long unsigned int, void *",
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

Event = Callable[[str], Path]
Switches = Callable[[str, str], None]


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
