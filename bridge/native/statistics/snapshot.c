// SPDX-License-Identifier: GPL-2.0-or-later
/* The reader's side: a copy of the file in which no element is torn. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "racing.h"
#include "statistics/map.h"

enum {
	KVMLOG_SNAPSHOT_TRIES = 20,
	/* A writer that was only interrupted goes on soon; waited for so long in all. */
	KVMLOG_PATIENCE_YIELDS = 2000,
	KVMLOG_PATIENCE_MS = 1000,
	NS_PER_MS = 1000000,
};

/* How long one snapshot waits for its writer; then what is being written is torn. */
struct patience {
	int yields, ms;
};

/* For one that ended in order nobody has to wait. */
static struct patience patience(const struct kvmlog_statistics_map *map)
{
	__u32 state = __atomic_load_n(&map->header->state, __ATOMIC_RELAXED);

	return (struct patience){
		.yields = KVMLOG_PATIENCE_YIELDS,
		.ms = state == KVMLOG_STATISTICS_RUNNING ? KVMLOG_PATIENCE_MS : 0,
	};
}

/* 0: waited long enough. */
static int wait_for_writer(struct patience *left)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };

	if (left->yields) {
		left->yields--;
		sched_yield();
		return 1;
	}
	if (!left->ms)
		return 0;
	left->ms--;
	nanosleep(&pause, NULL);
	return 1;
}

static __u32 sequence_before(const __u32 *sequence)
{
	return __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
}

/* Pairs with the release fence in kvmlog_element_begin(). */
static int unchanged(const __u32 *sequence, __u32 before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !(before & 1) && __atomic_load_n(sequence, __ATOMIC_RELAXED) == before;
}

static __u32 used(const __u32 *used, __u32 capacity)
{
	__u32 count = __atomic_load_n(used, __ATOMIC_ACQUIRE);

	return count < capacity ? count : capacity;
}

static void copy_blocks(const struct kvmlog_statistics_map *from, struct kvmlog_statistics_map *to,
			const struct kvmlog_statistics_reason *reason)
{
	for (__u32 octave = 0; octave < KVMLOG_HISTOGRAM_OCTAVES; octave++) {
		__u32 block = reason->blocks[octave];

		/* Of a reason that was being written this may be anything; it is not kept. */
		if (block != KVMLOG_NO_BLOCK && block < from->layout.blocks_capacity)
			kvmlog_racing_copy(&to->blocks[block], &from->blocks[block],
					   sizeof(to->blocks[block]));
	}
}

/* 0: the writer has died or stands still inside it; the copy is marked as free. */
static int copy_reason(const struct kvmlog_statistics_map *from, struct kvmlog_statistics_map *to,
		       __u32 number, struct patience *left)
{
	const struct kvmlog_statistics_reason *source = &from->reasons[number];
	struct kvmlog_statistics_reason *copy = &to->reasons[number];

	do {
		__u32 before = sequence_before(&source->sequence);

		kvmlog_racing_copy(copy, source, sizeof(*copy));
		if (copy->key.kind != KVMLOG_STATISTICS_FREE)
			copy_blocks(from, to, copy);
		if (unchanged(&source->sequence, before))
			return 1;
	} while (wait_for_writer(left));
	memset(copy, 0, sizeof(*copy));
	return 0;
}

static int copy_element(const void *source, void *copy, size_t bytes, struct patience *left)
{
	const __u32 *sequence = source;

	do {
		__u32 before = sequence_before(sequence);

		kvmlog_racing_copy(copy, source, bytes);
		if (unchanged(sequence, before))
			return 1;
	} while (wait_for_writer(left));
	memset(copy, 0, bytes);
	return 0;
}

static int copy_header(const struct kvmlog_statistics_map *from,
		       struct kvmlog_statistics_header *copy, struct patience *left)
{
	const __u64 *sequence = &from->header->sequence;

	do {
		__u64 before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);

		kvmlog_racing_copy(copy, from->header, sizeof(*copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(before & 1) && __atomic_load_n(sequence, __ATOMIC_RELAXED) == before)
			return 1;
	} while (wait_for_writer(left));
	return 0;
}

/*
 * A header that tells of no exit less than the rows, which have so many: the writer adds
 * to a row first. Where owners have changed since, all is copied again anyway.
 */
static int copy_header_for(const struct kvmlog_statistics_map *from,
			   struct kvmlog_statistics_header *copy, __u64 in_rows, __u64 generation,
			   struct patience *left)
{
	do {
		__u64 elsewhere;

		if (!copy_header(from, copy, left))
			return 0;
		elsewhere = copy->overflow + copy->forgotten;
		if (copy->generation != generation ||
		    (__s64)(copy->exits - elsewhere - in_rows) >= 0)
			return 1;
	} while (wait_for_writer(left));
	return 0;
}

static __u64 copy_all(const struct kvmlog_statistics_map *from, struct kvmlog_statistics_map *to,
		      __u64 generation, struct patience *left)
{
	const struct kvmlog_statistics_header *header = from->header;
	const struct kvmlog_statistics_header *layout = &from->layout;
	__u32 rows = used(&header->rows_used, layout->rows_capacity);
	__u64 torn = 0, in_rows = 0;
	__u32 reasons, guests;

	for (__u32 i = 0; i < rows; i++)
		torn += !copy_element(&from->rows[i], &to->rows[i], sizeof(*to->rows), left);
	/* Later than the rows: a reason has all that its details have, whose rows come and go. */
	reasons = used(&header->reasons_used, layout->reasons_capacity);
	for (__u32 i = 0; i < reasons; i++) {
		torn += !copy_reason(from, to, i, left);
		if (to->reasons[i].key.kind != KVMLOG_STATISTICS_FREE)
			in_rows += to->reasons[i].sums.count;
	}
	/* Later than the rows, so that no row's guest is missing. */
	guests = used(&header->guests_used, layout->guests_capacity);
	for (__u32 i = 0; i < guests; i++)
		torn += !copy_element(&from->guests[i], &to->guests[i], sizeof(*to->guests), left);
	torn += !copy_header_for(from, to->header, in_rows, generation, left);
	kvmlog_statistics_restore_layout(to->header, layout);
	to->header->guests_used = guests;
	to->header->reasons_used = reasons;
	to->header->rows_used = rows;
	return torn;
}

struct snapshot {
	const struct kvmlog_statistics_map *map;
	struct kvmlog_statistics_map *copy;
	__u64 *torn;
};

static int make_snapshot(void *argument)
{
	struct snapshot *snapshot = argument;
	const struct kvmlog_statistics_map *map = snapshot->map;
	const __u64 *generation = &map->header->generation;
	struct patience left = patience(map);
	int tries = 0;

	while (tries < KVMLOG_SNAPSHOT_TRIES) {
		__u64 before = __atomic_load_n(generation, __ATOMIC_ACQUIRE);

		if (before & 1) {
			if (!wait_for_writer(&left))
				break;
			continue;
		}
		tries++;
		snapshot->copy = kvmlog_statistics_in_memory(&map->layout);
		if (!snapshot->copy)
			return -ENOMEM;
		*snapshot->torn = copy_all(map, snapshot->copy, before, &left);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(generation, __ATOMIC_RELAXED) == before)
			return 0;
		kvmlog_statistics_close(snapshot->copy);
		snapshot->copy = NULL;
	}
	return -EAGAIN;
}

/*
 * A copy that is closed with kvmlog_statistics_close(). @torn: elements left out because
 * the writer died inside them. NULL with @error: -EAGAIN, elements kept changing their
 * owners; -ERANGE, the file was cut short.
 */
struct kvmlog_statistics_map *kvmlog_statistics_snapshot(const struct kvmlog_statistics_map *map,
							 __u64 *torn, int *error)
{
	struct snapshot snapshot = { .map = map, .torn = torn };

	*error = kvmlog_statistics_guarded(map, make_snapshot, &snapshot);
	if (!*error)
		return snapshot.copy;
	kvmlog_statistics_close(snapshot.copy);
	return NULL;
}

/* The guests of a copy, guests_capacity long. */
void kvmlog_statistics_copied(const struct kvmlog_statistics_map *copy,
			      struct kvmlog_statistics_header *header,
			      struct kvmlog_statistics_guest *guests)
{
	memcpy(header, copy->header, sizeof(*header));
	if (guests)
		memcpy(guests, copy->guests, copy->layout.guests_capacity * sizeof(*guests));
}

struct header_request {
	const struct kvmlog_statistics_map *map;
	struct kvmlog_statistics_header *header;
};

static int read_header(void *argument)
{
	const struct header_request *request = argument;
	struct patience left = patience(request->map);

	return copy_header(request->map, request->header, &left) ? 0 : -EBUSY;
}

/* The header of a mapped file, of one moment; -EBUSY: the writer died inside it. */
int kvmlog_statistics_header_now(const struct kvmlog_statistics_map *map,
				 struct kvmlog_statistics_header *header)
{
	struct header_request request = { map, header };
	int rc = kvmlog_statistics_guarded(map, read_header, &request);

	kvmlog_statistics_restore_layout(header, &map->layout);
	return rc;
}
