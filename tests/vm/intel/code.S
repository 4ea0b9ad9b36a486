/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests do: 32-bit, flat, without paging. guest.c copies one fragment to
 * GUEST_CODE, the stack is ready, interrupts are off.
 */
#include "guest.h"

	.section .rodata
	.code32

	.macro guest name
	.globl guest_\name
	.globl guest_\name\()_end
guest_\name:
	.endm

/* Exits of as many reasons as one vCPU comes to by itself, each a known number of times. */
guest kinds
	movl $7, %eax
	movl $1, %ecx
	cpuid
	movl $0x80000008, %eax
	movl $0x12345, %ecx
	cpuid

	inb $0x60, %al
	movw $PORT + 1, %dx
	movl $0xabcd, %eax
	outw %ax, %dx
	movl $GUEST_CODE, %esi
	movl $3, %ecx
	movw $PORT, %dx
	cld
	rep outsb

	/* A page's first access is a violation, of which KVM makes a misconfiguration. */
	movl DEVICE + 0x10, %eax
	movl $1, DEVICE + 0x20
	movb $5, DEVICE + 0x41
	movw DEVICE + 0x62, %ax
	movl $1, DEVICE + 0x1030
	movl DEVICE + 0x1034, %eax
	/* Two accesses of one instruction: device to device; and many. */
	movl $DEVICE + 0x100, %esi
	movl $DEVICE + 0x1200, %edi
	movsl
	movl $3, %ecx
	movl $DEVICE + 0x80, %edi
	rep stosl
	/* Over the end of a page. */
	movl %eax, DEVICE + 0xffe
	movl $1, DOORBELL
	movl $1, DOORBELL
	movl $CHOOSY_VALUE, CHOOSY_DOORBELL
	movl $CHOOSY_VALUE, CHOOSY_DOORBELL
	movl $1, CHOOSY_DOORBELL

	movl $0x1a0, %ecx	/* MISC_ENABLE */
	rdmsr
	wrmsr
	movl $0x8b, %ecx	/* revision of the microcode */
	rdmsr

	movl %cr0, %eax
	xorl $0x10000, %eax	/* WP */
	movl %eax, %cr0
	movl %cr3, %eax		/* ends in an exit without EPT only, as INVLPG does */
	movl %eax, %cr3
	invlpg UNTOUCHED
	movl %cr4, %ebx
	xorl $0x10, %ebx	/* PSE */
	movl %ebx, %cr4
	smsw %ax
	xorw $4, %ax		/* EM */
	lmsw %ax
	movl $0x400, %edx
	movl %edx, %db7

	movl $HYPERCALL, %eax
	xorl %ebx, %ebx
	vmcall
	wbinvd
	invd
	movl $GUEST_CODE, %eax
	xorl %ecx, %ecx
	xorl %edx, %edx
	monitor
	xorl %eax, %eax
	mwait
	/* OSXSAVE, and x87 alone in XCR0 */
	movl %cr4, %eax
	orl $0x40000, %eax
	movl %eax, %cr4
	xorl %ecx, %ecx
	xorl %edx, %edx
	movl $1, %eax
	xsetbv

	movl $1, UNTOUCHED
	hlt
	/* A page of RAM that the CPU wants while it delivers an exception. */
	lidt 1f - guest_kinds + GUEST_CODE
	ud2
	movw $DONE_PORT, %dx
	outb %al, %dx
	/* Nothing is there to deliver it with: a triple fault. */
	lidt 2f - guest_kinds + GUEST_CODE
	ud2
	.globl guest_kinds_skip
guest_kinds_skip:
	addl $2, (%esp)
	iretl
	.balign 8
1:	.word 0x7ff
	.long UNTOUCHED_IDT
2:	.word 0
	.long 0
guest_kinds_end:

/* Computes for some of the host's ticks. */
guest spin
	movl $8000000, %ecx
1:	decl %ecx
	jnz 1b
	movw $DONE_PORT, %dx
	outb %al, %dx
guest_spin_end:

/* The VMM asks in between to be told when an interrupt could come in. */
guest window
	movw $PORT, %dx
	outb %al, %dx
	sti
	nop
	nop
	movw $DONE_PORT, %dx
	outb %al, %dx
guest_window_end:

/*
 * Writes again and again to more pages than the CPU's log of them has room for. The first time
 * each is missing; before the others the VMM takes KVM's account of them, which begins anew.
 */
guest dirty
	movl $DIRTY_TURNS, %ebx
1:	movl $DIRTY_FIRST, %edi
	movl $DIRTY_PAGES, %ecx
2:	movl %ecx, (%edi)
	addl $0x1000, %edi
	decl %ecx
	jnz 2b
	movw $PORT, %dx
	outb %al, %dx
	decl %ebx
	jnz 1b
	movw $DONE_PORT, %dx
	outb %al, %dx
guest_dirty_end:

/* Has the VMM raise an interrupt's line, takes that, has it lowered, and tells the end of it. */
guest level
	movw $PORT, %dx
	movb $1, %al
	outb %al, %dx
	sti
1:	cmpl $0, LEVEL_TAKEN
	je 1b
	movw $DONE_PORT, %dx
	outb %al, %dx
	.globl guest_level_interrupt
guest_level_interrupt:
	xorl %eax, %eax
	movw $PORT, %dx
	outb %al, %dx
	movl $1, LEVEL_TAKEN
	movl %eax, APIC_EOI
	iretl
guest_level_end:

/*
 * A hypervisor (L1), and its guest (L2). In each turn L2 makes four exits: CPUID, VMCALL and HLT,
 * which go to L1, and an OUT, for which L1 did not ask. L1 tells last of all why it ended: the
 * reason of L2's last exit, or what went wrong with a VMX instruction.
 */
guest nested
	movl %cr4, %eax
	orl $0x2000, %eax	/* VMXE */
	movl %eax, %cr4
	vmxon 9f - guest_nested + GUEST_CODE
	jbe 5f
	vmclear 9f + 8 - guest_nested + GUEST_CODE
	vmptrld 9f + 8 - guest_nested + GUEST_CODE
	movl $VMCS_FIELDS, %esi
1:	movl (%esi), %eax
	testl %eax, %eax
	jz 2f
	vmwrite 4(%esi), %eax
	jbe 5f
	addl $8, %esi
	jmp 1b
2:	vmlaunch
	jmp 5f
	.globl guest_nested_exit, guest_nested_l2
guest_nested_exit:
	movl $VMCS_EXIT_REASON, %eax
	vmread %eax, %edx
	movl $VMCS_GUEST_RIP, %eax
	vmread %eax, %ecx
	addl $3, %ecx
	cmpl $VMX_VMCALL, %edx
	je 3f
	decl %ecx
	cmpl $VMX_CPUID, %edx
	je 3f
	cmpl $VMX_HLT, %edx
	jne 6f
	decl TURNS_LEFT
	jz 6f
	movl $guest_nested_l2 - guest_nested + GUEST_CODE, %ecx
3:	vmwrite %ecx, %eax
	vmresume
5:	movl $VMCS_INSTRUCTION_ERROR, %eax
	vmread %eax, %edx
	orl $0x80000000, %edx
6:	movl %edx, %eax
	movw $DONE_PORT, %dx
	outl %eax, %dx
guest_nested_l2:
	movl $7, %eax
	xorl %ecx, %ecx
	cpuid
	movl $5, %eax
	vmcall
	movw $PORT, %dx
	outb %al, %dx
	hlt
	.balign 8
9:	.quad VMXON_REGION
	.quad VMCS_REGION
guest_nested_end:

	.section .note.GNU-stack, "", @progbits
