// SPDX-License-Identifier: GPL-2.0-or-later
/* The running kernel's BTF: opened with that of its modules, and searched by name. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "btf/btf.h"

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

/* NULL with *error set to -errno. @vmlinux_path: usually /sys/kernel/btf/vmlinux. */
struct kvmlog_btf *kvmlog_btf_open(const char *vmlinux_path, int *error)
{
	struct kvmlog_btf *btf = calloc(1, sizeof(*btf));

	if (!btf) {
		*error = -ENOMEM;
		return NULL;
	}
	libbpf_set_print(quiet);
	btf->vmlinux = btf__parse(vmlinux_path, NULL);
	if (!btf->vmlinux) {
		*error = -errno;
		free(btf);
		return NULL;
	}
	return btf;
}

void kvmlog_btf_close(struct kvmlog_btf *btf)
{
	if (!btf)
		return;
	for (int i = 0; i < btf->count; i++)
		btf__free(btf->modules[i]);
	btf__free(btf->vmlinux);
	free(btf);
}

/* Adds a loaded module's BTF, searched before those added earlier. -ENOENT: it has none. */
int kvmlog_btf_module(struct kvmlog_btf *btf, const char *name)
{
	struct btf *module;

	if (btf->count == KVMLOG_BTF_MODULES)
		return -ENOSPC;
	module = btf__load_module_btf(name, btf->vmlinux);
	if (!module)
		return -errno;
	btf->modules[btf->count++] = module;
	btf->last.in = NULL; /* it may have a struct of that name */
	return 0;
}

/*
 * The type of that name among @in's own, without those it builds on: 0 when none.
 * libbpf's search would go through all of vmlinux again for each module.
 */
__u32 kvmlog_btf_find_own(const struct kvmlog_btf *btf, const struct btf *in, const char *name,
			  __u32 kind)
{
	__u32 end = btf__type_cnt(in);

	for (__u32 id = in == btf->vmlinux ? 1 : btf__type_cnt(btf->vmlinux); id < end; id++) {
		const struct btf_type *type = btf__type_by_id(in, id);
		const char *found;

		if (btf_kind(type) != kind)
			continue;
		found = btf__name_by_offset(in, type->name_off);
		if (found && !strcmp(found, name))
			return id;
	}
	return 0;
}
