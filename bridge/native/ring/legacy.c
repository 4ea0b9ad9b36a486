// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * getKvmLog's text (docs/rpc.md): the newest exits, newest first, KVMLOG_LEGACY_CHARACTERS
 * of each: reason (two hex digits), then minute, second and millisecond of its time of day.
 * Read in place, by the same protocol as copies are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kvmlog/reasons.h>

#include "racing.h"
#include "ring/clocks.h"
#include "ring/ring.h"

enum {
	/* Records of different CPUs arrive up to a flush interval late, and some are no exits:
	 * more are looked at than are shown, and the newest by time taken of them.
	 */
	LOOKED_AT = 4 * KVMLOG_LEGACY_RECORDS,
	MOST_REASON = 0xff,
	NS_PER_MS = 1000000,
	MS_PER_S = 1000,
};

struct legacy_exit {
	__u64 ns;
	__u32 age; /* records that arrived since; a ring has far less than 2^32 */
	__u32 reason;
};

/* The last of the ring's exits, the newest arrival first, LOOKED_AT at most: until so many
 * records were looked at, and further back while there are fewer than are shown.
 */
KVMLOG_RACING static __u32 collect(const struct kvmlog_ring *ring, __u64 head,
				   struct legacy_exit *exits)
{
	__u64 oldest = head > ring->capacity ? head - ring->capacity : 0;
	__u32 count = 0;

	for (__u64 index = head; index > oldest; index--) {
		const struct kvmlog_record *record =
			(const void *)kvmlog_ring_slot(ring, index - 1);
		__u32 reason;

		if (head - index >= LOOKED_AT && count >= KVMLOG_LEGACY_RECORDS)
			break;
		if (kvmlog_racing_load(record->type) != KVMLOG_RECORD_EXIT)
			continue;
		reason = kvmlog_racing_load(record->reason);
		if (kvmlog_racing_load(record->isa) == KVMLOG_ISA_VMX)
			reason &= KVMLOG_VMX_BASIC_MASK;
		exits[count++] = (struct legacy_exit){
			.ns = kvmlog_racing_load(record->exit_ns),
			.age = (__u32)(head - index),
			.reason = reason,
		};
	}
	return count;
}

struct scan {
	const struct kvmlog_ring *ring;
	struct legacy_exit *exits;
	__u64 head;
	__u32 count;
};

/* Leaves out what was overwritten meanwhile, as copy_range() does. */
static int scan(void *argument)
{
	struct scan *scan = argument;
	const struct kvmlog_ring *ring = scan->ring;
	__u64 reserve, safe;

	scan->head = kvmlog_load_acquire(&ring->header->head);
	scan->count = collect(ring, scan->head, scan->exits);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	reserve = kvmlog_load_relaxed(&ring->header->reserve);
	safe = reserve > ring->capacity ? reserve - ring->capacity : 0;
	while (scan->count && scan->head - 1 - scan->exits[scan->count - 1].age < safe)
		scan->count--;
	return 0;
}

/* Of the same ns, the later arrival is newer. */
static int is_newer(const struct legacy_exit *one, const struct legacy_exit *other)
{
	return one->ns != other->ns ? one->ns > other->ns : one->age < other->age;
}

/* The end of what is in order from @from on. */
static __u32 run_end(const struct legacy_exit *exits, __u32 from, __u32 count)
{
	__u32 end = from + 1;

	while (end < count && is_newer(&exits[end - 1], &exits[end]))
		end++;
	return end < count ? end : count;
}

/* Merges runs in pairs, from @from to @to; returns how many runs are left. */
static __u32 merge_runs(const struct legacy_exit *from, struct legacy_exit *to, __u32 count)
{
	__u32 runs = 0;

	for (__u32 at = 0; at < count; runs++) {
		__u32 one = at, one_end = run_end(from, at, count);
		__u32 other = one_end;
		__u32 end = other < count ? run_end(from, other, count) : count;

		while (at < end) {
			if (other == end || (one < one_end && is_newer(&from[one], &from[other])))
				to[at++] = from[one++];
			else
				to[at++] = from[other++];
		}
	}
	return runs;
}

/*
 * Newest first; returns where they are then. What each CPU wrote is in order: there are few
 * runs, which qsort() would not notice.
 */
static struct legacy_exit *sort(struct legacy_exit *exits, struct legacy_exit *spare, __u32 count)
{
	if (run_end(exits, 0, count) == count)
		return exits;
	for (;;) {
		struct legacy_exit *sorted = spare;
		__u32 runs = merge_runs(exits, sorted, count);

		spare = exits;
		exits = sorted;
		if (runs == 1)
			return exits;
	}
}

static char *put(char *text, __u32 number, int digits, __u32 base)
{
	for (int i = digits - 1; i >= 0; i--) {
		text[i] = "0123456789ABCDEF"[number % base];
		number /= base;
	}
	return text + digits;
}

/* Milliseconds are cut, not rounded: 59.9999 s must not become 60.000. */
static char *put_exit(char *text, const struct legacy_exit *exit,
		      const struct kvmlog_ring_header *header)
{
	struct kvmlog_clock_pair pair = kvmlog_clocks_at(header, exit->ns);
	__u64 real_ns = exit->ns + (__u64)pair.realtime_offset_ns;
	__s64 local_ms = (__s64)(real_ns / NS_PER_MS) + (__s64)pair.utc_offset_s * MS_PER_S;
	__s64 hour_ms = 60 * 60 * MS_PER_S;
	__u32 ms = (__u32)((local_ms % hour_ms + hour_ms) % hour_ms);

	text = put(text, exit->reason < MOST_REASON ? exit->reason : MOST_REASON, 2, 16);
	text = put(text, ms / (60 * MS_PER_S), 2, 10);
	text = put(text, ms / MS_PER_S % 60, 2, 10);
	return put(text, ms % MS_PER_S, 3, 10);
}

/* Whether a text that was made by this header is the text of @now. */
static int is_same(const struct kvmlog_ring_header *made, const struct kvmlog_ring_header *now)
{
	if (made->head != now->head || made->clock_count != now->clock_count)
		return 0;
	if (now->clock_count)
		return !memcmp(made->clocks, now->clocks, sizeof(now->clocks));
	return made->realtime_ns - made->monotonic_ns == now->realtime_ns - now->monotonic_ns &&
	       made->utc_offset_s == now->utc_offset_s;
}

/*
 * The text of the ring as it is now. 1: made anew; 0: @legacy has it already, of the same
 * ring, which has not moved.
 */
int kvmlog_ring_legacy(const struct kvmlog_ring *ring, struct kvmlog_legacy *legacy)
{
	struct kvmlog_ring_header header;
	struct scan found = { .ring = ring };
	struct legacy_exit *exits, *sorted;
	char *end = legacy->text;
	__u32 shown = 0;
	int rc;

	if (ring->record_bytes != sizeof(struct kvmlog_record))
		return -EINVAL;
	rc = kvmlog_ring_read_header(ring, &header);
	/* A writer that died inside an update leaves it so: what it told last still holds. */
	if (rc && rc != -EBUSY)
		return rc;
	if (legacy->is_made && is_same(&legacy->made_by, &header))
		return 0;
	exits = malloc(2 * LOOKED_AT * sizeof(*exits));
	if (!exits)
		return -ENOMEM;

	found.exits = exits;
	rc = kvmlog_ring_guarded(ring, scan, &found);
	/* Again, after the records: the clocks of each stand there before it does. */
	if (!rc)
		rc = kvmlog_ring_read_header(ring, &header);
	if (rc && rc != -EBUSY) {
		free(exits);
		return rc;
	}

	sorted = sort(exits, exits + LOOKED_AT, found.count);
	for (; shown < found.count && shown < KVMLOG_LEGACY_RECORDS; shown++)
		end = put_exit(end, &sorted[shown], &header);
	free(exits);
	legacy->length = (__u32)(end - legacy->text);
	legacy->made_by = header;
	legacy->made_by.head = found.head;
	legacy->is_made = 1;
	return 1;
}
