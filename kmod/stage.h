/* SPDX-License-Identifier: GPL-2.0-only */
/* The place on each CPU where probes put their records: the fast path, inlined. */
#ifndef _KVMLOG_STAGE_H
#define _KVMLOG_STAGE_H

#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/record.h>

#include "config.h"
#include "lock.h"

struct kvmlog_stage {
	/*
	 * Covers this and the CPU's list of buffers (buffer.h). Taken by probes
	 * (preemption disabled), by kvmlog_emit() in any context, by the flush
	 * worker; with interrupts off, because an interrupt may emit.
	 */
	struct kvmlog_lock lock;
	bool kick_due;		    /* enough is complete to wake the worker */
	struct kvmlog_record *next; /* where the next record goes; NULL: no room */
	struct kvmlog_record *end;  /* of the buffer that is being filled */
	u64 lost;		    /* records since switched on, as batches report it */
};

DECLARE_PER_CPU(struct kvmlog_stage, kvmlog_stages);

/* Lock held: the buffer that is being filled has become full. */
void kvmlog_stage_full(struct kvmlog_stage *stage);

/* Interrupts off, lock held. */
static __always_inline bool kvmlog_stage_append(struct kvmlog_stage *stage,
						const struct kvmlog_record *record)
{
	struct kvmlog_record *slot = stage->next;

	if (unlikely(!slot))
		return false;
	*slot = *record;
	stage->next = ++slot;
	if (unlikely(slot == stage->end))
		kvmlog_stage_full(stage);
	return true;
}

/* The same for a record of another type than EXIT. */
bool kvmlog_stage_note(struct kvmlog_stage *stage, const struct kvmlog_record *record);

/* Interrupts off. Writes one exit; false: no room, counted as dropped. */
static __always_inline bool kvmlog_stage_write(const struct kvmlog_record *record)
{
	struct kvmlog_stage *stage = this_cpu_ptr(&kvmlog_stages);
	bool written;

	kvmlog_lock(&stage->lock);
	written = kvmlog_stage_append(stage, record);
	if (likely(written)) {
		this_cpu_inc(kvmlog_counts.emitted);
	} else {
		this_cpu_inc(kvmlog_counts.dropped_buffer);
		stage->lost++;
	}
	kvmlog_unlock(&stage->lock);
	return written;
}

void kvmlog_stage_kick(void);

/*
 * Asks for a flush when that is due. Called at an exit, not at an entry: there
 * interrupts are off until the guest runs, and would throw it out again at once.
 */
static __always_inline void kvmlog_stage_kick_if_due(void)
{
	if (unlikely(this_cpu_read(kvmlog_stages.kick_due)))
		kvmlog_stage_kick();
}

/* An exit was lost before it came here: the next batch of this CPU reports it. */
static inline void kvmlog_stage_count_lost(void)
{
	this_cpu_inc(kvmlog_stages.lost);
}

#endif
