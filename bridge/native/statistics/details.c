// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which row an exit's detail has. A reason of a guest has a limited number: when they are
 * taken, those that took the least time lose theirs. What such a row counted stays in its
 * reason's sums, as the exits of no detail that has a row.
 *
 * The ranking is that of Misra and Gries ("Finding repeated elements", 1982), by time. The
 * reason's evicted_ns is the most that a detail without a row can have taken, and what a
 * new row begins with in the ranking. Each eviction raises it by some time t, and takes at
 * least t from each row that stays: so it never exceeds the reason's whole time divided by
 * the number of those that stay, and a detail that took more has a row.
 */
#include <stdlib.h>

#include "statistics/state.h"

enum {
	/* Where so many are told apart, addresses of devices share pages: a scan leaves room. */
	KVMLOG_EXACT_DETAILS = KVMLOG_STATISTICS_DETAILS / 2,
	/* Evicted are many at a time, since looking for them costs more than a new row. */
	KVMLOG_KEPT_DETAILS = KVMLOG_STATISTICS_DETAILS * 3 / 4,
};

static int by_worth(const void *one, const void *two)
{
	__u64 worth = ((const struct kvmlog_ranked_detail *)one)->worth_ns;
	__u64 other = ((const struct kvmlog_ranked_detail *)two)->worth_ns;

	return (worth > other) - (worth < other);
}

/* A reason's details, those of the least worth first; returns how many. */
static __u32 rank(const struct kvmlog_statistics *statistics, __u32 reason)
{
	struct kvmlog_ranked_detail *ranked = statistics->ranked;
	__u32 next = statistics->details[reason].first;
	__u32 count = 0;

	for (; next && count < statistics->map.layout.rows_capacity; count++) {
		const struct kvmlog_statistics_row *row = &statistics->map.rows[next - 1];

		ranked[count].row = next - 1;
		ranked[count].worth_ns = row->before_ns + row->sums.total_ns;
		next = statistics->next_detail[next - 1];
	}
	qsort(ranked, count, sizeof(*ranked), by_worth);
	return count;
}

static void evict(struct kvmlog_statistics *statistics, __u32 number)
{
	struct kvmlog_statistics_reason *reason = &statistics->map.reasons[number];
	__u32 count = rank(statistics, number);
	__u32 evicted = count > KVMLOG_KEPT_DETAILS ? count - KVMLOG_KEPT_DETAILS : 0;

	statistics->details[number] = (struct kvmlog_statistics_details){ 0 };
	for (__u32 i = 0; i < evicted; i++)
		kvmlog_statistics_give_row(statistics, statistics->ranked[i].row);
	for (__u32 i = evicted; i < count; i++)
		kvmlog_statistics_list_detail(statistics, number, statistics->ranked[i].row);
	if (!evicted || statistics->ranked[evicted - 1].worth_ns <= reason->evicted_ns)
		return;
	kvmlog_element_begin(&reason->sequence);
	reason->evicted_ns = statistics->ranked[evicted - 1].worth_ns;
	kvmlog_element_end(&reason->sequence);
}

/*
 * @guest has what another one counted besides: of a detail that one of them had a row for,
 * either may have lost one before.
 */
void kvmlog_statistics_details_merged(struct kvmlog_statistics *statistics, __u32 guest)
{
	__u32 reasons = kvmlog_statistics_used(statistics, reasons);

	for (__u32 i = 0; i < reasons; i++) {
		const struct kvmlog_statistics_reason *reason = &statistics->map.reasons[i];

		if (reason->key.kind == KVMLOG_STATISTICS_FREE || reason->key.guest != guest)
			continue;
		for (__u32 next = statistics->details[i].first; next;
		     next = statistics->next_detail[next - 1])
			statistics->map.rows[next - 1].before_ns = reason->evicted_ns;
	}
}

/*
 * The row of @key, which is of a detail of @reason: its own, or its page's. KVMLOG_NO_ROW: the
 * file has no room.
 */
__u32 kvmlog_statistics_detail(struct kvmlog_statistics *statistics,
			       const struct kvmlog_alike *alike, struct kvmlog_statistics_key *key,
			       __u32 reason)
{
	__u32 row = kvmlog_statistics_find_row(statistics, key, 0);

	if (row == KVMLOG_NO_ROW && statistics->details[reason].count >= KVMLOG_EXACT_DETAILS &&
	    kvmlog_alike_widen(alike, key))
		row = kvmlog_statistics_find_row(statistics, key, 0);
	if (row != KVMLOG_NO_ROW)
		return row;
	/* Exits without a detail are none of those that share the limit. */
	if (key->detail_kind == KVMLOG_STATISTICS_DETAIL_NONE)
		return kvmlog_statistics_find_row(statistics, key, 1);
	if (statistics->details[reason].count >= KVMLOG_STATISTICS_DETAILS)
		evict(statistics, reason);
	row = kvmlog_statistics_find_row(statistics, key, 1);
	if (row == KVMLOG_NO_ROW)
		return row;
	/* Of no interest to readers. */
	statistics->map.rows[row].before_ns = statistics->map.reasons[reason].evicted_ns;
	kvmlog_statistics_list_detail(statistics, reason, row);
	return row;
}
