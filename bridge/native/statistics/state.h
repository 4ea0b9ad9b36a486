/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's side of the statistics: its state, and what its files offer each other, the
 * lowest first. The lock is held by who calls any of these; statistics.c takes it.
 */
#ifndef KVMLOG_STATISTICS_STATE_H
#define KVMLOG_STATISTICS_STATE_H

#include <pthread.h>

#include "statistics/entry.h"
#include "statistics/map.h"

enum {
	KVMLOG_NO_ROW = 0xffffffff, /* no reason, no row, no guest: there is no room */
};

/* Which guest of the table a number of the source means. */
struct kvmlog_statistics_number {
	__u64 key;   /* source + 1, number; 0: free */
	__u32 guest; /* KVMLOG_NO_ROW: forgotten */
	__u32 reserved;
};

/* The details of a reason that may lose their rows. */
struct kvmlog_statistics_details {
	__u32 first; /* 1 + row; 0: none. `next_detail` has the one after it */
	__u32 count;
};

/* One of them, while it is decided who does. */
struct kvmlog_ranked_detail {
	__u64 worth_ns;
	__u32 row;
	__u32 reserved;
};

/* The lock is the ring writer's, who takes exits in holds it anyway; or a tally's. */
struct kvmlog_statistics {
	struct kvmlog_statistics_map map;
	pthread_mutex_t *lock;
	struct kvmlog_statistics_entry *cache;
	__u32 *dirty; /* entries that hold something */
	__u32 dirty_count;

	__u32 *index; /* hash of keys: 1 + reason, or 1 + reasons_capacity + row; 0 free */
	__u32 index_mask;
	__u32 *free_reasons, *free_blocks, *free_rows; /* stacks */
	__u32 free_reasons_count, free_blocks_count, free_rows_count;
	__u8 *in_use; /* scratch: a byte for each reason, block and row */

	struct kvmlog_statistics_details *details; /* by reason */
	__u32 *next_detail;			   /* by row: 1 + row; 0: it is the last */
	struct kvmlog_ranked_detail *ranked;	   /* scratch */

	struct kvmlog_statistics_number *numbers;
	__u32 numbers_mask;
	__u32 numbers_used;
	__u8 *retired; /* per guest: tracing was switched on since it was announced */
	__u8 *stale;   /* per guest: its number is of a source that is gone */
	__u8 *going;   /* scratch, per guest: to be forgotten */

	__u64 now_ns; /* CLOCK_MONOTONIC of the last exit taken in */
	int damaged;  /* the file held what cannot be: somebody else wrote it; no more is counted */
};

/*
 * Whoever may write the file may scribble over it at any time: no number in it is used as an
 * index without a look at what there is.
 */
static inline __u32 kvmlog_statistics_bounded(struct kvmlog_statistics *statistics, __u32 count,
					      __u32 capacity)
{
	if (count <= capacity)
		return count;
	statistics->damaged = 1;
	return capacity;
}

/* How many elements of a part were ever in use. */
#define kvmlog_statistics_used(statistics, part)                                     \
	kvmlog_statistics_bounded(statistics, (statistics)->map.header->part##_used, \
				  (statistics)->map.layout.part##_capacity)

/* Whether @number is one of a guest, or of a block that is not KVMLOG_NO_BLOCK. */
#define kvmlog_statistics_is(statistics, part, number) \
	((number) < (statistics)->map.layout.part##_capacity ? 1 : !((statistics)->damaged = 1))

/* statistics.c, above all others but tally.c */
struct kvmlog_statistics *kvmlog_statistics_on(const struct kvmlog_statistics_map *map,
					       pthread_mutex_t *lock, int *error);

/* rows.c */
int kvmlog_statistics_index_all(struct kvmlog_statistics *statistics);
__u32 kvmlog_statistics_find_reason(struct kvmlog_statistics *statistics,
				    const struct kvmlog_statistics_key *key, int make);
__u32 kvmlog_statistics_find_row(struct kvmlog_statistics *statistics,
				 const struct kvmlog_statistics_key *key, int make);
void kvmlog_statistics_list_detail(struct kvmlog_statistics *statistics, __u32 reason, __u32 row);
void kvmlog_statistics_give_row(struct kvmlog_statistics *statistics, __u32 number);
__u32 kvmlog_statistics_block(struct kvmlog_statistics *statistics);
void kvmlog_statistics_free_reason(struct kvmlog_statistics *statistics,
				   struct kvmlog_statistics_reason *reason);
void kvmlog_statistics_free_row(struct kvmlog_statistics_row *row);

/* details.c */
void kvmlog_statistics_details_merged(struct kvmlog_statistics *statistics, __u32 guest);
__u32 kvmlog_statistics_detail(struct kvmlog_statistics *statistics,
			       const struct kvmlog_alike *alike, struct kvmlog_statistics_key *key,
			       __u32 reason);

/* guest_table.c */
__u32 kvmlog_statistics_guest_find(const struct kvmlog_statistics *statistics, __u8 source,
				   __u32 number);
__u32 kvmlog_statistics_guest_of(struct kvmlog_statistics *statistics, __u8 source, __u32 number);
__u32 kvmlog_statistics_guest_new(struct kvmlog_statistics *statistics, __u8 source, __u32 number);
void kvmlog_statistics_guest_free(struct kvmlog_statistics *statistics, __u32 guest);
void kvmlog_statistics_number_set(struct kvmlog_statistics *statistics, __u8 source, __u32 number,
				  __u32 guest);
void kvmlog_statistics_numbers_again(struct kvmlog_statistics *statistics);
void kvmlog_statistics_numbers_free(struct kvmlog_statistics *statistics);

/* histogram.c */
void kvmlog_statistics_digest(struct kvmlog_statistics *statistics,
			      struct kvmlog_statistics_entry *entry,
			      struct kvmlog_statistics_reason *reason,
			      struct kvmlog_statistics_part *part);

/* fold.c; kvmlog_statistics_fold_all() stands in statistics.h. */
void kvmlog_statistics_fold_entry(struct kvmlog_statistics *statistics,
				  struct kvmlog_statistics_entry *entry);

/* merge.c */
void kvmlog_statistics_merge_guests(struct kvmlog_statistics *statistics, __u32 from, __u32 to);

/* guests.c; kvmlog_statistics_guest_seen() stands in statistics.h. */
void kvmlog_statistics_retire_guests(struct kvmlog_statistics *statistics, int fresh);

/* forget.c */
void kvmlog_statistics_forget_guests(struct kvmlog_statistics *statistics, const __u8 *forgotten,
				     const struct kvmlog_statistics_guest *listed);
void kvmlog_statistics_begin_anew(struct kvmlog_statistics *statistics, __u64 realtime_ns);

#endif
