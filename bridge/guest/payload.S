/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for a real QEMU, that of kvmlog demo and of tests: firmware that does nothing but
 * leave its guest, for known reasons. It takes the place of the BIOS (-bios, or libvirt's <loader>), so that it
 * runs microseconds after the machine has started, and nothing else makes exits.
 *
 * The image is the last 64 KiB below 4 GiB, seen below 1 MiB too. A vCPU begins at the
 * reset vector, the others, woken by the first, at the image's first byte. What a vCPU
 * is to do stands at `orders`; who starts it writes there, in a copy of the image. When
 * it has done all its turns it halts for ever (one more hlt).
 */
#include "turn.h"

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define PAGE_PARKED 256 /* in the vCPU's page: 1 when all turns are done */

#define APIC_ID 0xfee00020
#define APIC_SPURIOUS 0xfee000f0
#define APIC_COMMAND 0xfee00300
#define APIC_TIMER 0xfee00320
#define APIC_DIVIDE 0xfee003e0
#define TO_ALL_OTHERS 0x000c4000
#define INIT 0x500
#define STARTUP_AT_F0000 0x6f0

	.text
	.macro count kind
	addl $1, PAGE_DONE + 8 * \kind(%esi)
	adcl $0, PAGE_DONE + 8 * \kind + 4(%esi)
	.endm

	/* Jumps on to the next kind, label 1, unless this one is ordered. */
	.macro ordered kind
	testl $(1 << \kind), %ebp
	jz 1f
	.endm

	.globl image
image:
	.code16
enter:
	cli
	lgdtl %cs:(gdt_pointer - image)
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* caches on, as any firmware has them */
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE_SELECTOR, $flat

	.code32
flat:
	movw $DATA_SELECTOR, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	lidt idt_pointer
	movl APIC_ID, %ebx
	shrl $24, %ebx
	movl %ebx, %eax
	shll $12, %eax
	leal GUEST_PAGES(%eax), %esi
	leal GUEST_STACKS + 4096(%eax), %esp
	movl $0x1ff, APIC_SPURIOUS
	movl $TIMER_VECTOR, APIC_TIMER
	movl $0xb, APIC_DIVIDE /* by 1: KVM's timer counts nanoseconds */
	testl %ebx, %ebx
	jnz begin
	movl $(TO_ALL_OTHERS | INIT), APIC_COMMAND
	movl $(TO_ALL_OTHERS | STARTUP_AT_F0000), APIC_COMMAND
begin:
	movl ordered_kinds, %ebp
	movl ordered_turns, %edi
	testl $(1 << KIND_WRMSR), %ebp
	jz again
	/* What wrmsr writes is what the MSR holds: one more msr. */
	movl $MSR_INDEX, %ecx
	rdmsr
	movl %eax, PAGE_MSR(%esi)
	movl %edx, PAGE_MSR + 4(%esi)

again:
	ordered KIND_CPUID
	xorl %eax, %eax
	xorl %ecx, %ecx
	cpuid
	count KIND_CPUID
1:	ordered KIND_PIO
	movw $PIO_PORT, %dx
	movb $'k', %al
	outb %al, %dx
	count KIND_PIO
1:	ordered KIND_MMIO
	movl $MMIO_VALUE, MMIO_ADDRESS
	count KIND_MMIO
1:	ordered KIND_HLT
	movl ordered_ticks, %eax
	movl %eax, APIC_INITIAL_COUNT
	sti /* holds interrupts off until hlt has begun */
	hlt
	cli
	count KIND_HLT
1:	ordered KIND_RDMSR
	movl $MSR_INDEX, %ecx
	rdmsr
	count KIND_RDMSR
1:	ordered KIND_WRMSR
	movl $MSR_INDEX, %ecx
	movl PAGE_MSR(%esi), %eax
	movl PAGE_MSR + 4(%esi), %edx
	wrmsr
	count KIND_WRMSR
1:	decl %edi
	jnz again

	movl $1, PAGE_PARKED(%esi)
park:
	cli
	hlt
	jmp park

/*
 * The timer's interrupt: acknowledged. If it comes between sti and hlt after all (emulated
 * SVM forgets that sti holds it off, when the host interrupts there), nothing would end
 * that hlt: the timer begins again, and so does the sti.
 *
 * It returns with interrupts off, as cli, which comes next, has them: KVM without hardware
 * emulates its guests, and knows no iret in protected mode.
 */
interrupt:
	pushl %eax
	movl 4(%esp), %eax
	cmpb $HLT_OPCODE, (%eax)
	jne 1f
	decl 4(%esp)
	movl ordered_ticks, %eax
	movl %eax, APIC_INITIAL_COUNT
1:	popl %eax
	movl $0, APIC_EOI
	ret $8 /* CS and EFLAGS */

	/* Accessed already, so that the CPU does not write to this read-only memory. */
	.balign 8
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	/* One gate that is present: 32 bits, interrupts off. */
	.balign 8
idt:
	.fill TIMER_VECTOR, 8, 0
	.word interrupt - image, CODE_SELECTOR, 0x8e00, 0xffff
idt_pointer:
	.word idt_pointer - idt - 1
	.long idt

	/* kvmlog.cli.demo.image finds this by its first 16 bytes. */
	.balign 16
orders:
	.ascii "kvmlog-payload 1"
ordered_kinds:
	.long 0 /* bits: 1 << KIND_* */
ordered_turns:
	.long 0 /* 0: 2^32 */
ordered_ticks:
	.long 0 /* length of a halt in ns */
	/* Not orders but answers: where a vCPU counts what it does. */
	.long GUEST_PAGES, 4096, PAGE_DONE, KINDS, PAGE_PARKED

	.org 0xfff0
	.code16
	jmp enter
	.org 0x10000 - 1
	.byte 0

	.section .note.GNU-stack, "", @progbits
