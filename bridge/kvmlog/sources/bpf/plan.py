# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan for this kernel: which BPF programs are loaded, with which constants.

Three ways to get an exit's reason:
    vcpu   read from the vendor's vCPU, at offsets from BTF (SVM);
    event  the fields of the event kvm_exit, which cost 600 instructions more (VMX, whose fields
           only the CPU itself can read; or no BTF);
    none   no exits are traced (KVM without kvm_amd and kvm_intel): returns to user space only.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kvmlog.native import ffi, lib
from kvmlog.sources.base import NO_EXITS, SourceGoneError
from kvmlog.sources.btf import Btf, BtfMissingError
from kvmlog.util.errors import SourceError

_TRACEFS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_VENDORS: Final = {"kvm_amd": lib.KVMLOG_ISA_SVM, "kvm_intel": lib.KVMLOG_ISA_VMX}
_VCPU: Final = "struct kvm_vcpu *"
# Atomic operations of the maps' protocol, and the types of modules' tracepoints.
OLDEST: Final = (5, 12)
# Whose arch/x86/kvm was read for what BTF does not tell.
NEWEST_KNOWN: Final = (6, 12)

# Signatures that the text is written for; the kernel may pass more arguments, not other ones.
_FIXED: Final = {
    "kvm_userspace_exit": "unsigned int, int",
    "kvm_vcpu_wakeup": "long long unsigned int, _Bool",
    "kvm_fast_mmio": "long long unsigned int",
    "kvm_mmio": "int, int, long long unsigned int, void *",
    "kvm_nested_vmexit_inject": "unsigned int",
}
_EVENT_FIELDS: Final = {
    "exit_reason": ("REASON", 4),
    "guest_rip": ("RIP", 8),
    "info1": ("INFO1", 8),
    "info2": ("INFO2", 8),
    "intr_info": ("INTR_INFO", 4),
    "vcpu_id": ("VCPU_ID", 4),
}


@dataclass(frozen=True)
class Program:
    """One program: the function in the text, what it hooks, and how (enum kvmlog_bpf_kind)."""

    function: str
    tracepoint: str
    kind: int
    type_id: int = 0
    module: str | None = None
    event_id: int = 0


@dataclass(frozen=True)
class Plan:
    """Everything that compiling, loading and attaching need, in the order of attaching."""

    reason: str  # "vcpu", "event", "none"
    isa: int  # enum kvmlog_isa
    vendor: str | None
    words: str  # for people
    macros: dict[str, int] = field(default_factory=dict)
    programs: tuple[Program, ...] = ()


def loaded_vendor() -> str | None:
    """kvm_amd or kvm_intel, whichever runs here."""
    for name in _VENDORS:
        if Path("/sys/module", name).is_dir():
            return name
    return None


def waiting_for() -> str | None:
    """Return what has to come before programs can be attached; None when all is there."""
    if not Path("/sys/module/kvm").is_dir():
        return "kvm"
    if loaded_vendor() is None and Path("/proc/modules").exists():
        return "kvm_amd or kvm_intel"
    return None


def possible_cpus() -> int:
    """Return the number of possible CPUs: the highest number plus one (cpu/possible, "0-3")."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii")
    return max(int(number) for number in re.findall(r"\d+", text)) + 1


def machine_macros() -> dict[str, int]:
    """Return the macros that the text takes on any kernel."""
    return {
        "KVMLOG_CPUS": possible_cpus(),
        "KVMLOG_DECODE_ASSISTS": int(_cpu_has("decodeassists")),
        # The text is compiled against what this process believes of the maps.
        "KVMLOG_CONTROL_BYTES": ffi.sizeof("struct kvmlog_bpf_control"),
        "KVMLOG_CPU_BYTES": ffi.sizeof("struct kvmlog_bpf_cpu"),
        "KVMLOG_SLOT_BYTES": ffi.sizeof("struct kvmlog_bpf_slot"),
    }


def make_plan(reason: str = "auto") -> Plan:
    """Return the plan for the KVM that is loaded now.

    reason: one of REASONS. SourceGoneError when KVM is not loaded, SourceError when this kernel
    cannot be traced in the way that is requested.
    """
    missing = waiting_for()
    if missing is not None:
        raise SourceGoneError(f"{missing} is not loaded")
    if kernel_version() < OLDEST:
        raise SourceError(
            f"the source bpf needs Linux {OLDEST[0]}.{OLDEST[1]} or newer, this is "
            f"{os.uname().release}; boot a newer kernel, or use --source kmod"
        )
    vendor = loaded_vendor()
    macros = machine_macros()
    try:
        with Btf() as btf:
            return _Planner(btf, vendor, macros).plan(reason)
    except BtfMissingError as error:
        if reason == "vcpu":
            raise SourceError(
                f"reasons cannot be read from the vCPU without BTF ({error}); "
                "use --bpf-reason event or auto"
            ) from None
        return _Planner(None, vendor, macros).plan(reason)


class _Planner:
    """Macros and programs for one kernel, as they are collected."""

    def __init__(self, btf: Btf | None, vendor: str | None, macros: dict[str, int]) -> None:
        self._btf = btf
        self._vendor = vendor
        self._isa: int = lib.KVMLOG_ISA_NONE if vendor is None else _VENDORS[vendor]
        self._macros = macros | {"KVMLOG_ISA": self._isa}
        self._programs: list[Program] = []

    def plan(self, reason: str) -> Plan:
        self._task()
        # In the order of attaching: whoever ends or completes an exit before whoever begins one.
        self._raw("kvmlog_sched_process_exit", "sched_process_exit")
        if self._vendor is None:
            if reason != "auto":
                raise SourceError(
                    f"--bpf-reason {reason}: this KVM shows no exits (neither kvm_amd nor "
                    "kvm_intel runs); use --bpf-reason auto for returns to user space"
                )
            self._raw("kvmlog_kvm_userspace_exit", "kvm_userspace_exit")
            return self._made("none", f"returns from KVM_RUN only: {NO_EXITS}")
        why_not = self._vcpu()
        if reason == "vcpu" and (why_not is not None or self._isa != lib.KVMLOG_ISA_SVM):
            raise SourceError(
                "reasons cannot be read from the vCPU here "
                f"({why_not or 'VMX keeps them in the CPU'}); use --bpf-reason event or auto"
            )
        # Goes after kvm_entry: an exit that ends without it would be told to be this host's.
        self._nested()
        self._raw("kvmlog_kvm_entry", "kvm_entry")
        self._raw("kvmlog_kvm_userspace_exit", "kvm_userspace_exit")
        self._raw("kvmlog_kvm_vcpu_wakeup", "kvm_vcpu_wakeup")
        if reason != "event" and why_not is None and self._isa == lib.KVMLOG_ISA_SVM:
            self._raw("kvmlog_kvm_exit", "kvm_exit")
            return self._made("vcpu", f"reasons from {self._vendor}'s vCPU, at offsets from BTF")
        if self._isa == lib.KVMLOG_ISA_VMX and why_not is None:
            self._addresses()
        # The event first: on each exit its program then runs before the other, whoever else
        # has the event open.
        self._event()
        self._raw("kvmlog_kvm_exit", "kvm_exit")
        words = "reasons from the fields of the event kvm_exit"
        if why_not is not None:
            words += f"; no guest registers, and a guest is a process ({why_not})"
            if _may_be_protected():
                self._macros["KVMLOG_RIP_UNSURE"] = 1
        return self._made("event", words)

    def _made(self, reason: str, words: str) -> Plan:
        self._macros[f"KVMLOG_REASON_{reason.upper()}"] = 1
        return Plan(
            reason, self._isa, self._vendor, words, dict(self._macros), tuple(self._programs)
        )

    def _raw(self, function: str, tracepoint: str) -> None:
        """Add a raw tracepoint, with its type where BTF has it."""
        found = self._btf.tracepoint(tracepoint) if self._btf is not None else None
        if found is None:
            self._programs.append(Program(function, tracepoint, lib.KVMLOG_BPF_RAW))
            return
        expected = _FIXED.get(tracepoint)
        assert self._btf is not None
        running = self._btf.signature(tracepoint) or ""
        if expected is not None and not _begins(running, expected):
            raise SourceError(
                f"{tracepoint} takes ({running}) in the running kernel, kvmlog knows ({expected}); "
                "use a newer kvmlog, or --source kmod"
            )
        self._programs.append(
            Program(function, tracepoint, lib.KVMLOG_BPF_TYPED, found.type_id, found.module)
        )

    def _nested(self) -> None:
        """Add who handles exits of nested guests, where the kernel tells it as it is known here."""
        name = "kvm_nested_vmexit_inject"
        if self._is_as_known(name):
            self._macros["KVMLOG_TELLS_L1"] = 1
            self._raw("kvmlog_kvm_nested_vmexit_inject", name)

    def _is_as_known(self, tracepoint: str) -> bool:
        """Return whether BTF has it, with the arguments in _FIXED: for what can be left out."""
        running = self._btf.signature(tracepoint) if self._btf is not None else None
        return running is not None and _begins(running, _FIXED[tracepoint])

    def _task(self) -> None:
        """Add the offsets of what is read of struct task_struct."""
        if self._btf is None:
            return
        offsets = {
            "KVMLOG_AT_GROUP_LEADER": self._btf.offset("task_struct", "group_leader"),
            "KVMLOG_AT_START_BOOTTIME": self._btf.offset("task_struct", "start_boottime"),
            "KVMLOG_AT_COMM": self._btf.offset("task_struct", "comm"),
        }
        known = {name: at for name, at in offsets.items() if at is not None}
        if len(known) == len(offsets):
            self._macros |= known | {"KVMLOG_TASK": 1}
        run_delay = self._btf.offset("task_struct", "sched_info.run_delay")
        if run_delay is not None:
            self._macros["KVMLOG_AT_RUN_DELAY"] = run_delay

    def _vcpu(self) -> str | None:
        """Add the offsets of what is read of struct kvm_vcpu; return why there are none."""
        btf = self._btf
        if btf is None:
            return "this kernel shows no BTF"
        arguments = self._exit_arguments(btf.signature("kvm_exit") or "nothing")
        if arguments is None or not _begins(btf.signature("kvm_entry") or "", _VCPU):
            return "its BTF shows kvm_exit or kvm_entry without a vCPU"
        offsets = {
            "KVMLOG_AT_KVM": btf.offset("kvm_vcpu", "kvm"),
            "KVMLOG_AT_VCPU_ID": btf.offset("kvm_vcpu", "vcpu_id"),
            "KVMLOG_AT_REGS": btf.offset("kvm_vcpu", "arch.regs"),
            "KVMLOG_AT_PROTECTED": btf.offset("kvm_vcpu", "arch.guest_state_protected"),
            "KVMLOG_AT_EXITS": btf.offset("kvm_vcpu", "stat.exits"),
            **(self._svm(btf) if self._isa == lib.KVMLOG_ISA_SVM else self._vmx(btf)),
        }
        missing = [name for name, at in offsets.items() if at is None]
        if missing:
            return f"its BTF lacks {', '.join(missing)}"
        if self._isa == lib.KVMLOG_ISA_SVM:
            self._macros |= _idle_hflags(btf)
        self._macros |= {name: at for name, at in offsets.items() if at is not None}
        self._macros |= arguments | {"KVMLOG_VCPU": 1}
        return None

    @staticmethod
    def _exit_arguments(signature: str) -> dict[str, int] | None:
        """Since v5.16 kvm_exit passes (vcpu, isa), before (reason, vcpu, isa)."""
        for first in (0, 1):
            if _begins(signature, "unsigned int, " * first + f"{_VCPU}, unsigned int"):
                return {"KVMLOG_ARGUMENT_VCPU": first}
        return None

    @staticmethod
    def _svm(btf: Btf) -> dict[str, int | None]:
        """svm->vmcb with svm->vmcb01.ptr behind it, and what is read of the VMCB in one piece."""
        base = btf.offset("vcpu_svm", "vcpu")
        vmcb = btf.offset("vcpu_svm", "vmcb")
        first = btf.offset("vcpu_svm", "vmcb01.ptr")
        code = btf.offset("vmcb", "control.exit_code")
        infos = [btf.offset("vmcb", f"control.exit_info_{n}") for n in (1, 2)]
        if base is None or vmcb is None or first != vmcb + 8:
            vmcb = None
        if code is None or infos != [code + 8, code + 16]:
            code = None
        return {
            "KVMLOG_AT_VMCB": None if vmcb is None or base is None else vmcb - base,
            "KVMLOG_AT_EXIT_CODE": code,
        }

    @staticmethod
    def _vmx(btf: Btf) -> dict[str, int | None]:
        """Return the offsets that tell which VMCS is in use.

        vmcs01 is the guest's own, another one a nested guest's.
        """
        return {
            "KVMLOG_AT_LOADED_VMCS": btf.offset("vcpu_vmx", "loaded_vmcs"),
            "KVMLOG_AT_VMCS01": btf.offset("vcpu_vmx", "vmcs01"),
        }

    def _addresses(self) -> None:
        """VMX: the address of an EPT exit comes from other tracepoints."""
        assert self._btf is not None
        running = self._btf.signature("kvm_page_fault") or ""
        self._macros["KVMLOG_VMX_ADDRESSES"] = 1
        # The vCPU came before the address in v6.2.
        self._macros["KVMLOG_ARGUMENT_FAULT_ADDRESS"] = int(_begins(running, _VCPU))
        self._raw("kvmlog_kvm_page_fault", "kvm_page_fault")
        self._raw("kvmlog_kvm_fast_mmio", "kvm_fast_mmio")
        if self._is_as_known("kvm_mmio"):
            self._raw("kvmlog_kvm_mmio", "kvm_mmio")

    def _event(self) -> None:
        """The event kvm_exit: its id, and the offsets of its fields."""
        folder = _event_folder("kvm_exit")
        offsets = event_offsets((folder / "format").read_text(encoding="ascii"))
        for name, (macro, size) in _EVENT_FIELDS.items():
            if name not in offsets or offsets[name][1] < size:
                raise SourceError(
                    f"{folder}/format has no field {name} of {size} bytes; "
                    "use a newer kvmlog, or --source kmod"
                )
            self._macros[f"KVMLOG_AT_EVENT_{macro}"] = offsets[name][0]
        number = int((folder / "id").read_text(encoding="ascii"))
        self._programs.append(
            Program("kvmlog_event_exit", "kvm_exit", lib.KVMLOG_BPF_EVENT, event_id=number)
        )


def _idle_hflags(btf: Btf) -> dict[str, int]:
    """The flags in vcpu->arch.hflags that may be set while no nested guest runs.

    While no other is, a vCPU uses the VMCB that it always uses. HF_GIF_MASK (1 << 0) was one until
    v6.4 moved it to vcpu_svm.guest_gif and gave its bit to HF_GUEST_MASK. Kernels that were not
    looked at have none known: the pointer is read at each exit.
    """
    at = btf.offset("kvm_vcpu", "arch.hflags")
    if at is None or kernel_version() > NEWEST_KNOWN:
        return {}
    idle = 1 if btf.offset("vcpu_svm", "guest_gif") is None else 0
    return {"KVMLOG_AT_HFLAGS": at, "KVMLOG_HFLAGS_IDLE": idle}


def kernel_version(release: str | None = None) -> tuple[int, int]:
    """(6, 12) for a release of "6.12.117+deb12-amd64"."""
    numbers = re.findall(r"\d+", release or os.uname().release)
    return int(numbers[0]), int(numbers[1])


def _begins(signature: str, expected: str) -> bool:
    return signature == expected or signature.startswith(f"{expected}, ")


def event_offsets(text: str) -> dict[str, tuple[int, int]]:
    """(offset, bytes) of each field in a tracefs `format` file."""
    pattern = r"field:[^;]*?(\w+)(?:\[\d+\])?;\s*offset:(\d+);\s*size:(\d+);"
    return {name: (int(at), int(size)) for name, at, size in re.findall(pattern, text)}


def _event_folder(event: str) -> Path:
    for tracefs in _TRACEFS:
        folder = tracefs / "events" / "kvm" / event
        if folder.is_dir():
            return folder
    raise SourceError(
        f"no event {event} in {_TRACEFS[0]}; mount it: mount -t tracefs tracefs {_TRACEFS[0]}"
    )


def _may_be_protected() -> bool:
    """Return whether guests may be SEV-ES, SEV-SNP or TDX ones, with registers KVM cannot read."""
    switches = ("kvm_amd/parameters/sev_es", "kvm_intel/parameters/tdx")
    for switch in switches:
        with contextlib.suppress(OSError):
            if Path("/sys/module", switch).read_text(encoding="ascii").strip() in ("Y", "1"):
                return True
    return False


def _cpu_has(flag: str) -> bool:
    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return re.search(rf"^flags\s*:.*\b{flag}\b", text, re.MULTILINE) is not None
