// SPDX-License-Identifier: GPL-2.0-or-later
/* From an entry of the cache into the rows of the file. */
#include <string.h>

#include <linux/kvm.h>

#include <kvmlog/reasons.h>

#include "statistics.h"

enum {
	NS_PER_US = 1000,
	GIB_SHIFT = 30,
	/* I/O APIC, HPET and local APIC, which KVM emulates (Intel SDM vol. 3, 11.4; chipsets). */
	PLATFORM_START = 0xfec00000U,
	PLATFORM_END = 0xfef00000U,
};

/* What an entry's exits have in common, as kvmlog_statistics_take() packed it. */
struct alike {
	__u8 isa;
	__u8 source;
	__u16 flags; /* enum kvmlog_flag */
	__u32 reason;
	__u16 user_reason;
	__u32 guest_number;
	__u16 vcpu;
};

static struct alike unpack(const struct kvmlog_statistics_entry *entry)
{
	struct alike alike = {
		.isa = (__u8)(entry->kind >> 8),
		.source = (__u8)(entry->kind >> 16),
		.flags = (__u16)(entry->kind >> 32),
		.reason = (__u32)(entry->why >> 16),
		.user_reason = (__u16)(entry->why >> 48),
		.guest_number = (__u32)(entry->who >> 16),
		.vcpu = (__u16)(entry->who >> 48),
	};

	if (alike.isa == KVMLOG_ISA_VMX)
		alike.reason &= KVMLOG_VMX_BASIC_MASK;
	if (alike.flags & KVMLOG_F_USER_EINTR && !(alike.flags & KVMLOG_F_USER_REASON))
		alike.user_reason = KVM_EXIT_INTR;
	else if (!(alike.flags & KVMLOG_F_USER_REASON))
		alike.user_reason = KVMLOG_NO_RETURN;
	return alike;
}

static int is_halt(const struct alike *alike)
{
	if (alike->flags & KVMLOG_F_HALT_SLEPT || alike->user_reason == KVM_EXIT_HLT)
		return 1;
	switch (alike->isa) {
	case KVMLOG_ISA_VMX:
		return alike->reason == KVMLOG_VMX_HLT;
	case KVMLOG_ISA_SVM:
		return alike->reason == KVMLOG_SVM_HLT || alike->reason == KVMLOG_SVM_IDLE_HLT;
	case KVMLOG_ISA_ARM64:
		return alike->reason == KVMLOG_ARM64_WFX;
	}
	return 0;
}

/*
 * Written in the middle of a halt. KVM tells only at its end how long it was and whether
 * it slept: it did, but for the polling of a halt that had just begun.
 */
static int is_under_way(const struct alike *alike)
{
	return alike->flags & KVMLOG_F_NO_REENTRY && alike->user_reason == KVMLOG_NO_RETURN &&
	       is_halt(alike);
}

/*
 * The key that a detail is counted under. Memory has too many addresses: only those of
 * devices are kept as they are, as far as an exit tells that it is a device's.
 */
static void detail_of(const struct alike *alike, const struct kvmlog_statistics_entry *entry,
		      struct kvmlog_statistics_key *key)
{
	int memory = 0;

	if (!(alike->flags & KVMLOG_F_DETAIL_VALID)) {
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_NONE;
		return;
	}
	if (alike->isa == KVMLOG_ISA_VMX)
		memory = alike->reason == KVMLOG_VMX_EPT_VIOLATION ||
			 alike->reason == KVMLOG_VMX_INVLPG;
	else if (alike->isa == KVMLOG_ISA_SVM)
		memory = alike->reason == KVMLOG_SVM_NPF || alike->reason == KVMLOG_SVM_INVLPG;
	if (alike->user_reason == KVM_EXIT_MMIO ||
	    (entry->detail >= PLATFORM_START && entry->detail < PLATFORM_END))
		memory = 0;
	key->detail = entry->detail;
	key->detail_kind = KVMLOG_STATISTICS_DETAIL_EXACT;
	if (memory) {
		key->detail = entry->detail >> GIB_SHIFT << GIB_SHIFT;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_REGION;
	}
}

static __u64 at_most(__u64 value, __u64 limit)
{
	return value < limit ? value : limit;
}

/*
 * Who spent the time. A wait for a CPU after a halt that slept lies inside the halt as
 * KVM measures it; one in user space inside the VMM's time.
 */
static void split(const struct alike *alike, const struct kvmlog_statistics_entry *entry,
		  struct kvmlog_statistics_sums *sums)
{
	__u64 user = at_most(entry->total_user_ns[1], sums->total_ns);
	__u64 kernel = sums->total_ns - user;
	__u64 wait_kernel = at_most(entry->delay_kernel_us * NS_PER_US, kernel);
	__u64 wait_user;

	if (is_under_way(alike)) {
		sums->idle_ns = kernel - wait_kernel;
	} else if (alike->flags & KVMLOG_F_HALT_SLEPT) {
		__u64 halted = at_most(entry->halt_paused_ns[0], kernel);

		sums->idle_ns = halted > wait_kernel ? halted - wait_kernel : 0;
	}
	sums->kvm_ns = kernel - wait_kernel - sums->idle_ns;
	sums->paused_ns = at_most(entry->halt_paused_ns[1], user);
	user -= sums->paused_ns;
	wait_user = at_most(entry->delay_user_us * NS_PER_US, user);
	sums->wait_ns = wait_kernel + wait_user;
	/* An interrupt controller in the VMM: it is the VMM that sleeps for the guest. */
	if (alike->user_reason == KVM_EXIT_HLT)
		sums->idle_ns += user - wait_user;
	else
		sums->vmm_ns = user - wait_user;
}

void kvmlog_sums_add(struct kvmlog_statistics_sums *sums, const struct kvmlog_statistics_sums *more)
{
	sums->count += more->count;
	sums->total_ns += more->total_ns;
	if (more->min_ns < sums->min_ns)
		sums->min_ns = more->min_ns;
	if (more->max_ns > sums->max_ns)
		sums->max_ns = more->max_ns;
	sums->kvm_ns += more->kvm_ns;
	sums->vmm_ns += more->vmm_ns;
	sums->wait_ns += more->wait_ns;
	sums->idle_ns += more->idle_ns;
	sums->paused_ns += more->paused_ns;
}

/* So many durations of one step into the octaves, and into @reason's histogram unless NULL. */
static void add_step(struct kvmlog_statistics *statistics, struct kvmlog_statistics_reason *reason,
		     struct kvmlog_statistics_part *part, __u32 octave, __u32 step, __u64 count)
{
	__u32 block;

	part->octaves[octave] += count;
	if (!reason)
		return;
	block = reason->blocks[octave];
	if (block == KVMLOG_NO_BLOCK) {
		block = kvmlog_statistics_block(statistics);
		reason->blocks[octave] = block;
	}
	if (block == KVMLOG_NO_BLOCK)
		part->overflow_block += count;
	else
		statistics->map.blocks[block].counts[step] += count;
}

/* Powers below 2^5 are one octave, in which each duration is a step. */
static __u32 octave_of(__u32 power)
{
	return power < 5 ? 0 : power - 4;
}

static __u32 power_of(__u64 ns)
{
	return 63 - (__u32)__builtin_clzll(ns);
}

static void add_power(struct kvmlog_statistics *statistics, struct kvmlog_statistics_entry *entry,
		      struct kvmlog_statistics_reason *reason, struct kvmlog_statistics_part *part,
		      __u32 power)
{
	__u16 *counts = &entry->counts[power * KVMLOG_HISTOGRAM_STEPS];

	for (__u32 four = 0; four < KVMLOG_HISTOGRAM_STEPS; four += 4) {
		__u64 any;

		memcpy(&any, &counts[four], sizeof(any));
		if (!any)
			continue;
		for (__u32 step = four; step < four + 4; step++) {
			__u32 place = step;

			if (!counts[step])
				continue;
			if (power < 5)
				place = (KVMLOG_HISTOGRAM_STEPS + step) >> (5 - power);
			add_step(statistics, reason, part, octave_of(power), place, counts[step]);
		}
		memset(&counts[four], 0, sizeof(any));
	}
}

/* The entry's durations into the sums and octaves, and into @reason's histogram unless NULL. */
static void digest(struct kvmlog_statistics *statistics, struct kvmlog_statistics_entry *entry,
		   struct kvmlog_statistics_reason *reason, struct kvmlog_statistics_part *part)
{
	part->sums.count = (__u16)(entry->used - 1);
	part->sums.total_ns = entry->total_user_ns[0];
	part->sums.min_ns = entry->zeros ? 0 : entry->min_ns;
	part->sums.max_ns = entry->max_ns;
	part->first_octave = KVMLOG_HISTOGRAM_OCTAVES - 1;
	if (entry->min_ns <= entry->max_ns) {
		__u32 last = power_of(entry->max_ns);

		part->first_octave = octave_of(power_of(entry->min_ns));
		part->last_octave = octave_of(last);
		for (__u32 power = power_of(entry->min_ns); power <= last; power++)
			add_power(statistics, entry, reason, part, power);
	}
	if (entry->zeros) {
		part->first_octave = 0;
		add_step(statistics, reason, part, 0, 0, entry->zeros);
	}
	if (entry->beyond) {
		part->last_octave = KVMLOG_HISTOGRAM_OCTAVES - 1;
		part->sums.max_ns = entry->beyond_max_ns;
		part->sums.min_ns = at_most(part->sums.min_ns, entry->beyond_min_ns);
		add_step(statistics, reason, part, KVMLOG_HISTOGRAM_OCTAVES - 1,
			 KVMLOG_HISTOGRAM_STEPS - 1, entry->beyond);
	}
}

static void add_row(struct kvmlog_statistics_row *row, struct kvmlog_statistics_part *part)
{
	if (!row) {
		part->overflow_row += part->sums.count;
		return;
	}
	kvmlog_element_begin(&row->sequence);
	kvmlog_sums_add(&row->sums, &part->sums);
	if (row->key.kind != KVMLOG_STATISTICS_RETURN)
		for (__u32 i = part->first_octave; i <= part->last_octave; i++)
			row->octaves[i] += part->octaves[i];
	kvmlog_element_end(&row->sequence);
}

/* The row for a detail: of its own, or the one that further keys share. */
static __u32 detail_row(struct kvmlog_statistics *statistics, struct kvmlog_statistics_key *key,
			struct kvmlog_statistics_reason *reason)
{
	__u32 row = kvmlog_statistics_find_row(statistics, key, 0);

	if (row != KVMLOG_NO_ROW)
		return row;
	if (!reason || reason->details >= KVMLOG_STATISTICS_DETAILS) {
		key->detail = 0;
		key->detail_kind = KVMLOG_STATISTICS_DETAIL_OTHER;
		return kvmlog_statistics_find_row(statistics, key, 1);
	}
	row = kvmlog_statistics_find_row(statistics, key, 1);
	if (row == KVMLOG_NO_ROW)
		return row;
	kvmlog_element_begin(&reason->sequence);
	reason->details++;
	kvmlog_element_end(&reason->sequence);
	return row;
}

/* Looks for the rows of an entry that was adopted since. Those without room stay 0. */
static void resolve(struct kvmlog_statistics *statistics, const struct alike *alike,
		    struct kvmlog_statistics_entry *entry)
{
	struct kvmlog_statistics_key common = {
		.reason = alike->reason,
		.isa = alike->isa,
		.flags = (alike->flags & KVMLOG_F_NESTED ? KVMLOG_STATISTICS_NESTED : 0) |
			 (is_halt(alike) ? KVMLOG_STATISTICS_HALT : 0),
	};
	struct kvmlog_statistics_reason *reason = NULL;
	struct kvmlog_statistics_key key;

	common.guest = kvmlog_statistics_guest_of(statistics, alike->source, alike->guest_number);
	if (common.guest == KVMLOG_NO_ROW)
		return;
	key = common;
	key.kind = KVMLOG_STATISTICS_REASON;
	entry->rows[KVMLOG_STATISTICS_REASON - 1] =
		kvmlog_statistics_find_reason(statistics, &key, 1) + 1;
	if (entry->rows[KVMLOG_STATISTICS_REASON - 1])
		reason = &statistics->map.reasons[entry->rows[KVMLOG_STATISTICS_REASON - 1] - 1];

	key = common;
	key.kind = KVMLOG_STATISTICS_VCPU;
	key.vcpu = alike->vcpu;
	entry->rows[KVMLOG_STATISTICS_VCPU - 1] =
		kvmlog_statistics_find_row(statistics, &key, 1) + 1;

	key = common;
	key.kind = KVMLOG_STATISTICS_DETAIL;
	detail_of(alike, entry, &key);
	entry->rows[KVMLOG_STATISTICS_DETAIL - 1] = detail_row(statistics, &key, reason) + 1;

	key = common;
	key.kind = KVMLOG_STATISTICS_RETURN;
	key.user_reason = alike->user_reason;
	entry->rows[KVMLOG_STATISTICS_RETURN - 1] =
		kvmlog_statistics_find_row(statistics, &key, 1) + 1;
}

static void add_guest(struct kvmlog_statistics *statistics, __u32 number, __u64 exits)
{
	struct kvmlog_statistics_guest *guest = &statistics->map.guests[number];

	kvmlog_element_begin(&guest->sequence);
	guest->exits += exits;
	guest->last_ns = statistics->now_ns;
	kvmlog_element_end(&guest->sequence);
}

static void count(struct kvmlog_statistics *statistics, const struct kvmlog_statistics_part *part)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	kvmlog_statistics_header_begin(statistics);
	header->exits += part->sums.count;
	if (part->overflow) {
		header->overflow += part->overflow;
		header->overflow_ns += part->sums.total_ns;
	}
	header->overflow_row += part->overflow_row;
	header->overflow_block += part->overflow_block;
	kvmlog_statistics_header_end(statistics);
}

/* The counts are empty by then. */
void kvmlog_statistics_entry_clear(struct kvmlog_statistics_entry *entry)
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

void kvmlog_statistics_fold_entry(struct kvmlog_statistics *statistics,
				  struct kvmlog_statistics_entry *entry)
{
	struct alike alike = unpack(entry);
	struct kvmlog_statistics_part part = { 0 };
	struct kvmlog_statistics_reason *reason = NULL;

	if (entry->used == 1)
		return;
	if (!entry->rows[KVMLOG_STATISTICS_REASON - 1])
		resolve(statistics, &alike, entry);
	if (entry->rows[KVMLOG_STATISTICS_REASON - 1]) {
		reason = &statistics->map.reasons[entry->rows[KVMLOG_STATISTICS_REASON - 1] - 1];
		kvmlog_element_begin(&reason->sequence);
	}
	digest(statistics, entry, reason, &part);
	split(&alike, entry, &part.sums);
	if (reason) {
		kvmlog_sums_add(&reason->sums, &part.sums);
		kvmlog_element_end(&reason->sequence);
		add_guest(statistics, reason->key.guest, part.sums.count);
	} else {
		part.overflow = part.sums.count;
	}
	for (__u32 kind = KVMLOG_STATISTICS_VCPU; kind <= KVMLOG_STATISTICS_RETURN; kind++) {
		__u32 row = entry->rows[kind - 1];

		add_row(row ? &statistics->map.rows[row - 1] : NULL, &part);
	}
	kvmlog_statistics_entry_clear(entry);
	count(statistics, &part);
}

void kvmlog_statistics_fold_all(struct kvmlog_statistics *statistics)
{
	struct kvmlog_statistics_header *header = statistics->map.header;

	/* An emptied entry is adopted anew by the next exit, which puts it on the list again. */
	for (__u32 i = 0; i < statistics->dirty_count; i++) {
		struct kvmlog_statistics_entry *entry = &statistics->cache[statistics->dirty[i]];

		kvmlog_statistics_fold_entry(statistics, entry);
		entry->kind = 0;
		entry->who = KVMLOG_NOBODY;
	}
	statistics->dirty_count = 0;
	kvmlog_statistics_header_begin(statistics);
	header->folded_ns = kvmlog_statistics_clock_ns();
	header->reasons_free = statistics->free_reasons_count;
	header->blocks_free = statistics->free_blocks_count;
	header->rows_free = statistics->free_rows_count;
	kvmlog_statistics_header_end(statistics);
}
