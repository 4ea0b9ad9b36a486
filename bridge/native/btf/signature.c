// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the running kernel's BTF says about a tracepoint's or a function's
 * parameters, as one canonical text: types joined by ", ", typedefs resolved
 * down to what they stand for, "struct kvm_vcpu *", "long long unsigned int".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "btf/btf.h"

struct text {
	char *to;
	__u64 bytes;
	__u64 used;
};

static int put(struct text *text, const char *part)
{
	__u64 length = strlen(part);

	if (text->used + length + 1 > text->bytes)
		return -ENOSPC;
	memcpy(text->to + text->used, part, length + 1);
	text->used += length;
	return 0;
}

static int put_two(struct text *text, const char *first, const char *second)
{
	int rc = put(text, first);

	return rc ? rc : put(text, second);
}

static int put_type(const struct btf *btf, __u32 id, struct text *text, int depth);

static int put_pointer(const struct btf *btf, __u32 id, struct text *text, int depth)
{
	const struct btf_type *to = btf__type_by_id(btf, id);
	int rc;

	if (id && to && btf_is_func_proto(to))
		return put(text, "function *");
	rc = put_type(btf, id, text, depth);
	if (rc)
		return rc;
	return put(text, text->used && text->to[text->used - 1] == '*' ? "*" : " *");
}

/* A qualifier stands in front of what it qualifies, behind the star of a pointer. */
static int put_qualified(const struct btf *btf, const char *word, __u32 id, struct text *text,
			 int depth)
{
	const struct btf_type *to = btf__type_by_id(btf, id);
	int rc;

	if (id && to && btf_is_ptr(to)) {
		rc = put_type(btf, id, text, depth);
		return rc ? rc : put_two(text, " ", word);
	}
	rc = put_two(text, word, " ");
	return rc ? rc : put_type(btf, id, text, depth);
}

static int put_named(const struct btf *btf, const char *word, const struct btf_type *type,
		     struct text *text)
{
	const char *name = btf__name_by_offset(btf, type->name_off);

	return put_two(text, word, name && *name ? name : "{}");
}

static int put_type(const struct btf *btf, __u32 id, struct text *text, int depth)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	if (id == 0)
		return put(text, "void");
	if (!type || depth > KVMLOG_BTF_DEPTH)
		return -EINVAL;
	depth++;

	switch (btf_kind(type)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_TYPE_TAG:
		return put_type(btf, type->type, text, depth);
	case BTF_KIND_PTR:
		return put_pointer(btf, type->type, text, depth);
	case BTF_KIND_CONST:
		return put_qualified(btf, "const", type->type, text, depth);
	case BTF_KIND_VOLATILE:
		return put_qualified(btf, "volatile", type->type, text, depth);
	case BTF_KIND_RESTRICT:
		return put_qualified(btf, "restrict", type->type, text, depth);
	case BTF_KIND_STRUCT:
		return put_named(btf, "struct ", type, text);
	case BTF_KIND_UNION:
		return put_named(btf, "union ", type, text);
	case BTF_KIND_FWD:
		return put_named(btf, btf_kflag(type) ? "union " : "struct ", type, text);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return put_named(btf, "enum ", type, text);
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
		return put_named(btf, "", type, text);
	default:
		return -EINVAL;
	}
}

static int put_parameters(const struct btf *btf, const struct btf_type *prototype, int skip,
			  struct text *text)
{
	const struct btf_param *parameters = btf_params(prototype);
	int count = btf_vlen(prototype);
	int rc;

	for (int i = skip; i < count; i++) {
		rc = i > skip ? put(text, ", ") : 0;
		if (rc)
			return rc;
		/* A last parameter of no type and no name is "...". */
		if (!parameters[i].type && !parameters[i].name_off)
			rc = put(text, "...");
		else
			rc = put_type(btf, parameters[i].type, text, 0);
		if (rc)
			return rc;
	}
	return count <= skip ? put(text, "void") : 0;
}

/* Tracepoint @name: typedef void (*btf_trace_NAME)(void *data, parameters). */
static int tracepoint_prototype(const struct kvmlog_btf *btf, const struct btf *in,
				const char *name, const struct btf_type **prototype)
{
	char alias[KVMLOG_BTF_NAME_BYTES];
	const struct btf_type *type;
	__u32 id;

	if (snprintf(alias, sizeof(alias), "btf_trace_%s", name) >= (int)sizeof(alias))
		return -ENAMETOOLONG;
	id = kvmlog_btf_find_own(btf, in, alias, BTF_KIND_TYPEDEF);
	if (!id)
		return -ENOENT;
	type = btf__type_by_id(in, btf__type_by_id(in, id)->type);
	if (!type || !btf_is_ptr(type))
		return -EINVAL;
	*prototype = btf__type_by_id(in, type->type);
	return *prototype && btf_is_func_proto(*prototype) ? 0 : -EINVAL;
}

static int function_prototype(const struct kvmlog_btf *btf, const struct btf *in, const char *name,
			      const struct btf_type **prototype)
{
	__u32 id = kvmlog_btf_find_own(btf, in, name, BTF_KIND_FUNC);

	if (!id)
		return -ENOENT;
	*prototype = btf__type_by_id(in, btf__type_by_id(in, id)->type);
	return *prototype && btf_is_func_proto(*prototype) ? 0 : -EINVAL;
}

/* -ENOENT: neither a tracepoint nor a function of that name; -ENOSPC: @text is too short. */
int kvmlog_btf_signature(struct kvmlog_btf *btf, const char *name, char *text, __u64 text_bytes)
{
	struct text out = { text, text_bytes, 0 };

	for (int i = btf->count; i >= 0; i--) {
		const struct btf *in = i ? btf->modules[i - 1] : btf->vmlinux;
		const struct btf_type *prototype = NULL;
		int rc = tracepoint_prototype(btf, in, name, &prototype);

		if (!rc)
			return put_parameters(in, prototype, 1, &out);
		if (rc != -ENOENT)
			return rc;
		rc = function_prototype(btf, in, name, &prototype);
		if (!rc)
			return put_parameters(in, prototype, 0, &out);
		if (rc != -ENOENT)
			return rc;
	}
	return -ENOENT;
}
