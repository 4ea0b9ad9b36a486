// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The statistics as Python has them: begun on a file, continued, changed, ended. All other
 * files of the writer's side are below this one, which takes the lock for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ring/writer.h"
#include "statistics/state.h"
#include "statistics/statistics.h"

#define CACHE_BYTES (KVMLOG_CACHE_ENTRIES * sizeof(struct kvmlog_statistics_entry))

static void release(struct kvmlog_statistics *statistics)
{
	if (statistics->cache)
		munmap(statistics->cache, CACHE_BYTES);
	free(statistics->dirty);
	free(statistics->index);
	free(statistics->free_reasons);
	free(statistics->free_blocks);
	free(statistics->free_rows);
	free(statistics->in_use);
	free(statistics->details);
	free(statistics->next_detail);
	free(statistics->ranked);
	free(statistics->numbers);
	free(statistics->retired);
	free(statistics->stale);
	free(statistics->going);
	free(statistics);
}

static int allocate(struct kvmlog_statistics *statistics)
{
	__u32 guests = statistics->map.layout.guests_capacity;
	__u32 numbers = 256;
	void *cache;

	while (numbers < guests * 4)
		numbers *= 2;
	cache = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	statistics->cache = cache == MAP_FAILED ? NULL : cache;
	statistics->dirty = calloc(KVMLOG_CACHE_ENTRIES, sizeof(*statistics->dirty));
	statistics->numbers = calloc(numbers, sizeof(*statistics->numbers));
	statistics->numbers_mask = numbers - 1;
	statistics->retired = malloc(guests);
	statistics->stale = malloc(guests);
	statistics->going = malloc(guests);
	if (!statistics->cache || !statistics->dirty || !statistics->numbers ||
	    !statistics->retired || !statistics->stale || !statistics->going)
		return -ENOMEM;
	statistics->cache[0].who = KVMLOG_NOBODY; /* where a record of nothing but 0 would stand */
	memset(statistics->retired, 1, guests);
	memset(statistics->stale, 1, guests);
	return 0;
}

/* Counts those that are free; -EBADMSG: the table was left in the middle of an update. */
static int check_guests(struct kvmlog_statistics *statistics)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	__u32 capacity = statistics->map.layout.guests_capacity;

	if (header->guests_used > capacity)
		return -EBADMSG;
	header->guests_free = 0;
	for (__u32 i = 0; i < capacity; i++) {
		const struct kvmlog_statistics_guest *guest = &statistics->map.guests[i];

		if (guest->sequence & 1 || guest->state > KVMLOG_STATISTICS_GUEST_KNOWN)
			return -EBADMSG;
		if (guest->state == KVMLOG_STATISTICS_GUEST_FREE)
			header->guests_free++;
		else if (i >= header->guests_used) /* killed before it was added to those */
			kvmlog_statistics_set_used(&header->guests_used, i + 1);
	}
	return 0;
}

/* Of a file that is mostly empty only what is not. */
static void copy_used(struct kvmlog_statistics *statistics, const struct kvmlog_statistics_map *to)
{
	const struct kvmlog_statistics_map *from = &statistics->map;

	memcpy(to->header, from->header, sizeof(*to->header));
	memcpy(to->guests, from->guests,
	       kvmlog_statistics_used(statistics, guests) * sizeof(*to->guests));
	memcpy(to->reasons, from->reasons,
	       kvmlog_statistics_used(statistics, reasons) * sizeof(*to->reasons));
	memcpy(to->blocks, from->blocks,
	       kvmlog_statistics_used(statistics, blocks) * sizeof(*to->blocks));
	memcpy(to->rows, from->rows, kvmlog_statistics_used(statistics, rows) * sizeof(*to->rows));
}

static int consistent(struct kvmlog_statistics *statistics)
{
	const struct kvmlog_statistics_header *header = statistics->map.header;
	__u64 exits = header->overflow + header->forgotten;
	__u32 reasons = kvmlog_statistics_used(statistics, reasons);

	for (__u32 i = 0; i < reasons; i++)
		if (statistics->map.reasons[i].key.kind != KVMLOG_STATISTICS_FREE)
			exits += statistics->map.reasons[i].sums.count;
	return exits == header->exits && !(header->sequence & 1) && !(header->generation & 1);
}

/* Goes on with what @map holds; @lock: taken for all that changes it. As below. */
struct kvmlog_statistics *kvmlog_statistics_on(const struct kvmlog_statistics_map *map,
					       pthread_mutex_t *lock, int *error)
{
	struct kvmlog_statistics *statistics = calloc(1, sizeof(*statistics));

	*error = -ENOMEM;
	if (!statistics)
		return NULL;
	statistics->map = *map;
	statistics->lock = lock;
	*error = allocate(statistics);
	if (!*error)
		*error = check_guests(statistics);
	if (!*error)
		*error = kvmlog_statistics_index_all(statistics);
	if (!*error && !consistent(statistics))
		*error = -EBADMSG;
	if (*error) {
		release(statistics);
		return NULL;
	}
	kvmlog_statistics_flush(statistics);
	return statistics;
}

/*
 * Goes on with the file of @map, which is writable and stays open as long. NULL with
 * @error: -EBADMSG, the file was left in the middle of an update or is damaged.
 */
struct kvmlog_statistics *kvmlog_statistics_new(struct kvmlog_writer *writer,
						struct kvmlog_statistics_map *map, int *error)
{
	return kvmlog_statistics_on(map, &writer->lock, error);
}

/* Everything taken in is in the file afterwards, and the writer's lock is not held. */
void kvmlog_statistics_free(struct kvmlog_statistics *statistics)
{
	if (!statistics)
		return;
	kvmlog_statistics_flush(statistics);
	release(statistics);
}

void kvmlog_statistics_flush(struct kvmlog_statistics *statistics)
{
	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	pthread_mutex_unlock(statistics->lock);
}

void kvmlog_statistics_state(struct kvmlog_statistics *statistics, __u32 state)
{
	pthread_mutex_lock(statistics->lock);
	__atomic_store_n(&statistics->map.header->state, state, __ATOMIC_RELEASE);
	pthread_mutex_unlock(statistics->lock);
}

/*
 * Tracing is about to be switched on; @fresh: by a source that was opened just now, whose
 * numbers begin again.
 */
void kvmlog_statistics_begin(struct kvmlog_statistics *statistics, int fresh)
{
	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	kvmlog_statistics_retire_guests(statistics, fresh);
	pthread_mutex_unlock(statistics->lock);
}

/* All counts begin again at nothing; guests stay known. */
void kvmlog_statistics_reset(struct kvmlog_statistics *statistics, __u64 realtime_ns)
{
	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_begin_anew(statistics, realtime_ns);
	pthread_mutex_unlock(statistics->lock);
}

/*
 * Makes room: @forgotten has a 1 for each guest of the table that goes, unless it turns out
 * to run: something has happened to it since kvmlog_statistics_list() told @listed.
 */
void kvmlog_statistics_forget(struct kvmlog_statistics *statistics, const __u8 *forgotten,
			      const struct kvmlog_statistics_guest *listed)
{
	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_forget_guests(statistics, forgotten, listed);
	pthread_mutex_unlock(statistics->lock);
}

/*
 * Copies the table of guests with all that was taken in; @retired: a 1 for each that was
 * announced before tracing was switched on last. Both are guests_capacity long.
 */
void kvmlog_statistics_list(struct kvmlog_statistics *statistics,
			    struct kvmlog_statistics_guest *guests, __u8 *retired)
{
	__u32 capacity = statistics->map.layout.guests_capacity;

	pthread_mutex_lock(statistics->lock);
	kvmlog_statistics_fold_all(statistics);
	memcpy(guests, statistics->map.guests, capacity * sizeof(*guests));
	memcpy(retired, statistics->retired, capacity);
	pthread_mutex_unlock(statistics->lock);
}

void kvmlog_statistics_describe(struct kvmlog_statistics *statistics,
				struct kvmlog_statistics_header *copy)
{
	pthread_mutex_lock(statistics->lock);
	memcpy(copy, statistics->map.header, sizeof(*copy));
	kvmlog_statistics_restore_layout(copy, &statistics->map.layout);
	pthread_mutex_unlock(statistics->lock);
}

/*
 * Whether the file has been written by somebody else, as far as that was noticed; then it is
 * marked, so that the next writer begins anew.
 */
int kvmlog_statistics_damaged(struct kvmlog_statistics *statistics)
{
	struct kvmlog_statistics_header *header = statistics->map.header;
	struct kvmlog_statistics_header known;
	const __u8 magic[8] = "KVMLOGS\n";
	int damaged;

	pthread_mutex_lock(statistics->lock);
	known = *header;
	kvmlog_statistics_layout(statistics->map.layout.file_bytes, &known);
	if (memcmp(&known, header, sizeof(known)) || memcmp(header->magic, magic, sizeof(magic)) ||
	    header->format_version != KVMLOG_STATISTICS_FORMAT_VERSION ||
	    header->state != KVMLOG_STATISTICS_RUNNING)
		statistics->damaged = 1;
	if (statistics->damaged) {
		/* It is ours: the next writer is to replace it, not to take it for another file. */
		memcpy(header->magic, magic, sizeof(magic));
		__atomic_store_n(&header->state, KVMLOG_STATISTICS_REPLACED, __ATOMIC_RELEASE);
	}
	damaged = statistics->damaged;
	pthread_mutex_unlock(statistics->lock);
	return damaged;
}

/*
 * Goes on in the file of @fresh, which is as large and gets all that this one holds; readers of
 * the old one, which is the caller's to close, are told. -errno.
 */
int kvmlog_statistics_move(struct kvmlog_statistics *statistics,
			   const struct kvmlog_statistics_map *fresh)
{
	struct kvmlog_statistics_map old;
	int rc = -EINVAL;

	pthread_mutex_lock(statistics->lock);
	old = statistics->map;
	if (old.layout.file_bytes == fresh->layout.file_bytes) {
		kvmlog_statistics_fold_all(statistics);
		copy_used(statistics, fresh);
		statistics->map = *fresh;
		__atomic_store_n(&old.header->state, KVMLOG_STATISTICS_REPLACED, __ATOMIC_RELEASE);
		rc = 0;
	}
	pthread_mutex_unlock(statistics->lock);
	return rc;
}
