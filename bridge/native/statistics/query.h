/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question to a copy of the statistics: its groups (query.c), their percentiles. */
#ifndef KVMLOG_STATISTICS_QUERY_H
#define KVMLOG_STATISTICS_QUERY_H

#include "statistics/map.h"

enum {
	KVMLOG_QUERY_STEPS = KVMLOG_HISTOGRAM_OCTAVES * KVMLOG_HISTOGRAM_STEPS,
};

/* A row, as far as grouping it needs. */
struct kvmlog_query_source {
	const struct kvmlog_statistics_key *key;
	struct kvmlog_statistics_sums sums;
	__u32 number; /* in its table */
	__u32 group;
	__u32 next; /* 1 + the next detail of the same reason; of the rest: its first detail */
	int since;  /* the earlier copy has it too */
};

/* Rows whose keys are the same but for what is not asked apart. */
struct kvmlog_query_group {
	struct kvmlog_statistics_key key;
	struct kvmlog_statistics_sums sums;
	__u32 sources;
	__u32 since; /* of some of them a part is left out: extremes are not known */
	__u32 first; /* in query.order */
};

struct kvmlog_query {
	const struct kvmlog_statistics_map *now, *base;
	const struct kvmlog_statistics_question *question;
	int kind; /* enum kvmlog_statistics_kind that is read */
	struct kvmlog_query_source *sources;
	struct kvmlog_statistics_key *rest_keys; /* of the sources that are the rest */
	__u32 sources_count;
	struct kvmlog_query_group *groups;
	__u32 groups_count;
	__u32 *hash;
	__u32 hash_mask;
	__u32 *order;			  /* sources, by group */
	__u32 first_octave, last_octave;  /* that counts has something in */
	__u64 counts[KVMLOG_QUERY_STEPS]; /* or, of rows that know no more, of octaves */
};

/* Whether a source of this key is the rest: what a reason, by number, has more than its details. */
static inline int kvmlog_is_rest(const struct kvmlog_statistics_key *key)
{
	return key->detail_kind == KVMLOG_STATISTICS_DETAIL_OTHER;
}

/* Who handled exits that have these flags: enum kvmlog_handler. */
static inline __u8 kvmlog_key_handler(__u8 flags)
{
	if (flags & KVMLOG_STATISTICS_L0)
		return KVMLOG_HANDLER_L0;
	return flags & KVMLOG_STATISTICS_L1 ? KVMLOG_HANDLER_L1 : KVMLOG_HANDLER_UNTOLD;
}

/* source.c */
void kvmlog_query_take(struct kvmlog_query *query, const struct kvmlog_statistics_key *key,
		       __u32 number);
__u32 kvmlog_query_hash(const struct kvmlog_statistics_key *key);

/* rest.c */
int kvmlog_query_rest(struct kvmlog_query *query);

/* percentiles.c */
void kvmlog_query_measure(struct kvmlog_query *query, struct kvmlog_query_group *group,
			  struct kvmlog_statistics_group *out, __u64 *octaves);

#endif
