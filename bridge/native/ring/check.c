// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether the counts in a ring's header can be a writer's, while one may be moving them. */
#include <errno.h>
#include <sched.h>

#include "ring/ring.h"

/* Contradictions in a row before a ring is called damaged; one is no proof. */
enum {
	KVMLOG_COUNTS_TRIES = 100
};

/*
 * Reads both counts once and returns whether they fit. Both only grow, so head is read
 * before the reserve that was raised for it, and again after it for the other bound:
 * whatever the writer does in between makes neither comparison false.
 */
static int counts_fit(const struct kvmlog_ring *ring, struct kvmlog_ring_counts *counts)
{
	const struct kvmlog_ring_header *header = ring->header;
	__u64 later;

	counts->head = kvmlog_load_acquire(&header->head);
	counts->reserve = kvmlog_load_acquire(&header->reserve);
	later = kvmlog_load_acquire(&header->head);
	return counts->head <= counts->reserve &&
	       (counts->reserve <= later || counts->reserve - later <= ring->capacity);
}

struct check {
	const struct kvmlog_ring *ring;
	struct kvmlog_ring_counts *counts;
};

static int check(void *argument)
{
	const struct check *check = argument;

	for (int i = 0; i < KVMLOG_COUNTS_TRIES; i++) {
		if (counts_fit(check->ring, check->counts))
			return 0;
		sched_yield();
	}
	return -EBADMSG;
}

/*
 * Says in @counts what head and reserve are. -EBADMSG: they contradict each other, again and
 * again; -ERANGE: the file was cut short.
 */
int kvmlog_ring_check(const struct kvmlog_ring *ring, struct kvmlog_ring_counts *counts)
{
	struct check request = { ring, counts };

	return kvmlog_ring_guarded(ring, check, &request);
}
