// SPDX-License-Identifier: GPL-2.0-or-later
/* Where the running kernel's structures have their members, as its BTF says. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "btf/btf.h"

static const struct btf_type *resolve(const struct btf *btf, __u32 id)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	for (int depth = 0; type && depth < KVMLOG_BTF_DEPTH; depth++) {
		if (!btf_is_mod(type) && !btf_is_typedef(type) && !btf_is_type_tag(type))
			return type;
		type = btf__type_by_id(btf, type->type);
	}
	return NULL;
}

/*
 * The member @name of @type, looked for in its unnamed structs and unions too; *bits
 * grows by its offset. NULL: none.
 */
static const struct btf_member *find_member(const struct btf *btf, const struct btf_type *type,
					    const char *name, __u32 *bits, int depth)
{
	const struct btf_member *members = btf_members(type);

	for (int i = 0; i < btf_vlen(type); i++) {
		const char *found = btf__name_by_offset(btf, members[i].name_off);
		__u32 offset = btf_member_bit_offset(type, i);
		const struct btf_member *inner;
		const struct btf_type *to;

		if (found && *found) {
			if (strcmp(found, name))
				continue;
			if (btf_member_bitfield_size(type, i))
				return NULL;
			*bits += offset;
			return &members[i];
		}
		to = resolve(btf, members[i].type);
		if (!to || !btf_is_composite(to) || depth == KVMLOG_BTF_DEPTH)
			continue;
		*bits += offset;
		inner = find_member(btf, to, name, bits, depth + 1);
		if (inner)
			return inner;
		*bits -= offset;
	}
	return NULL;
}

static int member_in(const struct btf *btf, const struct btf_type *type, const char *path,
		     __u32 *offset, __u32 *bytes)
{
	char name[KVMLOG_BTF_NAME_BYTES];
	const struct btf_member *member;
	__s64 size;
	__u32 bits = 0;

	for (;;) {
		size_t length = strcspn(path, ".");

		if (length >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, length);
		name[length] = 0;
		if (!type || !btf_is_composite(type))
			return -ENOENT;
		member = find_member(btf, type, name, &bits, 0);
		if (!member)
			return -ENOENT;
		if (!path[length])
			break;
		type = resolve(btf, member->type);
		path += length + 1;
	}
	size = btf__resolve_size(btf, member->type);
	if (size < 0)
		return (int)size;
	*offset = bits / 8;
	*bytes = (__u32)size;
	return 0;
}

/* The newest module that has the struct, or vmlinux. */
static const struct btf *search_struct(const struct kvmlog_btf *btf, const char *name, __u32 *id)
{
	for (int i = btf->count; i >= 0; i--) {
		const struct btf *in = i ? btf->modules[i - 1] : btf->vmlinux;

		*id = kvmlog_btf_find_own(btf, in, name, BTF_KIND_STRUCT);
		if (*id)
			return in;
	}
	return NULL;
}

/* The same; members are asked for struct by struct, and a search takes a millisecond. */
static const struct btf *find_struct(struct kvmlog_btf *btf, const char *name, __u32 *id)
{
	struct kvmlog_btf_struct *last = &btf->last;

	if (!last->in || strcmp(last->name, name)) {
		if (strlen(name) >= sizeof(last->name))
			return NULL;
		last->in = search_struct(btf, name, &last->id);
		strcpy(last->name, name);
	}
	*id = last->id;
	return last->in;
}

/*
 * Offset and size in bytes of member @path ("arch.regs") of struct @name. -ESRCH: no such
 * struct; -ENOENT: it has no such member, or that is a bit field.
 */
int kvmlog_btf_member(struct kvmlog_btf *btf, const char *name, const char *path, __u32 *offset,
		      __u32 *bytes)
{
	__u32 id;
	const struct btf *in = find_struct(btf, name, &id);

	return in ? member_in(in, btf__type_by_id(in, id), path, offset, bytes) : -ESRCH;
}

/*
 * The id of tracepoint @name's type, for attaching to it with its BTF. *module: how
 * many-th that was added it is of, -1 for the kernel itself.
 */
int kvmlog_btf_tracepoint(struct kvmlog_btf *btf, const char *name, int *module)
{
	char alias[KVMLOG_BTF_NAME_BYTES];

	if (snprintf(alias, sizeof(alias), "btf_trace_%s", name) >= (int)sizeof(alias))
		return -ENAMETOOLONG;
	for (int i = btf->count; i >= 0; i--) {
		const struct btf *in = i ? btf->modules[i - 1] : btf->vmlinux;
		__u32 id = kvmlog_btf_find_own(btf, in, alias, BTF_KIND_TYPEDEF);

		if (id) {
			*module = i - 1;
			return (int)id;
		}
	}
	return -ENOENT;
}
