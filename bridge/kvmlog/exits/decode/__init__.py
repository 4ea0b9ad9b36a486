# SPDX-License-Identifier: GPL-2.0-or-later
"""Details of an exit in words.

detail: a record's detail by ISA and reason; qualification: info1 and info2 by their bits; the rest
are tables: msrs, ports, gpa (guest physical addresses), lapic, registers (vectors, hypercalls,
CPUID).
"""
