/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics of the log engine: per exit an entry of a cache takes the durations
 * in (take.c); an entry that is full, or a second old, is folded into the
 * rows of the file (fold.c). So an exit costs a few dozen instructions,
 * whatever number of rows it counts in.
 */
#ifndef KVMLOG_NATIVE_STATISTICS_H
#define KVMLOG_NATIVE_STATISTICS_H

#include <pthread.h>

#include <kvmlog/statistics.h>

#include "api.h"

/* A statistics file, mapped, or a copy of one in memory. Capacities are those of its size. */
struct kvmlog_statistics_map {
	struct kvmlog_statistics_header *header;
	struct kvmlog_statistics_guest *guests;
	struct kvmlog_statistics_reason *reasons;
	struct kvmlog_statistics_block *blocks;
	struct kvmlog_statistics_row *rows;
	struct kvmlog_statistics_header layout; /* offsets and capacities only */
	int fd;					/* borrowed; -1: a copy */
};

enum {
	KVMLOG_CACHE_BITS = 12,
	KVMLOG_CACHE_ENTRIES = 1 << KVMLOG_CACHE_BITS,
	/* Powers of two from 2^0 ns on that an entry tells apart, each in as many steps. */
	KVMLOG_CACHE_POWERS = KVMLOG_HISTOGRAM_OCTAVES + 4,
	KVMLOG_CACHE_STEPS = KVMLOG_CACHE_POWERS * KVMLOG_HISTOGRAM_STEPS,
	/* Where bits 47 and up of a double, its exponent and five bits, are those of 1.0. */
	KVMLOG_CACHE_ONE = 1023 * KVMLOG_HISTOGRAM_STEPS,
	KVMLOG_NO_ROW = 0xffffffff,
	KVMLOG_NOBODY = 1, /* who of an empty entry: of no record, whose low 16 bits are 0 */
};

/* From here on a duration is beyond the last octave. */
#define KVMLOG_DURATION_END (1ULL << KVMLOG_CACHE_POWERS)

/* Two sums at once, as one vector instruction adds them. */
typedef __u64 kvmlog_pair __attribute__((vector_size(16), aligned(16)));

/* One line of the cache: exits that are alike in all that rows tell apart. */
struct kvmlog_statistics_entry {
	__u64 kind; /* type, isa, source, flags; 0: empty */
	__u64 why;  /* reason, user_reason */
	__u64 detail;
	__u64 who; /* guest, vcpu */
	kvmlog_pair total_user_ns;
	kvmlog_pair halt_paused_ns;
	__u64 delay_kernel_us;
	__u64 delay_user_us;
	__u64 min_ns, max_ns;		      /* of those in counts */
	__u64 beyond_min_ns, beyond_max_ns;   /* of those that are beyond them */
	__u32 zeros, beyond;		      /* exits that counts cannot hold */
	__u32 rows[KVMLOG_STATISTICS_RETURN]; /* 1 + number by kind - 1; 0: not looked for yet */
	__u16 used;			      /* 1 + exits; 0: full */
	__u16 counts[KVMLOG_CACHE_STEPS];
} __attribute__((aligned(64)));

/* Which guest of the table a number of the source means. */
struct kvmlog_statistics_number {
	__u64 key;   /* source + 1, number; 0: free */
	__u32 guest; /* KVMLOG_NO_ROW: forgotten */
	__u32 reserved;
};

/* The lock is the ring writer's: who takes exits in holds it anyway. */
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

	struct kvmlog_statistics_number *numbers;
	__u32 numbers_mask;
	__u32 numbers_used;
	__u8 *retired; /* per guest: tracing was switched on since it was announced */
	__u8 *stale;   /* per guest: its number is of a source that is gone */
	__u8 *going;   /* scratch, per guest: to be forgotten */

	__u64 now_ns; /* CLOCK_MONOTONIC of the last exit taken in */
};

/* What one fold adds to the rows: an entry's exits. */
struct kvmlog_statistics_part {
	struct kvmlog_statistics_sums sums;
	__u64 overflow;	      /* exits for which there is no room */
	__u64 overflow_row;   /* the same, counted for each kind of row */
	__u64 overflow_block; /* the same, in the histogram */
	__u32 first_octave, last_octave;
	__u64 octaves[KVMLOG_HISTOGRAM_OCTAVES];
};

/* Readers keep no element that is being written. */
static inline void kvmlog_element_begin(__u32 *sequence)
{
	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void kvmlog_element_end(__u32 *sequence)
{
	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELEASE);
}

/* map.c */
__u64 kvmlog_statistics_clock_ns(void);
void kvmlog_statistics_header_begin(struct kvmlog_statistics *statistics);
void kvmlog_statistics_header_end(struct kvmlog_statistics *statistics);
void kvmlog_statistics_place(struct kvmlog_statistics_map *map, void *base);
void kvmlog_statistics_change_begin(struct kvmlog_statistics *statistics);
void kvmlog_statistics_change_end(struct kvmlog_statistics *statistics);

/* rows.c; KVMLOG_NO_ROW: no room. */
int kvmlog_statistics_index_all(struct kvmlog_statistics *statistics);
__u32 kvmlog_statistics_find_reason(struct kvmlog_statistics *statistics,
				    const struct kvmlog_statistics_key *key, int make);
__u32 kvmlog_statistics_find_row(struct kvmlog_statistics *statistics,
				 const struct kvmlog_statistics_key *key, int make);
__u32 kvmlog_statistics_block(struct kvmlog_statistics *statistics);

/* fold.c; the lock is held. */
void kvmlog_statistics_entry_clear(struct kvmlog_statistics_entry *entry);
void kvmlog_statistics_fold_entry(struct kvmlog_statistics *statistics,
				  struct kvmlog_statistics_entry *entry);
void kvmlog_statistics_fold_all(struct kvmlog_statistics *statistics);
void kvmlog_sums_add(struct kvmlog_statistics_sums *sums,
		     const struct kvmlog_statistics_sums *more);

/* owners.c: who a row belongs to; the lock is held. */
void kvmlog_statistics_move_guest(struct kvmlog_statistics *statistics, __u32 from, __u32 to);

/* guests.c; the lock is held. Never fails: KVMLOG_NO_ROW where the table is full. */
__u32 kvmlog_statistics_guest_of(struct kvmlog_statistics *statistics, __u8 source, __u32 number);
void kvmlog_statistics_guest_seen(struct kvmlog_statistics *statistics,
				  const struct kvmlog_record_guest *note);

/* take.c; the lock is held. */
void kvmlog_statistics_take(struct kvmlog_statistics *statistics,
			    const struct kvmlog_record *records, __u64 count);

#endif
