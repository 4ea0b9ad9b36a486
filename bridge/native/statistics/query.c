// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Groups of a copy's rows: what was asked apart is a group of its own, the rest is added
 * up. With an earlier copy: only what came since.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "statistics/query.h"

static int kind_read(__u32 by)
{
	if (by & KVMLOG_BY_VCPU)
		return KVMLOG_STATISTICS_VCPU;
	if (by & KVMLOG_BY_DETAIL)
		return KVMLOG_STATISTICS_DETAIL;
	if (by & KVMLOG_BY_RETURN)
		return KVMLOG_STATISTICS_RETURN;
	return KVMLOG_STATISTICS_REASON;
}

static int wanted(const struct kvmlog_query *query, const struct kvmlog_statistics_key *key)
{
	const __u8 *guests = query->question->guests;

	/* The rest stands in no file, unless somebody else wrote it. */
	return key->kind == query->kind && !kvmlog_is_rest(key) &&
	       key->guest < query->now->layout.guests_capacity && (!guests || guests[key->guest]);
}

static int collect(struct kvmlog_query *query)
{
	const struct kvmlog_statistics_map *now = query->now;
	__u32 reasons = now->header->reasons_used, rows = now->header->rows_used;

	query->sources = calloc((size_t)reasons + rows + 1, sizeof(*query->sources));
	if (!query->sources)
		return -ENOMEM;
	if (query->kind == KVMLOG_STATISTICS_REASON) {
		for (__u32 i = 0; i < reasons; i++)
			if (wanted(query, &now->reasons[i].key))
				kvmlog_query_take(query, &now->reasons[i].key, i);
		return 0;
	}
	for (__u32 i = 0; i < rows; i++)
		if (wanted(query, &now->rows[i].key))
			kvmlog_query_take(query, &now->rows[i].key, i);
	return query->kind == KVMLOG_STATISTICS_DETAIL ? kvmlog_query_rest(query) : 0;
}

/* The first address of the device that has this one. */
static __u64 device_of(const struct kvmlog_statistics_question *question, __u64 address)
{
	__u32 low = 0, high = question->regions_count;

	while (low < high) {
		__u32 middle = low + (high - low) / 2;

		if (question->regions[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == question->regions_count || address < question->regions[low].first)
		return address;
	if (!question->regions[low].each)
		return question->regions[low].first;
	return address - (address - question->regions[low].first) % question->regions[low].each;
}

/* The key with what is not asked apart blotted out. */
static struct kvmlog_statistics_key group_key(const struct kvmlog_query *query,
					      const struct kvmlog_statistics_key *key)
{
	struct kvmlog_statistics_key group = { .flags = key->flags, .kind = key->kind };

	if (query->question->by & KVMLOG_BY_GUEST)
		group.guest = key->guest;
	if (query->question->by & KVMLOG_BY_REASON) {
		group.isa = key->isa;
		group.reason = key->reason;
	}
	group.vcpu = key->vcpu;
	group.detail = key->detail;
	group.detail_kind = key->detail_kind;
	group.user_reason = key->user_reason;
	/* In a nested guest other devices are there. */
	if (query->question->regions_count && !(key->flags & KVMLOG_STATISTICS_NESTED) &&
	    kvmlog_is_address(key->isa, key->reason) &&
	    (key->detail_kind == KVMLOG_STATISTICS_DETAIL_EXACT ||
	     key->detail_kind == KVMLOG_STATISTICS_DETAIL_DEVICE)) {
		group.detail = device_of(query->question, key->detail);
		group.detail_kind = KVMLOG_STATISTICS_DETAIL_DEVICE;
	}
	return group;
}

static void group_of(struct kvmlog_query *query, struct kvmlog_query_source *source)
{
	struct kvmlog_statistics_key key = group_key(query, source->key);
	__u32 at = kvmlog_query_hash(&key) & query->hash_mask;
	struct kvmlog_query_group *group;

	while (query->hash[at] &&
	       memcmp(&query->groups[query->hash[at] - 1].key, &key, sizeof(key)))
		at = (at + 1) & query->hash_mask;
	if (!query->hash[at]) {
		group = &query->groups[query->groups_count++];
		group->key = key;
		group->sums.min_ns = ~0ULL;
		query->hash[at] = query->groups_count;
	}
	source->group = query->hash[at] - 1;
	group = &query->groups[source->group];
	group->sources++;
	/* Nor are those of the rest. */
	group->since |= (__u32)source->since | (__u32)kvmlog_is_rest(source->key);
	kvmlog_sums_add(&group->sums, &source->sums);
}

/* Groups, and the sources of each side by side in query->order. */
static int make_groups(struct kvmlog_query *query)
{
	__u32 size = 64, at = 0;

	while (size < query->sources_count * 2)
		size *= 2;
	query->hash_mask = size - 1;
	query->hash = calloc(size, sizeof(*query->hash));
	query->groups = calloc((size_t)query->sources_count + 1, sizeof(*query->groups));
	query->order = calloc((size_t)query->sources_count + 1, sizeof(*query->order));
	if (!query->hash || !query->groups || !query->order)
		return -ENOMEM;
	for (__u32 i = 0; i < query->sources_count; i++)
		if (query->sources[i].sums.count)
			group_of(query, &query->sources[i]);
	for (__u32 i = 0; i < query->groups_count; i++) {
		query->groups[i].first = at;
		at += query->groups[i].sources;
	}
	for (__u32 i = query->sources_count; i-- > 0;) {
		struct kvmlog_query_group *group = &query->groups[query->sources[i].group];

		if (!query->sources[i].sums.count)
			continue;
		query->order[group->first + --group->sources] = i;
	}
	for (__u32 i = 0; i < query->sources_count; i++)
		if (query->sources[i].sums.count)
			query->groups[query->sources[i].group].sources++;
	return 0;
}

static void tell(struct kvmlog_query *query, __u32 number, struct kvmlog_statistics_group *out)
{
	struct kvmlog_query_group *group = &query->groups[number];
	__u64 *octaves = query->question->octaves;

	if (octaves) {
		octaves += (size_t)number * KVMLOG_HISTOGRAM_OCTAVES;
		memset(octaves, 0, KVMLOG_HISTOGRAM_OCTAVES * sizeof(*octaves));
	}
	memset(out, 0, sizeof(*out));
	kvmlog_query_measure(query, group, out, octaves);
	out->guest = group->key.guest;
	out->vcpu = group->key.vcpu;
	out->isa = group->key.isa;
	out->reason = group->key.reason;
	out->nested = !!(group->key.flags & KVMLOG_STATISTICS_NESTED);
	out->handler = kvmlog_key_handler(group->key.flags);
	out->halt = !!(group->key.flags & KVMLOG_STATISTICS_HALT);
	out->detail = group->key.detail;
	out->detail_kind = group->key.detail_kind;
	out->user_reason = group->key.user_reason;
	out->sums = group->sums;
	out->rough = query->kind != KVMLOG_STATISTICS_REASON;
}

/*
 * The groups of @now, or of what it has more than @base (NULL: all), into @groups. Returns
 * how many groups; -ENOSPC: more than @capacity.
 */
__s64 kvmlog_statistics_query(const struct kvmlog_statistics_map *now,
			      const struct kvmlog_statistics_map *base,
			      const struct kvmlog_statistics_question *question,
			      struct kvmlog_statistics_group *groups, __u32 capacity)
{
	struct kvmlog_query *query = calloc(1, sizeof(*query));
	__s64 result;
	int rc;

	if (!query)
		return -ENOMEM;
	query->now = now;
	/* Of another file of that id it would be too short. */
	query->base = base && base->layout.file_bytes == now->layout.file_bytes ? base : NULL;
	query->question = question;
	query->kind = kind_read(question->by);
	rc = collect(query);
	if (!rc)
		rc = make_groups(query);
	if (!rc && query->groups_count > capacity)
		rc = -ENOSPC;
	for (__u32 i = 0; !rc && i < query->groups_count; i++)
		tell(query, i, &groups[i]);
	result = rc ? rc : (__s64)query->groups_count;
	free(query->order);
	free(query->groups);
	free(query->hash);
	free(query->rest_keys);
	free(query->sources);
	free(query);
	return result;
}
