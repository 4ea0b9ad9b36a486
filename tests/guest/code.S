/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's code: 32-bit, flat, without paging. machine.c copies the fragments
 * that were asked for one after the other to GUEST_CODE; none refers to its own place.
 *
 * On entry: %esi the vCPU's page (struct guest_page), %edi turns to go (0: 2^32),
 * %esp a stack. cpuid clobbers the others.
 */
#include "guest.h"

	.section .rodata
	.code32

	.macro fragment name
	.globl guest_\name
	.globl guest_\name\()_end
guest_\name:
	.endm

	.macro count kind
	addl $1, PAGE_DONE + 8 * \kind(%esi)
	adcl $0, PAGE_DONE + 8 * \kind + 4(%esi)
	.endm

fragment cpuid
	xorl %eax, %eax
	xorl %ecx, %ecx
	cpuid
	count KIND_CPUID
guest_cpuid_end:

fragment pio
	movw $PIO_PORT, %dx
	movb $'k', %al
	outb %al, %dx
	count KIND_PIO
guest_pio_end:

fragment mmio
	movl $MMIO_VALUE, MMIO_ADDRESS
	count KIND_MMIO
guest_mmio_end:

/* Without an interrupt controller in the kernel: user space sees KVM_EXIT_HLT. */
fragment hlt_user
	hlt
	count KIND_HLT
guest_hlt_user_end:

/* The guest's own APIC timer wakes it. sti holds interrupts off until hlt has begun. */
fragment hlt_timer
	movl PAGE_TICKS(%esi), %eax
	movl %eax, APIC_INITIAL_COUNT
	sti
	hlt
	cli
	count KIND_HLT
guest_hlt_timer_end:

fragment rdmsr
	movl $MSR_INDEX, %ecx
	rdmsr
	count KIND_RDMSR
guest_rdmsr_end:

fragment wrmsr
	movl $MSR_INDEX, %ecx
	movl PAGE_MSR(%esi), %eax
	movl PAGE_MSR + 4(%esi), %edx
	wrmsr
	count KIND_WRMSR
guest_wrmsr_end:

fragment spin
	movl $SPIN_TURNS, %ecx
1:	decl %ecx
	jnz 1b
	count KIND_SPIN
guest_spin_end:

/* Interrupts are off: what comes stays pending. */
fragment timer
	movl PAGE_TICKS(%esi), %eax
	movl %eax, APIC_INITIAL_COUNT
	count KIND_TIMER
guest_timer_end:

fragment ipi
	movl $IPI_TO_OTHERS, APIC_COMMAND
	count KIND_IPI
guest_ipi_end:

/* machine.c writes the distance to the first fragment into the last four bytes. */
fragment again
	decl %edi
	.byte 0x0f, 0x85	/* jnz, 32 bits */
	.long 0
guest_again_end:

/* One more OUT says that all turns are done; nothing runs after it. */
fragment finish
	movw $END_PORT, %dx
	xorl %eax, %eax
	outb %al, %dx
	ud2
guest_finish_end:

/* The timer's interrupt: acknowledged; before a hlt, the timer begins again (see payload.S). */
fragment interrupt
	pushl %eax
	movl 4(%esp), %eax
	cmpb $HLT_OPCODE, (%eax)
	jne 1f
	movl PAGE_TICKS(%esi), %eax
	movl %eax, APIC_INITIAL_COUNT
1:	popl %eax
	movl $0, APIC_EOI
	iret
guest_interrupt_end:

	.section .note.GNU-stack, "", @progbits
