/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor in the guest (L1), and the guest in it (L2). In each turn L2 makes four exits:
 * CPUID, VMMCALL and HLT, which L1 asked for, and an OUT, which it did not. L1 steps over the
 * first two, and begins the next turn at the third.
 *
 * edi: turns; rbx: the VMCB.
 */
#include "nested.h"

	.section .rodata
	.code64

	.globl nested_l1, nested_l1_end
nested_l1:
1:	mov	%rbx, %rax
	vmrun	%rax
	mov	VMCB_EXIT_CODE(%rbx), %eax
	cmp	$EXIT_CPUID, %eax
	je	2f
	cmp	$EXIT_VMMCALL, %eax
	je	3f
	cmp	$EXIT_HLT, %eax
	jne	4f
	movq	$L2_CODE, VMCB_RIP(%rbx)
	dec	%edi
	jnz	1b
4:	/* Of an exit that was not asked for the host is told the code. */
	mov	$END_PORT, %dx
	out	%eax, %dx
	hlt
2:	addq	$2, VMCB_RIP(%rbx)
	jmp	1b
3:	addq	$3, VMCB_RIP(%rbx)
	jmp	1b
nested_l1_end:

	.globl nested_l2, nested_l2_end
nested_l2:
	mov	$7, %eax
	cpuid
	mov	$5, %eax	/* KVM's kick-cpu; L1 is another hypervisor */
	vmmcall
	mov	$L2_PORT, %dx
	out	%al, %dx
	hlt
nested_l2_end:

	.section .note.GNU-stack, "", @progbits
