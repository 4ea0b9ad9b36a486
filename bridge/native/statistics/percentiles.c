// SPDX-License-Identifier: GPL-2.0-or-later
/* Percentiles and extremes of a group, from the histograms or octaves of its rows. */
#include <string.h>

#include "statistics/query.h"

/* Percentiles asked for, in thousandths; the fields of struct kvmlog_statistics_group. */
static const __u32 permille[] = { 500, 900, 990, 999 };

enum {
	PERCENTILES = sizeof(permille) / sizeof(*permille),
};

static const __u64 *block_of(const struct kvmlog_statistics_map *map, __u32 reason, __u32 octave)
{
	__u32 block = map->reasons[reason].blocks[octave];

	if (block == KVMLOG_NO_BLOCK || block >= map->layout.blocks_capacity)
		return NULL;
	return map->blocks[block].counts;
}

static void touch(struct kvmlog_query *query, __u32 octave)
{
	if (octave < query->first_octave)
		query->first_octave = octave;
	if (octave > query->last_octave)
		query->last_octave = octave;
}

static void add_histogram(struct kvmlog_query *query, const struct kvmlog_query_source *source)
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

/* How many of a row's exits are in an octave. */
static __u64 in_octave(const struct kvmlog_query *query, const struct kvmlog_query_source *source,
		       __u32 octave)
{
	__u64 before = source->since ? query->base->rows[source->number].octaves[octave] : 0;

	return query->now->rows[source->number].octaves[octave] - before;
}

/* How many of a reason's exits are in an octave, and in no row of a detail. */
static __u64 rest_in_octave(const struct kvmlog_query *query,
			    const struct kvmlog_query_source *rest, __u32 octave)
{
	const __u64 *counts = block_of(query->now, rest->number, octave);
	const __u64 *before = rest->since ? block_of(query->base, rest->number, octave) : NULL;
	__u64 all = 0, details = 0;

	for (__u32 step = 0; counts && step < KVMLOG_HISTOGRAM_STEPS; step++)
		all += counts[step] - (before ? before[step] : 0);
	for (__u32 next = rest->next; next; next = query->sources[next - 1].next)
		details += in_octave(query, &query->sources[next - 1], octave);
	return all > details ? all - details : 0;
}

static void add_octaves(struct kvmlog_query *query, const struct kvmlog_query_source *source)
{
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u64 count = kvmlog_is_rest(source->key) ? rest_in_octave(query, source, octave)
							  : in_octave(query, source, octave);

		if (!count)
			continue;
		touch(query, octave);
		query->counts[octave] += count;
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
static void find_percentiles(const struct kvmlog_query *query, struct kvmlog_query_group *group,
			     __u32 first, __u32 end, __u64 (*value_of)(__u32),
			     struct kvmlog_statistics_group *out)
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

/* The histogram of a group in octaves, which all rows know. */
static void tell_octaves(const struct kvmlog_query *query, __u32 steps, __u64 *octaves)
{
	for (__u32 octave = query->first_octave; octave <= query->last_octave; octave++)
		for (__u32 step = 0; step < steps; step++)
			octaves[octave] += query->counts[octave * steps + step];
}

/* @octaves: zeros, for its counts by octave; NULL: not asked for. */
void kvmlog_query_measure(struct kvmlog_query *query, struct kvmlog_query_group *group,
			  struct kvmlog_statistics_group *out, __u64 *octaves)
{
	int rough = query->kind != KVMLOG_STATISTICS_REASON;
	__u32 steps = rough ? 1 : KVMLOG_HISTOGRAM_STEPS;
	__u32 first, end;

	query->first_octave = KVMLOG_HISTOGRAM_OCTAVES;
	query->last_octave = 0;
	for (__u32 i = 0; i < group->sources; i++) {
		const struct kvmlog_query_source *source =
			&query->sources[query->order[group->first + i]];

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
	if (octaves)
		tell_octaves(query, steps, octaves);
	find_percentiles(query, group, first, end, rough ? end_of : middle_of, out);
	memset(&query->counts[first], 0, (end - first) * sizeof(*query->counts));
}
