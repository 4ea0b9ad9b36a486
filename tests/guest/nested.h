/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where things stand in the memory of a guest that runs one of its own. */
#ifndef KVMLOG_TEST_NESTED_H
#define KVMLOG_TEST_NESTED_H

#define L1_CODE 0x4000
#define L2_CODE 0x5000
#define VMCB 0x6000
#define HOST_SAVE 0x7000
#define PML4 0x8000
#define PDPT 0x9000
#define PAGE_DIRECTORY 0xa000
#define L1_STACK 0xc000
#define L2_STACK 0xd000
#define MEMORY_BYTES 0x100000

#define L2_PORT 0x3f8
#define END_PORT 0x501

/* AMD APM vol. 2, appendix B (layout of the VMCB) and C (intercept codes). */
#define VMCB_EXIT_CODE 0x70
#define VMCB_RIP 0x578
#define EXIT_CPUID 0x72
#define EXIT_HLT 0x78
#define EXIT_VMMCALL 0x81

#endif
