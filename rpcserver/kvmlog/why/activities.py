# SPDX-License-Identifier: GPL-2.0-or-later
"""What exits are for, by reason and detail, on all processors.

Sources: Intel SDM volume 3, "APIC Timer" and "Interrupt Command Register (ICR)", for the registers
of the local APIC and their MSRs in x2APIC mode; MSR 0x6e0 is IA32_TSC_DEADLINE.
"""

from __future__ import annotations

from typing import Final

from kvmlog.exits.decode import detail, lapic
from kvmlog.exits.reasons import names
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import DETAIL_EXACT, DETAIL_REGION, Row
from kvmlog.why.evidence import Activity

_TSC_DEADLINE: Final = 0x6E0
_LAPIC: Final = range(0xFEE00000, 0xFEE01000)
# Registers of the local APIC by their number: offset / 16.
_TIMERS: Final = frozenset((0x32, 0x38, 0x39, 0x3E))
_IPIS: Final = frozenset((0x30, 0x31, 0x3F))
_BY_NAME: Final = {
    "HLT": Activity.HALT,
    "hlt": Activity.HALT,
    "idle-halt": Activity.HALT,
    "MWAIT_INSTRUCTION": Activity.HALT,
    "mwait": Activity.HALT,
    "mwait_cond": Activity.HALT,
    "WFx": Activity.HALT,
    "PREEMPTION_TIMER": Activity.TIMER,
    "avic_incomplete_ipi": Activity.IPI,
    "avic_unaccelerated_access": Activity.APIC,
    "APIC_ACCESS": Activity.APIC,
    "APIC_WRITE": Activity.APIC,
    "EOI_INDUCED": Activity.APIC,
    "TPR_BELOW_THRESHOLD": Activity.APIC,
    "EXTERNAL_INTERRUPT": Activity.INTERRUPT,
    "interrupt": Activity.INTERRUPT,
    "IRQ": Activity.INTERRUPT,
    "PAUSE_INSTRUCTION": Activity.SPIN,
    "pause": Activity.SPIN,
    "EPT_MISCONFIG": Activity.MMIO,
    "vmgexit_mmio_read": Activity.MMIO,
    "vmgexit_mmio_write": Activity.MMIO,
}
_MEMORY: Final = ("EPT_VIOLATION", "npf", "DABT_LOW", "IABT_LOW")


def activity_of(row: Row) -> Activity:
    """Return what the exits of a row (by reason and detail) are for."""
    if row.nested:
        return Activity.NESTED
    if row.halt:
        return Activity.HALT
    name = names.reason_name(row.isa, row.reason)
    kind = detail.detail_kind(row.isa, row.reason)
    exact = row.detail_kind == DETAIL_EXACT
    if kind == lib.KVMLOG_DETAIL_MSR:
        return _of_msr(row.detail) if exact else Activity.MSR
    if kind == lib.KVMLOG_DETAIL_PORT:
        return Activity.PORT
    if row.isa != lib.KVMLOG_ISA_ARM64 and exact and row.detail in _LAPIC:
        return _of_register((row.detail - _LAPIC.start) // lapic.REGISTER_BYTES)
    if name in _MEMORY:
        # Only accesses that the VMM emulates go to it; a page is the kernel's to provide.
        device = row.vmm_ns > 0 or (exact and row.isa != lib.KVMLOG_ISA_ARM64)
        return Activity.MMIO if device and row.detail_kind != DETAIL_REGION else Activity.MEMORY
    return _BY_NAME.get(name, Activity.OTHER)


def _of_msr(number: int) -> Activity:
    if number == _TSC_DEADLINE:
        return Activity.TIMER
    if lapic.X2APIC_FIRST <= number <= lapic.X2APIC_LAST:
        return _of_register(number - lapic.X2APIC_FIRST)
    return Activity.MSR


def _of_register(number: int) -> Activity:
    if number in _TIMERS:
        return Activity.TIMER
    return Activity.IPI if number in _IPIS else Activity.APIC
