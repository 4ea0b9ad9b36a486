// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes exits in: the only part of the statistics that runs for each of them. Cost
 * per exit is published (docs/support-matrix.md), so count instructions before adding any.
 */
#include <stddef.h>
#include <string.h>

#include "statistics/state.h"
#include "statistics/statistics.h"

/* What of a record's first eight bytes tells rows apart: type, isa, source and some flags. */
#define KIND_MASK                                                                   \
	(0x0000000000ffffffULL |                                                    \
	 (__u64)(KVMLOG_F_NESTED | KVMLOG_F_DETAIL_VALID | KVMLOG_F_HALT_SLEPT |    \
		 KVMLOG_F_USER_REASON | KVMLOG_F_USER_EINTR | KVMLOG_F_NO_REENTRY | \
		 KVMLOG_F_NESTED_L0 | KVMLOG_F_NESTED_L1)                           \
		 << 32)

#define AT(field) offsetof(struct kvmlog_record, field)
#define FOLLOWS(field, next) \
	_Static_assert(AT(next) == AT(field) + sizeof(((struct kvmlog_record *)0)->field), #next)

/* Fields that are read together, with one load. */
_Static_assert(AT(type) == 0 && AT(isa) == 1 && AT(source) == 2 && AT(flags) == 4, "kind");
FOLLOWS(reason, user_reason);
FOLLOWS(user_reason, user_errno);
FOLLOWS(guest, vcpu);
FOLLOWS(vcpu, cpu);
FOLLOWS(total_ns, user_ns);
FOLLOWS(halt_ns, paused_ns);
FOLLOWS(delay_kernel_us, delay_user_us);
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the packing below");

static inline __u64 load(const void *from)
{
	__u64 value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static inline kvmlog_pair load_pair(const void *from)
{
	kvmlog_pair value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static __attribute__((noinline)) void adopt(struct kvmlog_statistics *statistics,
					    struct kvmlog_statistics_entry *entry)
{
	if (entry->kind) {
		kvmlog_statistics_fold_entry(statistics, entry);
	} else {
		/* Perhaps never touched before: memory that no exit needs is never taken. */
		kvmlog_statistics_entry_clear(entry);
		statistics->dirty[statistics->dirty_count++] = (__u32)(entry - statistics->cache);
	}
}

/* A duration outside min_ns .. max_ns. False: it has no place in the counts. */
static __attribute__((noinline)) int extend(struct kvmlog_statistics_entry *entry, __u64 ns)
{
	if (!ns) {
		entry->zeros++;
		return 0;
	}
	if (ns >= KVMLOG_DURATION_END) {
		entry->beyond++;
		if (ns < entry->beyond_min_ns)
			entry->beyond_min_ns = ns;
		if (ns > entry->beyond_max_ns)
			entry->beyond_max_ns = ns;
		return 0;
	}
	if (ns < entry->min_ns)
		entry->min_ns = ns;
	if (ns > entry->max_ns)
		entry->max_ns = ns;
	return 1;
}

/* The power of two and the step of a duration: exponent and first five bits of a double. */
static inline __u64 step_of(__u64 ns)
{
	double value = (double)(__s64)ns;
	__u64 bits;

	memcpy(&bits, &value, sizeof(bits));
	return (bits >> 47) - KVMLOG_CACHE_ONE;
}

void kvmlog_statistics_take(struct kvmlog_statistics *statistics,
			    const struct kvmlog_record *records, __u64 count)
{
	struct kvmlog_statistics_entry *cache = statistics->cache;
	const struct kvmlog_record *end = records + count;

	if (count)
		statistics->now_ns = end[-1].exit_ns;
	for (const struct kvmlog_record *record = records; record < end; record++) {
		__u64 kind = load(record) & KIND_MASK;
		__u64 why = load(&record->reason) << 16;
		__u64 who = load(&record->guest) << 16;
		__u64 detail = record->detail;
		__u64 hash = ((why ^ detail ^ kind) + (who >> 8)) * 0x9e3779b97f4a7c15ULL;
		struct kvmlog_statistics_entry *entry = &cache[hash >> (64 - KVMLOG_CACHE_BITS)];
		__u64 ns = record->total_ns;

		if (__builtin_expect(entry->kind != kind || entry->why != why ||
					     entry->detail != detail || entry->who != who,
				     0)) {
			if ((__u8)kind != KVMLOG_RECORD_EXIT)
				continue;
			adopt(statistics, entry);
			entry->kind = kind;
			entry->why = why;
			entry->detail = detail;
			entry->who = who;
		}
		entry->total_user_ns += load_pair(&record->total_ns);
		entry->halt_paused_ns += load_pair(&record->halt_ns);
		if (load(&record->delay_kernel_us)) {
			entry->delay_kernel_us += record->delay_kernel_us;
			entry->delay_user_us += record->delay_user_us;
		}
		if (__builtin_expect(
			    (ns >= entry->min_ns && ns <= entry->max_ns) || extend(entry, ns), 1))
			entry->counts[step_of(ns)]++;
		if (__builtin_expect(__builtin_add_overflow(entry->used, 1, &entry->used), 0))
			kvmlog_statistics_fold_entry(statistics, entry);
	}
}
