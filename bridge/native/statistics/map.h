/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A statistics file as it is mapped, and its rows while they are being written. */
#ifndef KVMLOG_STATISTICS_MAP_H
#define KVMLOG_STATISTICS_MAP_H

#include <kvmlog/statistics.h>

#include "api.h"

/* A statistics file, mapped; or statistics in memory, a copy or a tally. Capacities are those of its size. */
struct kvmlog_statistics_map {
	struct kvmlog_statistics_header *header;
	struct kvmlog_statistics_guest *guests;
	struct kvmlog_statistics_reason *reasons;
	struct kvmlog_statistics_block *blocks;
	struct kvmlog_statistics_row *rows;
	struct kvmlog_statistics_header layout; /* offsets and capacities only */
	int fd;					/* borrowed; -1: in memory */
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

/* The same for the file's header, and for changes of owners, after which copies are made again. */
static inline void kvmlog_sequence_begin(__u64 *sequence)
{
	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void kvmlog_sequence_end(__u64 *sequence)
{
	__atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELEASE);
}

/* How many elements of a part were ever in use: what readers look at under no sequence. */
static inline void kvmlog_statistics_set_used(__u32 *used, __u32 count)
{
	__atomic_store_n(used, count, __ATOMIC_RELEASE);
}

/* Whether details of this reason, without VMX's flags, are guest physical addresses of a PC. */
static inline int kvmlog_is_address(__u8 isa, __u32 reason)
{
	if (isa == KVMLOG_ISA_VMX)
		return reason == KVMLOG_VMX_EPT_VIOLATION || reason == KVMLOG_VMX_EPT_MISCONFIG;
	return isa == KVMLOG_ISA_SVM && reason == KVMLOG_SVM_NPF;
}

/* map.c */
void kvmlog_statistics_place(struct kvmlog_statistics_map *map, void *base);
struct kvmlog_statistics_map *
kvmlog_statistics_in_memory(const struct kvmlog_statistics_header *layout);
int kvmlog_statistics_whole(const struct kvmlog_statistics_map *map);
int kvmlog_statistics_guarded(const struct kvmlog_statistics_map *map, int (*run)(void *argument),
			      void *argument);
void kvmlog_statistics_restore_layout(struct kvmlog_statistics_header *header,
				      const struct kvmlog_statistics_header *layout);

/* sums.c */
void kvmlog_sums_add(struct kvmlog_statistics_sums *sums,
		     const struct kvmlog_statistics_sums *more);
void kvmlog_sums_subtract(struct kvmlog_statistics_sums *sums,
			  const struct kvmlog_statistics_sums *less);

#endif
