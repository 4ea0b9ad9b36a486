# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers of the local APIC, as a memory offset and as an x2APIC MSR.

Sources: Intel SDM volume 3, chapter "APIC", tables "Local APIC Register Address Map" and
"Local APIC Register Address Map Supported by x2APIC" (MSR 0x800 plus a sixteenth of the
offset); AMD APM volume 2, chapter "Advanced Programmable Interrupt Controller", for the
extended registers from 0x400 on.
"""

from __future__ import annotations

from typing import Final

X2APIC_FIRST: Final = 0x800
X2APIC_LAST: Final = 0x8FF
REGISTER_BYTES: Final = 0x10

# Register number (offset / 16) -> name.
REGISTERS: Final[dict[int, str]] = {
    0x02: "id",
    0x03: "version",
    0x08: "tpr",
    0x09: "apr",
    0x0A: "ppr",
    0x0B: "eoi",
    0x0C: "rrd",
    0x0D: "ldr",
    0x0E: "dfr",
    0x0F: "svr",
    **{0x10 + n: f"isr{n}" for n in range(8)},
    **{0x18 + n: f"tmr{n}" for n in range(8)},
    **{0x20 + n: f"irr{n}" for n in range(8)},
    0x28: "esr",
    0x2F: "lvt-cmci",
    0x30: "icr",
    0x31: "icr2",
    0x32: "lvt-timer",
    0x33: "lvt-thermal",
    0x34: "lvt-pmc",
    0x35: "lvt-lint0",
    0x36: "lvt-lint1",
    0x37: "lvt-error",
    0x38: "timer-count",
    0x39: "timer-current",
    0x3E: "timer-divide",
    0x3F: "self-ipi",
    0x40: "ext-feature",
    0x41: "ext-control",
    0x42: "specific-eoi",
    **{0x48 + n: f"ier{n}" for n in range(8)},
    **{0x50 + n: f"ext-lvt{n}" for n in range(4)},
}


def register_name(offset: int) -> str | None:
    """Return "eoi" for the byte offset 0xb0 into the APIC's page; None if reserved."""
    return REGISTERS.get(offset // REGISTER_BYTES)


def x2apic_name(msr: int) -> str | None:
    """Return "x2apic-eoi" for MSR 0x80b; None for an MSR that is no x2APIC register."""
    if not X2APIC_FIRST <= msr <= X2APIC_LAST:
        return None
    name = REGISTERS.get(msr - X2APIC_FIRST)
    return f"x2apic-{name}" if name else None
