/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests made for being traced do in a turn, and where each vCPU of theirs counts it. */
#ifndef KVMLOG_TURN_H
#define KVMLOG_TURN_H

/* Kinds of exit, in the order in which a turn does them. */
#define KIND_CPUID 0
#define KIND_PIO 1
#define KIND_MMIO 2
#define KIND_HLT 3
#define KIND_RDMSR 4
#define KIND_WRMSR 5
#define KINDS 6

#define PIO_PORT 0x3f8
#define MMIO_ADDRESS 0xd0000000
#define MMIO_VALUE 0x6b766d6c
#define MSR_INDEX 0x1a0 /* IA32_MISC_ENABLE: emulated by KVM on Intel and AMD, never passed on */

#define APIC_EOI 0xfee000b0
#define APIC_INITIAL_COUNT 0xfee00380
#define TIMER_VECTOR 0x40
#define HLT_OPCODE 0xf4

/* Guest physical layout. */
#define GUEST_PAGES 0x10000  /* of vCPU 0, one 4 KiB page each */
#define GUEST_STACKS 0x80000 /* tops, growing down, one 4 KiB page each */

/* Offsets in a vCPU's page. */
#define PAGE_DONE 0 /* how often each kind was done, 64 bits each */
#define PAGE_TICKS 128
#define PAGE_MSR 136

#endif
