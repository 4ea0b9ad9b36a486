// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of the kernel that this module was built for. A module that was copied to
 * another release would read at wrong offsets, with interrupts off; the running kernel's
 * BTF says where its fields are.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cgroup.h>
#include <linux/kernfs.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>

#include <kvmlog/netlink.h>

#include "compat/kernel.h"
#include "compat/kvm.h"
#include "fields.h"

#define FIELD(type, member)                                                                     \
	{ #type "." #member, offsetof(struct type, member), sizeof_field(struct type, member),  \
	  #type "." #member " lies elsewhere in the running kernel than kvmlog was built for; " \
		"rebuild kvmlog for this kernel" },
#define KVM_FIELD(name, type, member) FIELD(type, member)

static const struct kvmlog_field fields[] = { KVMLOG_KVM_FIELDS(KVM_FIELD)
						      KVMLOG_TASK_FIELDS(FIELD) };

const struct kvmlog_field *kvmlog_fields_at(unsigned int index)
{
	return index < ARRAY_SIZE(fields) ? &fields[index] : NULL;
}

int kvmlog_fields_check(const char *name, u32 offset, u32 bytes, struct netlink_ext_ack *extack)
{
	int i;

	BUILD_BUG_ON(ARRAY_SIZE(fields) > KVMLOG_MAX_FIELDS);
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct kvmlog_field *field = &fields[i];

		if (strcmp(field->name, name))
			continue;
		if (field->offset == offset && field->bytes == bytes)
			return 0;
		pr_err("%s is %u bytes at %u in the running kernel, kvmlog was built for %u at %u\n",
		       name, bytes, offset, field->bytes, field->offset);
		kvmlog_set_extack(extack, field->mismatch);
		return -EPROTO;
	}
	return 0;
}
