/* SPDX-License-Identifier: GPL-2.0-only */
/* Where this module was compiled to find what it reads of KVM's and the scheduler's structures. */
#ifndef _KVMLOG_FIELDS_H
#define _KVMLOG_FIELDS_H

#include <linux/types.h>

struct netlink_ext_ack;

struct kvmlog_field {
	const char *name; /* "kvm_vcpu.arch.regs" */
	u32 offset;	  /* bytes from the start of the structure */
	u32 bytes;
	const char *mismatch;
};

/* NULL: no such index. */
const struct kvmlog_field *kvmlog_fields_at(unsigned int index);
/* -EPROTO when the running kernel has @name elsewhere, or larger or smaller. Unknown names pass. */
int kvmlog_fields_check(const char *name, u32 offset, u32 bytes, struct netlink_ext_ack *extack);

#endif
