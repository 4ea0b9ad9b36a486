// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest "nested": what its hypervisor (L1, in code.S) finds in memory, the fields of the VMCS
 * above all. L1 and L2 are alike: 32-bit, flat, each address where it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest.h"

extern const char guest_nested[], guest_nested_exit[], guest_nested_l2[];

enum {
	CR0 = 0x80000031, /* paging, NE, protected mode */
	CR4 = 0x10,	  /* pages of 4 MiB */
	CR4_VMXE = 0x2000,
	LARGE_PAGE = 0x83, /* present, writable, 4 MiB */
	CODE_RIGHTS = 0xc09b,
	DATA_RIGHTS = 0xc093,
	TSS_RIGHTS = 0x8b,
	UNUSABLE = 0x10000,
	HLT_EXITING = 1 << 7,

	MSR_FEATURE_CONTROL = 0x3a,
	VMX_ALLOWED = 5, /* locked, VMXON */
	MSR_VMX_BASIC = 0x480,
	MSR_VMX_PIN = 0x481,
	MSR_VMX_PROCESSOR = 0x482,
	MSR_VMX_EXIT = 0x483,
	MSR_VMX_ENTRY = 0x484,
};

struct field {
	uint32_t field;
	uint32_t value;
};

/* What is the same on each CPU; what is not named is 0. */
static const struct field fields[] = {
	{ 0x0800, 16 },
	{ 0x0802, 8 }, /* L2: ES, CS ... */
	{ 0x0804, 16 },
	{ 0x0806, 16 }, /* ... SS, DS ... */
	{ 0x080e, 24 }, /* ... TR */
	{ 0x0c00, 16 },
	{ 0x0c02, 8 }, /* L1 the same */
	{ 0x0c04, 16 },
	{ 0x0c06, 16 },
	{ 0x0c0c, 24 },
	{ 0x2800, 0xffffffff },
	{ 0x2801, 0xffffffff }, /* no linked VMCS */
	{ 0x4800, 0xffffffff },
	{ 0x4802, 0xffffffff }, /* limits */
	{ 0x4804, 0xffffffff },
	{ 0x4806, 0xffffffff },
	{ 0x480e, 0x67 },
	{ 0x4814, DATA_RIGHTS },
	{ 0x4816, CODE_RIGHTS }, /* access rights */
	{ 0x4818, DATA_RIGHTS },
	{ 0x481a, DATA_RIGHTS },
	{ 0x481c, UNUSABLE },
	{ 0x481e, UNUSABLE },
	{ 0x4820, UNUSABLE },
	{ 0x4822, TSS_RIGHTS },
	{ 0x6800, CR0 },
	{ 0x6802, PAGE_DIRECTORY },
	{ 0x6804, CR4 | CR4_VMXE },
	{ 0x681a, 0x400 },
	{ 0x681c, L2_STACK }, /* DR7, RSP */
	{ 0x6820, 2 },	      /* RFLAGS */
	{ 0x6c00, CR0 },
	{ 0x6c02, PAGE_DIRECTORY },
	{ 0x6c04, CR4 | CR4_VMXE },
	{ 0x6c0c, GUEST_GDT },
	{ 0x6c14, GUEST_STACK },
};

static uint64_t read_msr(const struct machine *machine, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = index };

	if (KVM(machine->vcpu, KVM_GET_MSRS, &msr) != 1)
		die("no MSR %#x: load kvm_intel with nested=1", index);
	return msr.entry.data;
}

static void put_field(struct field **end, uint32_t field, uint32_t value)
{
	**end = (struct field){ field, value };
	++*end;
}

/* Low half: what has to be set. */
static uint32_t controls(const struct machine *machine, uint32_t index, uint32_t wanted)
{
	return (uint32_t)read_msr(machine, index) | wanted;
}

static void write_fields(const struct machine *machine)
{
	const uint32_t exit_at = GUEST_CODE + (uint32_t)(guest_nested_exit - guest_nested);
	const uint32_t l2_at = GUEST_CODE + (uint32_t)(guest_nested_l2 - guest_nested);
	struct field *end = (struct field *)(machine->memory + VMCS_FIELDS);
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		put_field(&end, fields[i].field, fields[i].value);
	put_field(&end, 0x4000, controls(machine, MSR_VMX_PIN, 0));
	put_field(&end, 0x4002, controls(machine, MSR_VMX_PROCESSOR, HLT_EXITING));
	put_field(&end, 0x400c, controls(machine, MSR_VMX_EXIT, 0));
	put_field(&end, 0x4012, controls(machine, MSR_VMX_ENTRY, 0));
	put_field(&end, VMCS_GUEST_RIP, l2_at);
	put_field(&end, 0x6c16, exit_at);
}

void nested_prepare(const struct machine *machine)
{
	const uint32_t revision = (uint32_t)read_msr(machine, MSR_VMX_BASIC) & 0x7fffffff;
	const uint32_t turns = NESTED_TURNS;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} allow = { .head.nmsrs = 1, .entry = { MSR_FEATURE_CONTROL, 0, VMX_ALLOWED } };
	struct kvm_sregs sregs;
	uint32_t page;
	size_t i;

	for (i = 0; i < 1024; i++) {
		page = (uint32_t)(i << 22) | LARGE_PAGE;
		memcpy(machine->memory + PAGE_DIRECTORY + 4 * i, &page, sizeof(page));
	}
	memcpy(machine->memory + VMXON_REGION, &revision, sizeof(revision));
	memcpy(machine->memory + VMCS_REGION, &revision, sizeof(revision));
	memcpy(machine->memory + TURNS_LEFT, &turns, sizeof(turns));
	write_fields(machine);
	if (KVM(machine->vcpu, KVM_SET_MSRS, &allow) != 1)
		die("VMX is not for guests: load kvm_intel with nested=1");
	KVM(machine->vcpu, KVM_GET_SREGS, &sregs);
	sregs.cr0 = CR0;
	sregs.cr3 = PAGE_DIRECTORY;
	sregs.cr4 = CR4;
	KVM(machine->vcpu, KVM_SET_SREGS, &sregs);
}
