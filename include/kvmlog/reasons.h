/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit reasons that code depends on, for module, BPF programs, extension and, through
 * the extension's cdef, Python. The names after the prefix are those of <asm/vmx.h>
 * (EXIT_REASON_*) and <asm/svm.h> (SVM_EXIT_*), with which a test compares the numbers;
 * these headers themselves do not exist on arm64, and differ by kernel.
 */
#ifndef _KVMLOG_REASONS_H
#define _KVMLOG_REASONS_H

/* Intel SDM vol. 3, appendix C. */
enum kvmlog_vmx_reason {
	KVMLOG_VMX_EXCEPTION_NMI = 0,
	KVMLOG_VMX_EXTERNAL_INTERRUPT = 1,
	KVMLOG_VMX_CPUID = 10,
	KVMLOG_VMX_HLT = 12,
	KVMLOG_VMX_INVLPG = 14,
	KVMLOG_VMX_VMCALL = 18,
	KVMLOG_VMX_CR_ACCESS = 28,
	KVMLOG_VMX_DR_ACCESS = 29,
	KVMLOG_VMX_IO_INSTRUCTION = 30,
	KVMLOG_VMX_MSR_READ = 31,
	KVMLOG_VMX_MSR_WRITE = 32,
	KVMLOG_VMX_EOI_INDUCED = 45,
	KVMLOG_VMX_EPT_VIOLATION = 48,
	KVMLOG_VMX_EPT_MISCONFIG = 49,
};

/* The reason without the flags in its high half: entry failure, SGX, ... */
enum {
	KVMLOG_VMX_BASIC_MASK = 0xffff,
};

/* AMD APM vol. 2, appendix C. */
enum kvmlog_svm_reason {
	KVMLOG_SVM_READ_CR0 = 0x00, /* reads 0x00-0x0f, writes 0x10-0x1f */
	KVMLOG_SVM_READ_DR0 = 0x20, /* reads 0x20-0x2f, writes 0x30-0x3f */
	KVMLOG_SVM_EXCP_BASE = 0x40,
	KVMLOG_SVM_LAST_EXCP = 0x5f,
	KVMLOG_SVM_CPUID = 0x72,
	KVMLOG_SVM_HLT = 0x78,
	KVMLOG_SVM_INVLPG = 0x79,
	KVMLOG_SVM_IOIO = 0x7b,
	KVMLOG_SVM_MSR = 0x7c,
	KVMLOG_SVM_VMMCALL = 0x81,
	KVMLOG_SVM_IDLE_HLT = 0xa6, /* since Linux 6.16 */
	KVMLOG_SVM_NPF = 0x400,
};

/* Arm ARM (DDI 0487), ESR_EL2.EC. */
enum kvmlog_arm64_reason {
	KVMLOG_ARM64_WFX = 0x01,
};

#endif
