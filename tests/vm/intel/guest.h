/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guest.c and the code of its guests (code.S) agree on. */
#ifndef KVMLOG_TEST_INTEL_GUEST_H
#define KVMLOG_TEST_INTEL_GUEST_H

#define GUEST_GDT 0x1000
#define GUEST_IDT 0x2000
#define GUEST_CODE 0x4000
#define GUEST_CODE_BYTES 0x1000
#define GUEST_STACK 0x9f000
#define GUEST_BYTES 0x500000

/* Not touched by anybody before the guest does. */
#define UNTOUCHED 0x1a0000
#define UNTOUCHED_IDT 0x1c0000
#define DIRTY_FIRST 0x200000
#define DIRTY_TURNS 4
#define DIRTY_PAGES 520 /* PML's buffer has 512 entries */

#define DEVICE 0xd0000000
/* An ioeventfd that takes any length and value. */
#define DOORBELL 0xe0000000
/* One that wants four bytes of this value. */
#define CHOOSY_DOORBELL 0xe0001000
#define CHOOSY_VALUE 0x1234

/* An interrupt whose line, which no PIC has, stays up until the VMM takes it down. */
#define LEVEL_LINE 20
#define LEVEL_VECTOR 0x50
#define LEVEL_TAKEN 0x17000
#define APIC_SPURIOUS 0xf0
#define APIC_EOI 0xfee000b0

#define PORT 0x3f8
#define DONE_PORT 0x501
#define HYPERCALL 42

/* A guest that runs a guest of its own: L1's page directory, its VMXON region and L2's VMCS,
 * where the fields of that stand (pairs of field and value, up to field 0), L1's turns left. */
#define PAGE_DIRECTORY 0x10000
#define VMXON_REGION 0x11000
#define VMCS_REGION 0x12000
#define VMCS_FIELDS 0x13000
#define TURNS_LEFT 0x14000
#define L2_STACK 0x16000
#define NESTED_TURNS 20

/* SDM vol. 3, appendix B and C. */
#define VMCS_GUEST_RIP 0x681e
#define VMCS_EXIT_REASON 0x4402
#define VMCS_INSTRUCTION_ERROR 0x4400
#define VMX_CPUID 10
#define VMX_HLT 12
#define VMX_VMCALL 18

#ifndef __ASSEMBLER__
#include <linux/kvm.h>
#include <stdint.h>

struct guest;

struct machine {
	const struct guest *guest;
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_userspace_memory_region region;
	struct kvm_run *run;
	int steps; /* left to single-step */
};

/* The result, unless it is negative: then the program ends with a sentence. */
int checked(int result, const char *what);

#define KVM(fd, request, ...) checked(ioctl(fd, request, ##__VA_ARGS__), #request)

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The vCPU is ready for the guest "nested", but for its general registers. */
void nested_prepare(const struct machine *machine);
#endif

#endif
