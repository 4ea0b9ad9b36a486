/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An entry of the cache: what take.c fills, and what fold.c takes it apart with. */
#ifndef KVMLOG_STATISTICS_ENTRY_H
#define KVMLOG_STATISTICS_ENTRY_H

#include <string.h>

#include <kvmlog/statistics.h>

#include "api.h"

enum {
	KVMLOG_CACHE_BITS = 12,
	KVMLOG_CACHE_ENTRIES = 1 << KVMLOG_CACHE_BITS,
	/* Powers of two from 2^0 ns on that an entry tells apart, each in as many steps. */
	KVMLOG_CACHE_POWERS = KVMLOG_HISTOGRAM_OCTAVES + 4,
	KVMLOG_CACHE_STEPS = KVMLOG_CACHE_POWERS * KVMLOG_HISTOGRAM_STEPS,
	/* Where bits 47 and up of a double, its exponent and five bits, are those of 1.0. */
	KVMLOG_CACHE_ONE = 1023 * KVMLOG_HISTOGRAM_STEPS,
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
	__u64 min_ns, max_ns;		    /* of those in counts */
	__u64 beyond_min_ns, beyond_max_ns; /* of those that are beyond them */
	__u32 zeros, beyond;		    /* exits that counts cannot hold */
	__u16 used;			    /* 1 + exits; 0: full */
	__u16 counts[KVMLOG_CACHE_STEPS];
} __attribute__((aligned(64)));

/* What an entry's exits have in common, as kvmlog_statistics_take() packed it. */
struct kvmlog_alike {
	__u8 isa;
	__u8 source;
	__u16 flags; /* enum kvmlog_flag */
	__u32 reason;
	__u16 user_reason;
	__u32 guest_number;
	__u16 vcpu;
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

/* The counts are empty by then. */
static inline void kvmlog_statistics_entry_clear(struct kvmlog_statistics_entry *entry)
{
	entry->total_user_ns = (kvmlog_pair){ 0, 0 };
	entry->halt_paused_ns = (kvmlog_pair){ 0, 0 };
	entry->delay_kernel_us = 0;
	entry->delay_user_us = 0;
	entry->min_ns = ~0ULL;
	entry->max_ns = 0;
	entry->beyond_min_ns = ~0ULL;
	entry->beyond_max_ns = 0;
	entry->zeros = 0;
	entry->beyond = 0;
	entry->used = 1;
}

/* The same for one whose counts are not: they go nowhere. */
static inline void kvmlog_statistics_entry_forget(struct kvmlog_statistics_entry *entry)
{
	memset(entry->counts, 0, sizeof(entry->counts));
	kvmlog_statistics_entry_clear(entry);
}

/* kinds.c */
struct kvmlog_alike kvmlog_alike_of(const struct kvmlog_statistics_entry *entry);
__u8 kvmlog_alike_flags(const struct kvmlog_alike *alike);
void kvmlog_alike_split(const struct kvmlog_alike *alike,
			const struct kvmlog_statistics_entry *entry,
			struct kvmlog_statistics_sums *sums);

/* keys.c; kvmlog_cpuid_has_subleaves() stands in api.h. */
void kvmlog_alike_detail(const struct kvmlog_alike *alike,
			 const struct kvmlog_statistics_entry *entry,
			 struct kvmlog_statistics_key *key);
int kvmlog_alike_widen(const struct kvmlog_alike *alike, struct kvmlog_statistics_key *key);

#endif
