# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog's record of each exit against the kernel's own events of the same exit.

The kernel tells the same facts in another way: the port in kvm_pio, the register in kvm_cr, the
address in kvm_page_fault or kvm_mmio. What a record must say is taken from there, so that neither
the choice of a field nor its decoding is compared with itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from kvmlog.exits.reasons.names import reason_flags, reason_name
from kvmlog.native import lib
from kvmlog.ring.records import Record
from tests.vm.intel.events import KernelExit, Run

# Between the clock that a probe reads and the event's lie the other one's instructions; the event
# has whole microseconds. In time of the machine, which is counted in instructions: 5,000 of them.
TOLERANCE_NS: Final = 25_000
_VALID: Final = 1 << 31  # of interruption information
_ALWAYS: Final = lib.KVMLOG_F_INFO_VALID | lib.KVMLOG_F_RIP_VALID
_EINTR: Final = "restart"


def _vector(of: KernelExit) -> int | None:
    return of.intr_info & 0xFF if of.intr_info & _VALID else None


def _leaf(of: KernelExit) -> int | None:
    leaf = of.number(r"func (\w+) ", "cpuid")
    subleaf = of.number(r"idx (\w+) ", "cpuid")
    return None if leaf is None or subleaf is None else leaf | subleaf << 32


def _mmio(of: KernelExit) -> int | None:
    return of.number(r"gpa (0x\w+)", "mmio", "fast_mmio")


# What "detail" of an exit with this reason must be, told by others; None: there is none.
DETAILS: Final[dict[str, Callable[[KernelExit], int | None]]] = {
    "EXCEPTION_NMI": _vector,
    "EXTERNAL_INTERRUPT": _vector,
    "CPUID": _leaf,
    "INVLPG": lambda of: of.info1,
    "VMCALL": lambda of: of.number(r"nr (0x\w+)", "hypercall"),
    "CR_ACCESS": lambda of: of.number(r"cr_\w+ (\w+) =", "cr"),
    "DR_ACCESS": lambda of: of.info1 & 7,
    "IO_INSTRUCTION": lambda of: of.number(r"at (0x\w+) ", "pio"),
    "MSR_READ": lambda of: of.number(r"msr_read (\w+) =", "msr"),
    "MSR_WRITE": lambda of: of.number(r"msr_write (\w+) =", "msr"),
    "EPT_VIOLATION": lambda of: of.number(r"address (0x\w+)", "page_fault"),
    "EPT_MISCONFIG": _mmio,
    "EOI_INDUCED": lambda of: of.number(r"vector (\d+)", "eoi", base=10),
}


def is_given_to_l1(told: KernelExit) -> bool:
    """Return whether the hypervisor in the guest was given this exit."""
    return told.first("nested_vmexit_inject") is not None


def is_untold(told: KernelExit) -> bool:
    """Return whether the kernel has not done what it would tell of in another event.

    L1 handles it; or an instruction that is repeated no more times.
    """
    elsewhere = {"CPUID": "cpuid", "VMCALL": "hypercall", "IO_INSTRUCTION": "pio"}
    return told.reason in elsewhere and told.first(elsewhere[told.reason]) is None


def differences(run: Run) -> list[str]:
    """Return in words whatever a record of the run tells otherwise than the kernel."""
    found = []
    if len(run.records) != len(run.exits):
        found.append(f"{len(run.records)} records of {len(run.exits)} exits")
    # By thread: on several CPUs two may exit at once.
    of_thread: dict[int, list[Record]] = {}
    for one in run.records:
        of_thread.setdefault(one.tid, []).append(one)
    records = {tid: iter(of_one) for tid, of_one in of_thread.items()}
    for number, told in enumerate(run.exits):
        record = next(records.get(told.tid, iter(())), None)
        what = f"exit {number}, {told.reason} at {told.rip:#x}"
        if record is None:
            found.append(f"{what}: no record of thread {told.tid}")
            continue
        found += [
            f"{what}: {name} is {ours!r}, not {theirs!r}"
            for name, ours, theirs in _compared(record, told)
            if ours != theirs
        ]
    return found


def _compared(record: Record, told: KernelExit) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, the record's, the kernel's."""
    words = [reason_name(record.isa, record.reason), *reason_flags(record.isa, record.reason)]
    yield "reason", " ".join(words), told.reason
    yield "isa", record.isa, lib.KVMLOG_ISA_VMX
    for name in ("rip", "info1", "info2", "vcpu", "cpu"):
        yield name, getattr(record, name), getattr(told, name)
    yield "flags always set", record.flags & _ALWAYS, _ALWAYS
    yield "time", *_near(record.exit_ns, told.ns)
    if not is_untold(told):
        detail_of = DETAILS.get(told.reason)
        detail = None if detail_of is None else detail_of(told)
        yield "detail", _if(record, lib.KVMLOG_F_DETAIL_VALID, record.detail), detail
    nested = told.first("nested_vmexit") is not None
    yield "nested", bool(record.flags & lib.KVMLOG_F_NESTED), nested
    yield "of L1", bool(record.flags & lib.KVMLOG_F_NESTED_L1), is_given_to_l1(told)
    is_of_l0 = nested and not is_given_to_l1(told) and told.first("entry") is not None
    yield "of L0", bool(record.flags & lib.KVMLOG_F_NESTED_L0), is_of_l0
    yield from _compared_user(record, told)
    yield from _compared_halt(record, told)
    entry = told.first("entry")
    if entry is not None:
        yield "total", *_near(record.total_ns, entry.ns - told.ns)
    yield "re-entered", not record.flags & lib.KVMLOG_F_NO_REENTRY, entry is not None


def _compared_user(record: Record, told: KernelExit) -> Iterator[tuple[str, Any, Any]]:
    """Returns of KVM_RUN, and the time from the first one on."""
    returns = told.all("userspace_exit")
    yield "returns", record.user_exits, len(returns)
    reasons = [
        int(match[1])
        for event in returns
        if _EINTR not in event.text and (match := re.search(r"\((\d+)\)", event.text))
    ]
    reason = _if(record, lib.KVMLOG_F_USER_REASON, record.user_reason)
    yield "reason of the return", reason, reasons[0] if reasons else None
    interrupted = any(_EINTR in event.text for event in returns)
    yield "interrupted", bool(record.flags & lib.KVMLOG_F_USER_EINTR), interrupted
    entry = told.first("entry")
    if returns and entry is not None:
        ours, theirs = _near(record.user_ns, entry.ns - returns[0].ns)
        # The thread may lose the CPU between event and probe: then what it did before and after
        # has to stand around the probe's time.
        at = told.after.index(returns[0])
        before, after = told.after[at - 1].ns if at else told.ns, told.after[at + 1].ns
        if before <= entry.ns - ours <= after:
            ours = theirs
        yield "time in user space", ours, theirs
    elif not returns:
        yield "time in user space", record.user_ns, 0


def _compared_halt(record: Record, told: KernelExit) -> Iterator[tuple[str, Any, Any]]:
    """Halts in the kernel, by its own measure of each: to the nanosecond."""
    halts = [
        (match[1], int(match[2]))
        for event in told.all("vcpu_wakeup")
        if (match := re.search(r"(wait|poll) time (\d+) ns", event.text))
    ]
    yield "halted", record.halt_ns, sum(ns for _, ns in halts)
    slept = any(how == "wait" for how, _ in halts)
    yield "slept in its halt", bool(record.flags & lib.KVMLOG_F_HALT_SLEPT), slept


def _if(record: Record, flag: int, value: int) -> int | None:
    return value if record.flags & flag else None


def _near(ours: int, theirs: int) -> tuple[int, int]:
    """Return both alike when they are near enough."""
    return (theirs if abs(ours - theirs) <= TOLERANCE_NS else ours), theirs
