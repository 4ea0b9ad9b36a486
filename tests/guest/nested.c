// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmlog-nested TURNS: a guest (L1) that runs a guest of its own (L2) by SVM. Prints how often
 * KVM_RUN returned for L2's port; what L1 and L2 do stands in nested_code.S.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nested.h"

extern const uint8_t nested_l1[], nested_l1_end[], nested_l2[], nested_l2_end[];

enum {
	CR0 = 0x80010031,    /* paging, protected mode */
	CR4 = 1 << 5,	     /* PAE */
	EFER = 0x1500,	     /* long mode, SVM */
	PRESENT = 3,	     /* and writable */
	LARGE_PAGE = 1 << 7, /* 2 MiB */
	CODE = 0xa9b,	     /* 64-bit, as a VMCB has attributes */
	DATA = 0xc93,
	MSR_VM_HSAVE_PA = 0xc0010117U,
};

static int kvm_call(int fd, unsigned long request, unsigned long argument, const char *name)
{
	int value = ioctl(fd, request, argument);

	if (value < 0) {
		fprintf(stderr, "kvmlog-nested: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return value;
}

#define KVM(fd, request, argument) kvm_call(fd, request, (unsigned long)(argument), #request)

static void put(uint8_t *memory, uint64_t at, uint64_t value, size_t bytes)
{
	memcpy(memory + at, &value, bytes);
}

/* The first GiB, each address where it is. */
static void write_page_tables(uint8_t *memory)
{
	put(memory, PML4, PDPT | PRESENT, 8);
	put(memory, PDPT, PAGE_DIRECTORY | PRESENT, 8);
	for (uint64_t i = 0; i < 512; i++)
		put(memory, PAGE_DIRECTORY + 8 * i, i << 21 | LARGE_PAGE | PRESENT, 8);
}

static void write_segment(uint8_t *memory, uint64_t at, uint16_t selector, uint16_t attributes)
{
	put(memory, at, selector, 2);
	put(memory, at + 2, attributes, 2);
	put(memory, at + 4, 0xffffffff, 4);
}

static void write_vmcb(uint8_t *memory)
{
	put(memory, VMCB + 0x0c, 1U << 18 | 1U << 24, 4); /* intercepts: CPUID, HLT ... */
	put(memory, VMCB + 0x10, 1U << 0 | 1U << 1, 4);	  /* ... VMRUN, which has to be, VMMCALL */
	put(memory, VMCB + 0x58, 1, 4);			  /* ASID */
	write_segment(memory, VMCB + 0x400, 16, DATA);	  /* ES */
	write_segment(memory, VMCB + 0x410, 8, CODE);
	write_segment(memory, VMCB + 0x420, 16, DATA); /* SS */
	write_segment(memory, VMCB + 0x430, 16, DATA); /* DS */
	put(memory, VMCB + 0x4d0, EFER, 8);
	put(memory, VMCB + 0x548, CR4, 8);
	put(memory, VMCB + 0x550, PML4, 8);
	put(memory, VMCB + 0x558, CR0, 8);
	put(memory, VMCB + 0x560, 0x400, 8);	  /* DR7 */
	put(memory, VMCB + 0x568, 0xffff0ff0, 8); /* DR6 */
	put(memory, VMCB + 0x570, 2, 8);	  /* RFLAGS */
	put(memory, VMCB + VMCB_RIP, L2_CODE, 8);
	put(memory, VMCB + 0x5d8, L2_STACK, 8);
}

static void set_cpuid(int kvm, int vcpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	KVM(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	KVM(vcpu, KVM_SET_CPUID2, &cpuid);
}

/* L1 begins in 64-bit mode. */
static void set_registers(int vcpu, unsigned int turns)
{
	struct kvm_regs regs = {
		.rip = L1_CODE,
		.rflags = 2,
		.rsp = L1_STACK,
		.rbx = VMCB,
		.rdi = turns,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = 16,
		.type = 3,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
	struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = 8,
		.type = 11,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = 1,
	};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = MSR_VM_HSAVE_PA, .data = HOST_SAVE } };
	struct kvm_sregs sregs;

	KVM(vcpu, KVM_GET_SREGS, &sregs);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cs = code;
	sregs.cr0 = CR0;
	sregs.cr3 = PML4;
	sregs.cr4 = CR4;
	sregs.efer = EFER;
	KVM(vcpu, KVM_SET_SREGS, &sregs);
	KVM(vcpu, KVM_SET_REGS, &regs);
	if (KVM(vcpu, KVM_SET_MSRS, &msr) != 1) {
		fputs("kvmlog-nested: no VM_HSAVE_PA: load kvm_amd with nested=1\n", stderr);
		exit(1);
	}
}

/* Until L1 ends; returns how often L2's port was written. */
static unsigned long run(int vcpu, struct kvm_run *run)
{
	unsigned long written = 0;

	for (;;) {
		uint32_t code;

		KVM(vcpu, KVM_RUN, 0);
		if (run->exit_reason != KVM_EXIT_IO) {
			fprintf(stderr, "kvmlog-nested: unexpected KVM_EXIT %u\n",
				run->exit_reason);
			exit(1);
		}
		if (run->io.port == L2_PORT) {
			written++;
			continue;
		}
		memcpy(&code, (const uint8_t *)run + run->io.data_offset, sizeof(code));
		if (code == EXIT_HLT)
			return written;
		fprintf(stderr, "kvmlog-nested: L1 has had the exit %#x\n", code);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm, vcpu, bytes;
	uint8_t *memory;
	void *shared;

	if (argc != 2 || kvm < 0) {
		fputs("usage: kvmlog-nested TURNS, with /dev/kvm\n", stderr);
		return 2;
	}
	vm = KVM(kvm, KVM_CREATE_VM, 0);
	memory =
		mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
	bytes = KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	shared = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (memory == MAP_FAILED || shared == MAP_FAILED) {
		perror("kvmlog-nested: mmap");
		return 1;
	}
	write_page_tables(memory);
	write_vmcb(memory);
	memcpy(memory + L1_CODE, nested_l1, (size_t)(nested_l1_end - nested_l1));
	memcpy(memory + L2_CODE, nested_l2, (size_t)(nested_l2_end - nested_l2));
	region.userspace_addr = (uintptr_t)memory;
	KVM(vm, KVM_SET_USER_MEMORY_REGION, &region);
	set_cpuid(kvm, vcpu);
	set_registers(vcpu, (unsigned int)strtoul(argv[1], NULL, 10));
	printf("%lu\n", run(vcpu, shared));
	return 0;
}
