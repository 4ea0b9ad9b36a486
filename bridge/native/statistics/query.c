// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Groups of a copy's rows: what was asked apart is a group of its own, the rest is added
 * up; percentiles from the histograms. With an earlier copy: only what came since.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "statistics/statistics.h"

/* Percentiles asked for, in thousandths; the fields of struct kvmlog_statistics_group. */
static const __u32 permille[] = { 500, 900, 990, 999 };

enum {
	PERCENTILES = sizeof(permille) / sizeof(*permille),
	STEPS = KVMLOG_HISTOGRAM_OCTAVES * KVMLOG_HISTOGRAM_STEPS,
};

/* A row, as far as grouping it needs. */
struct source {
	const struct kvmlog_statistics_key *key;
	struct kvmlog_statistics_sums sums;
	__u32 number; /* in its table */
	__u32 group;
	int since; /* the earlier copy has it too */
};

/* Rows whose keys are the same but for what is not asked apart. */
struct group {
	struct kvmlog_statistics_key key;
	struct kvmlog_statistics_sums sums;
	__u32 sources;
	__u32 since; /* of some of them a part is left out: extremes are not known */
	__u32 first; /* in query.order */
};

struct query {
	const struct kvmlog_statistics_map *now, *base;
	__u32 by; /* enum kvmlog_statistics_by */
	int kind; /* enum kvmlog_statistics_kind that is read */
	struct source *sources;
	__u32 sources_count;
	struct group *groups;
	__u32 groups_count;
	__u32 *hash;
	__u32 hash_mask;
	__u32 *order;			 /* sources, by group */
	__u32 first_octave, last_octave; /* that counts has something in */
	__u64 counts[STEPS];		 /* or, of rows that know no more, of octaves */
};

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

static void subtract(struct kvmlog_statistics_sums *sums, const struct kvmlog_statistics_sums *less)
{
	sums->count -= less->count;
	sums->total_ns -= less->total_ns;
	sums->kvm_ns -= less->kvm_ns;
	sums->vmm_ns -= less->vmm_ns;
	sums->wait_ns -= less->wait_ns;
	sums->idle_ns -= less->idle_ns;
	sums->paused_ns -= less->paused_ns;
}

/* Whether it is still the guest that had this place then. */
static int same_guest(const struct query *query, __u32 number)
{
	return query->base->guests[number].turn == query->now->guests[number].turn;
}

/* What @number counted since the earlier copy; another key there: it has no past. */
static void take_source(struct query *query, const struct kvmlog_statistics_key *key,
			const struct kvmlog_statistics_sums *sums, __u32 number,
			const struct kvmlog_statistics_key *base_key,
			const struct kvmlog_statistics_sums *base_sums)
{
	struct source *source = &query->sources[query->sources_count];

	source->key = key;
	source->sums = *sums;
	source->number = number;
	source->since = base_key && !memcmp(base_key, key, sizeof(*key)) &&
			same_guest(query, key->guest);
	if (source->since)
		subtract(&source->sums, base_sums);
	if (source->sums.count)
		query->sources_count++;
}

static int wanted(const struct query *query, const struct kvmlog_statistics_key *key,
		  const __u8 *guests)
{
	return key->kind == query->kind && key->guest < query->now->layout.guests_capacity &&
	       (!guests || guests[key->guest]);
}

static int collect(struct query *query, const __u8 *guests)
{
	const struct kvmlog_statistics_map *now = query->now, *base = query->base;
	__u32 reasons = now->header->reasons_used, rows = now->header->rows_used;

	query->sources = calloc((size_t)reasons + rows + 1, sizeof(*query->sources));
	if (!query->sources)
		return -ENOMEM;
	if (query->kind == KVMLOG_STATISTICS_REASON) {
		for (__u32 i = 0; i < reasons; i++)
			if (wanted(query, &now->reasons[i].key, guests))
				take_source(query, &now->reasons[i].key, &now->reasons[i].sums, i,
					    base ? &base->reasons[i].key : NULL,
					    base ? &base->reasons[i].sums : NULL);
		return 0;
	}
	for (__u32 i = 0; i < rows; i++)
		if (wanted(query, &now->rows[i].key, guests))
			take_source(query, &now->rows[i].key, &now->rows[i].sums, i,
				    base ? &base->rows[i].key : NULL,
				    base ? &base->rows[i].sums : NULL);
	return 0;
}

/* The key with what is not asked apart blotted out. */
static struct kvmlog_statistics_key group_key(const struct query *query,
					      const struct kvmlog_statistics_key *key)
{
	struct kvmlog_statistics_key group = { .flags = key->flags, .kind = key->kind };

	if (query->by & KVMLOG_BY_GUEST)
		group.guest = key->guest;
	if (query->by & KVMLOG_BY_REASON) {
		group.isa = key->isa;
		group.reason = key->reason;
	}
	group.vcpu = key->vcpu;
	group.detail = key->detail;
	group.detail_kind = key->detail_kind;
	group.user_reason = key->user_reason;
	return group;
}

static __u32 hash_of(const struct kvmlog_statistics_key *key)
{
	__u64 words[3], hash = 0;

	memcpy(words, key, sizeof(words));
	for (int i = 0; i < 3; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (__u32)hash;
}

static void group_of(struct query *query, struct source *source)
{
	struct kvmlog_statistics_key key = group_key(query, source->key);
	__u32 at = hash_of(&key) & query->hash_mask;
	struct group *group;

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
	group->since |= (__u32)source->since;
	kvmlog_sums_add(&group->sums, &source->sums);
}

/* Groups, and the sources of each side by side in query->order. */
static int make_groups(struct query *query)
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
		group_of(query, &query->sources[i]);
	for (__u32 i = 0; i < query->groups_count; i++) {
		query->groups[i].first = at;
		at += query->groups[i].sources;
	}
	for (__u32 i = query->sources_count; i-- > 0;) {
		struct group *group = &query->groups[query->sources[i].group];

		query->order[group->first + --group->sources] = i;
	}
	for (__u32 i = 0; i < query->sources_count; i++)
		query->groups[query->sources[i].group].sources++;
	return 0;
}

static const __u64 *block_of(const struct kvmlog_statistics_map *map, __u32 reason, __u32 octave)
{
	__u32 block = map->reasons[reason].blocks[octave];

	if (block == KVMLOG_NO_BLOCK || block >= map->layout.blocks_capacity)
		return NULL;
	return map->blocks[block].counts;
}

static void touch(struct query *query, __u32 octave)
{
	if (octave < query->first_octave)
		query->first_octave = octave;
	if (octave > query->last_octave)
		query->last_octave = octave;
}

static void add_histogram(struct query *query, const struct source *source)
{
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		const __u64 *counts = block_of(query->now, source->number, octave);
		const __u64 *before = source->since ? block_of(query->base, source->number, octave)
						    : NULL;
		__u64 *to = &query->counts[octave * KVMLOG_HISTOGRAM_STEPS];

		if (!counts)
			continue;
		touch(query, octave);
		for (__u32 step = 0; step < KVMLOG_HISTOGRAM_STEPS; step++)
			to[step] += counts[step] - (before ? before[step] : 0);
	}
}

static void add_octaves(struct query *query, const struct source *source)
{
	const __u64 *octaves = query->now->rows[source->number].octaves;
	const __u64 *before = source->since ? query->base->rows[source->number].octaves : NULL;

	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		if (!octaves[octave])
			continue;
		touch(query, octave);
		query->counts[octave] += octaves[octave] - (before ? before[octave] : 0);
	}
}

/* Middle of a step. */
static __u64 middle_of(__u32 index)
{
	__u32 octave = index / KVMLOG_HISTOGRAM_STEPS;
	__u64 step = index % KVMLOG_HISTOGRAM_STEPS;
	__u32 shift = octave ? octave - 1 : 0;

	return ((octave ? KVMLOG_HISTOGRAM_STEPS + step : step) << shift) +
	       ((1ULL << shift) - 1) / 2;
}

/* The longest that an octave holds. */
static __u64 end_of(__u32 octave)
{
	return ((__u64)KVMLOG_HISTOGRAM_STEPS << octave) - 1;
}

/* The smallest value that at least so many thousandths of the exits do not exceed. */
static void find_percentiles(const struct query *query, struct group *group, __u32 first, __u32 end,
			     __u64 (*value_of)(__u32), struct kvmlog_statistics_group *out)
{
	__u64 *percentiles[PERCENTILES] = { &out->p50_ns, &out->p90_ns, &out->p99_ns,
					    &out->p999_ns };
	__u64 all = 0, below = 0;
	__u32 next = 0, last = first;

	while (first < end && !query->counts[first])
		first++;
	for (__u32 i = first; i < end; i++) {
		all += query->counts[i];
		last = query->counts[i] ? i : last;
	}
	if (!all)
		return;
	if (group->since) {
		/* Extremes of a part of the time are not kept. */
		group->sums.min_ns = value_of(first);
		group->sums.max_ns = value_of(last);
	}
	for (__u32 i = first; i <= last && next < PERCENTILES; i++) {
		below += query->counts[i];
		while (next < PERCENTILES &&
		       (__uint128_t)below * 1000 >= (__uint128_t)all * permille[next]) {
			__u64 value = value_of(i);

			value = value > group->sums.max_ns ? group->sums.max_ns : value;
			value = value < group->sums.min_ns ? group->sums.min_ns : value;
			*percentiles[next++] = value;
		}
	}
}

static void measure(struct query *query, struct group *group, struct kvmlog_statistics_group *out)
{
	int rough = query->kind != KVMLOG_STATISTICS_REASON;
	__u32 steps = rough ? 1 : KVMLOG_HISTOGRAM_STEPS;
	__u32 first, end;

	query->first_octave = KVMLOG_HISTOGRAM_OCTAVES;
	query->last_octave = 0;
	for (__u32 i = 0; i < group->sources; i++) {
		const struct source *source = &query->sources[query->order[group->first + i]];

		if (rough)
			add_octaves(query, source);
		else
			add_histogram(query, source);
	}
	if (query->first_octave > query->last_octave) {
		/* No histogram: of a part of the time the extremes are not known. */
		if (group->since)
			group->sums.min_ns = group->sums.max_ns = 0;
		return;
	}
	first = query->first_octave * steps;
	end = (query->last_octave + 1) * steps;
	find_percentiles(query, group, first, end, rough ? end_of : middle_of, out);
	memset(&query->counts[first], 0, (end - first) * sizeof(*query->counts));
}

static void tell(struct query *query, struct group *group, struct kvmlog_statistics_group *out)
{
	memset(out, 0, sizeof(*out));
	measure(query, group, out);
	out->guest = group->key.guest;
	out->vcpu = group->key.vcpu;
	out->isa = group->key.isa;
	out->reason = group->key.reason;
	out->nested = !!(group->key.flags & KVMLOG_STATISTICS_NESTED);
	out->halt = !!(group->key.flags & KVMLOG_STATISTICS_HALT);
	out->detail = group->key.detail;
	out->detail_kind = group->key.detail_kind;
	out->user_reason = group->key.user_reason;
	out->sums = group->sums;
	out->rough = query->kind != KVMLOG_STATISTICS_REASON;
}

/*
 * The groups of @now, or of what it has more than @base (NULL: all), into @groups. @guests:
 * a 1 for each guest of the table that is asked for; NULL: all. Returns how many groups;
 * -ENOSPC: more than @capacity.
 */
__s64 kvmlog_statistics_query(const struct kvmlog_statistics_map *now,
			      const struct kvmlog_statistics_map *base, __u32 by,
			      const __u8 *guests, struct kvmlog_statistics_group *groups,
			      __u32 capacity)
{
	struct query *query = calloc(1, sizeof(*query));
	__s64 result;
	int rc;

	if (!query)
		return -ENOMEM;
	query->now = now;
	/* Of another file of that id it would be too short. */
	query->base = base && base->layout.file_bytes == now->layout.file_bytes ? base : NULL;
	query->by = by;
	query->kind = kind_read(by);
	rc = collect(query, guests);
	if (!rc)
		rc = make_groups(query);
	if (!rc && query->groups_count > capacity)
		rc = -ENOSPC;
	for (__u32 i = 0; !rc && i < query->groups_count; i++)
		tell(query, &query->groups[i], &groups[i]);
	result = rc ? rc : (__s64)query->groups_count;
	free(query->order);
	free(query->groups);
	free(query->hash);
	free(query->sources);
	free(query);
	return result;
}
