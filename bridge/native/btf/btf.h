/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open BTF, and the search in it that signature.c and member.c share. */
#ifndef KVMLOG_NATIVE_BTF_H
#define KVMLOG_NATIVE_BTF_H

#include <bpf/btf.h>

#include "api.h"

enum {
	KVMLOG_BTF_MODULES = 8,
	KVMLOG_BTF_DEPTH = 16, /* of nested types; the kernel's own signatures need 4 */
	KVMLOG_BTF_NAME_BYTES = 128,
};

/* The struct that was searched last, and where it was found. */
struct kvmlog_btf_struct {
	char name[KVMLOG_BTF_NAME_BYTES];
	const struct btf *in; /* NULL: nowhere */
	__u32 id;
};

/* vmlinux, and the modules whose BTF builds on it. */
struct kvmlog_btf {
	struct btf *vmlinux;
	struct btf *modules[KVMLOG_BTF_MODULES];
	int count;
	struct kvmlog_btf_struct last;
};

__u32 kvmlog_btf_find_own(const struct kvmlog_btf *btf, const struct btf *in, const char *name,
			  __u32 kind);

#endif
