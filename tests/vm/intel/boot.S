/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot sector of a floppy: enters the kernel that stands in RAM already, uncompressed,
 * as PVH wants it (arch/x86/include/asm/xen, hvm/start_info.h): protected mode, flat
 * segments, paging off, %ebx the start info. images.py writes the kernel's entry point
 * in front of that.
 */
#include "layout.h"

	.code16
	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	inb $0x92, %al		/* A20 on, without a reset */
	orb $2, %al
	andb $0xfe, %al
	outb %al, $0x92
	lgdtl pointer
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $8, $flat

	.code32
flat:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movl $START_INFO, %ebx
	jmp *ENTRY_POINT

	.balign 8
table:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
pointer:
	.word 23
	.long table
	.org 510
	.word 0xaa55
