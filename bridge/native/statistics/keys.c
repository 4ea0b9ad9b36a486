// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys that details are counted under: exact, or a range where there are too many. */
#include <linux/kvm.h>

#include <kvmlog/reasons.h>

#include "statistics/entry.h"
#include "statistics/map.h"

enum {
	GIB_SHIFT = 30,
	/* I/O APIC, HPET and local APIC, which KVM emulates (Intel SDM vol. 3, 11.4; chipsets). */
	PLATFORM_START = 0xfec00000U,
	PLATFORM_END = 0xfef00000U,
	/* PCI's configuration space (ECAM) as SeaBIOS puts it in QEMU's q35, and OVMF does. */
	ECAM_BITS = 28,
	ECAM_SEABIOS = 0xb0000000U >> ECAM_BITS,
	ECAM_OVMF = 0xe0000000U >> ECAM_BITS,
	/* Of one function in PCI's configuration space, and more than most devices' registers. */
	DEVICE_BYTES = 4096,
};

/*
 * Whether CPUID looks at ECX for this leaf: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
 * For all others it holds what the guest left in it.
 */
int kvmlog_cpuid_has_subleaves(__u32 leaf)
{
	switch (leaf) {
	case 0x04:	 /* caches */
	case 0x07:	 /* features */
	case 0x0b:	 /* topology */
	case 0x0d:	 /* XSAVE */
	case 0x0f:	 /* resource monitoring */
	case 0x10:	 /* resource allocation */
	case 0x12:	 /* SGX */
	case 0x14:	 /* processor trace */
	case 0x17:	 /* vendor of a SoC */
	case 0x18:	 /* TLBs */
	case 0x1a:	 /* hybrid */
	case 0x1b:	 /* PCONFIG */
	case 0x1d:	 /* AMX tiles */
	case 0x1e:	 /* AMX TMUL */
	case 0x1f:	 /* topology */
	case 0x20:	 /* history reset */
	case 0x23:	 /* performance monitoring */
	case 0x24:	 /* AVX10 */
	case 0x27:	 /* resource monitoring, asymmetric */
	case 0x28:	 /* resource allocation, asymmetric */
	case 0x29:	 /* APX */
	case 0x8000001d: /* AMD: caches */
	case 0x80000020: /* AMD: resources */
	case 0x80000026: /* AMD: topology */
		return 1;
	}
	return 0;
}

static int is_cpuid(const struct kvmlog_alike *alike)
{
	return (alike->isa == KVMLOG_ISA_VMX && alike->reason == KVMLOG_VMX_CPUID) ||
	       (alike->isa == KVMLOG_ISA_SVM && alike->reason == KVMLOG_SVM_CPUID);
}

/* Whether the detail is an address of which there are too many, unless it is a device's. */
static int is_memory(const struct kvmlog_alike *alike)
{
	if (alike->isa == KVMLOG_ISA_VMX)
		return alike->reason == KVMLOG_VMX_EPT_VIOLATION ||
		       alike->reason == KVMLOG_VMX_INVLPG;
	return alike->isa == KVMLOG_ISA_SVM &&
	       (alike->reason == KVMLOG_SVM_NPF || alike->reason == KVMLOG_SVM_INVLPG);
}

/*
 * Whether it accessed the memory of a device of a PC that the VMM has. Addresses of a nested
 * guest are its own, and the devices there its hypervisor's.
 */
static int is_mmio(const struct kvmlog_alike *alike)
{
	return !(alike->flags & KVMLOG_F_NESTED) && kvmlog_is_address(alike->isa, alike->reason) &&
	       (alike->user_reason == KVM_EXIT_MMIO || alike->reason == KVMLOG_VMX_EPT_MISCONFIG);
}

static int is_ecam(__u64 address)
{
	return address >> ECAM_BITS == ECAM_SEABIOS || address >> ECAM_BITS == ECAM_OVMF;
}

static void take_page(struct kvmlog_statistics_key *key)
{
	key->detail -= key->detail % DEVICE_BYTES;
	key->detail_kind = KVMLOG_STATISTICS_DETAIL_DEVICE;
}

/* The leaf, with the subleaf where it has some; those where hypervisors are looked for are one. */
static void take_leaf(struct kvmlog_statistics_key *key)
{
	__u32 leaf = (__u32)key->detail;

	if (leaf >= KVMLOG_CPUID_SEARCHED && leaf <= KVMLOG_CPUID_SEARCHED_LAST) {
		key->detail = KVMLOG_CPUID_SEARCHED;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_REGION;
	} else if (!kvmlog_cpuid_has_subleaves(leaf)) {
		key->detail = leaf;
	}
}

/*
 * Fills in the detail of @key. Memory has too many addresses: only those of devices are kept
 * as they are, as far as an exit tells that it is a device's.
 */
void kvmlog_alike_detail(const struct kvmlog_alike *alike,
			 const struct kvmlog_statistics_entry *entry,
			 struct kvmlog_statistics_key *key)
{
	if (!(alike->flags & KVMLOG_F_DETAIL_VALID)) {
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_NONE;
		return;
	}
	key->detail = entry->detail;
	key->detail_kind = KVMLOG_STATISTICS_DETAIL_EXACT;
	if (is_cpuid(alike)) {
		take_leaf(key);
	} else if (is_mmio(alike) && is_ecam(key->detail)) {
		take_page(key);
	} else if (is_memory(alike) && alike->user_reason != KVM_EXIT_MMIO &&
		   (key->detail < PLATFORM_START || key->detail >= PLATFORM_END)) {
		key->detail = key->detail >> GIB_SHIFT << GIB_SHIFT;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_REGION;
	}
}

/* Makes @key, of exits that are alike, that of a page of devices. False: it cannot be one. */
int kvmlog_alike_widen(const struct kvmlog_alike *alike, struct kvmlog_statistics_key *key)
{
	if (key->detail_kind != KVMLOG_STATISTICS_DETAIL_EXACT || !is_mmio(alike))
		return 0;
	take_page(key);
	return 1;
}
