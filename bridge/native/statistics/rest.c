// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a reason has more than the rows of its details: exits of those that have no row, and
 * of those that have one again, before they got it. It stands nowhere, so that a row changes
 * its owner without a moment at which its exits are in two places, or in none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "statistics/query.h"

/* Reasons by key, while their details are looked through: 1 + source; 0: free. */
struct reasons {
	__u32 *hash;
	__u32 mask;
};

/* The key of the rest of the reason that has a detail, or that is one. */
static struct kvmlog_statistics_key rest_key(const struct kvmlog_statistics_key *of)
{
	return (struct kvmlog_statistics_key){
		.guest = of->guest,
		.reason = of->reason,
		.kind = KVMLOG_STATISTICS_DETAIL,
		.isa = of->isa,
		.flags = of->flags,
		.detail_kind = KVMLOG_STATISTICS_DETAIL_OTHER,
	};
}

static __u32 *place(const struct kvmlog_query *query, const struct reasons *reasons,
		    const struct kvmlog_statistics_key *key)
{
	__u32 at = kvmlog_query_hash(key) & reasons->mask;

	while (reasons->hash[at] &&
	       memcmp(query->sources[reasons->hash[at] - 1].key, key, sizeof(*key)))
		at = (at + 1) & reasons->mask;
	return &reasons->hash[at];
}

/* Never less than nothing: two rows of a copy may be some exits apart. */
static void take_away(__u64 *from, __u64 less)
{
	*from = *from > less ? *from - less : 0;
}

static void leave_out(struct kvmlog_statistics_sums *sums,
		      const struct kvmlog_statistics_sums *detail)
{
	take_away(&sums->count, detail->count);
	take_away(&sums->kvm_ns, detail->kvm_ns);
	take_away(&sums->vmm_ns, detail->vmm_ns);
	take_away(&sums->wait_ns, detail->wait_ns);
	take_away(&sums->idle_ns, detail->idle_ns);
	take_away(&sums->paused_ns, detail->paused_ns);
	sums->total_ns =
		sums->kvm_ns + sums->vmm_ns + sums->wait_ns + sums->idle_ns + sums->paused_ns;
}

/* Adds the rest of each reason to the sources, which are the details so far. -ENOMEM. */
int kvmlog_query_rest(struct kvmlog_query *query)
{
	const struct kvmlog_statistics_map *now = query->now;
	__u32 count = now->header->reasons_used, details = query->sources_count;
	struct reasons reasons = { .mask = 63 };

	while (reasons.mask < count * 2ULL)
		reasons.mask = reasons.mask * 2 + 1;
	reasons.hash = calloc((size_t)reasons.mask + 1, sizeof(*reasons.hash));
	query->rest_keys = calloc((size_t)count + 1, sizeof(*query->rest_keys));
	if (!reasons.hash || !query->rest_keys) {
		free(reasons.hash);
		return -ENOMEM;
	}
	for (__u32 i = 0; i < count; i++) {
		struct kvmlog_statistics_key *key = &query->rest_keys[i];
		const __u8 *guests = query->question->guests;

		*key = rest_key(&now->reasons[i].key);
		if (now->reasons[i].key.kind != KVMLOG_STATISTICS_REASON ||
		    key->guest >= now->layout.guests_capacity || (guests && !guests[key->guest]))
			continue;
		kvmlog_query_take(query, key, i);
		*place(query, &reasons, key) = query->sources_count;
	}
	for (__u32 i = 0; i < details; i++) {
		struct kvmlog_statistics_key key = rest_key(query->sources[i].key);
		__u32 reason = *place(query, &reasons, &key);

		if (!reason)
			continue;
		leave_out(&query->sources[reason - 1].sums, &query->sources[i].sums);
		query->sources[i].next = query->sources[reason - 1].next;
		query->sources[reason - 1].next = i + 1;
	}
	free(reasons.hash);
	return 0;
}
