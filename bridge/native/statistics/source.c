// SPDX-License-Identifier: GPL-2.0-or-later
/* What a question is answered from: a reason or row, or what it has more than in an earlier copy. */
#include <string.h>

#include "statistics/query.h"

__u32 kvmlog_query_hash(const struct kvmlog_statistics_key *key)
{
	__u64 words[3], hash = 0;

	memcpy(words, key, sizeof(words));
	for (int i = 0; i < 3; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (__u32)hash;
}

/* Whether it is still the guest that had this place then. */
static int same_guest(const struct kvmlog_query *query, __u32 number)
{
	return query->base->guests[number].turn == query->now->guests[number].turn;
}

/* What stands at a place in either table. */
struct counted {
	const struct kvmlog_statistics_key *key;
	const struct kvmlog_statistics_sums *sums;
	__u32 turn; /* of a row, whose key may have lost it and found it again */
};

static struct counted counted_at(const struct kvmlog_statistics_map *map, int of_reasons,
				 __u32 number)
{
	if (of_reasons)
		return (struct counted){ &map->reasons[number].key, &map->reasons[number].sums, 0 };
	return (struct counted){ &map->rows[number].key, &map->rows[number].sums,
				 map->rows[number].turn };
}

/*
 * What the reason or row @number counted since the earlier copy, as a source called @key.
 * Something else there then: it has no past.
 */
void kvmlog_query_take(struct kvmlog_query *query, const struct kvmlog_statistics_key *key,
		       __u32 number)
{
	struct kvmlog_query_source *source = &query->sources[query->sources_count++];
	int of_reasons = query->kind == KVMLOG_STATISTICS_REASON || kvmlog_is_rest(key);
	struct counted now = counted_at(query->now, of_reasons, number);

	source->key = key;
	source->sums = *now.sums;
	source->number = number;
	if (query->base) {
		struct counted base = counted_at(query->base, of_reasons, number);

		source->since = base.turn == now.turn &&
				!memcmp(base.key, now.key, sizeof(*now.key)) &&
				same_guest(query, key->guest);
		if (source->since)
			kvmlog_sums_subtract(&source->sums, base.sums);
	}
}
