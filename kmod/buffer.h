/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each CPU's buffer: sub-buffers that are used in turn. Probes produce records into
 * one of them (the fast path, inlined), the flush worker consumes complete ones.
 */
#ifndef _KVMLOG_BUFFER_H
#define _KVMLOG_BUFFER_H

#include <linux/cache.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/record.h>

#include "counters.h"
#include "lock.h"

enum {
	KVMLOG_SUBBUF_ORDER = 3, /* 32 KiB: a third less work for each record than with 16 */
	KVMLOG_SUBBUF_BYTES = PAGE_SIZE << KVMLOG_SUBBUF_ORDER,
	KVMLOG_KEPT_RECORDS = 16, /* of the last free sub-buffer, for notes */
};

struct kvmlog_subbuf {
	struct page *pages;
	u32 count; /* records, known when it is complete */
	u32 notes; /* of them other than EXIT, likewise */
};

/*
 * `produced` and `consumed` count sub-buffers without wrapping: those from consumed
 * to produced - 1 are complete, the one at produced is being filled.
 */
struct kvmlog_buffer {
	/*
	 * Covers all but the worker's part. Taken by probes (preemption disabled),
	 * by kvmlog_emit() in any context, by the flush worker; with interrupts off,
	 * because an interrupt may emit.
	 */
	struct kvmlog_lock lock;
	bool wakeup;		    /* enough is complete to wake the worker */
	struct kvmlog_record *next; /* where the next record goes; NULL: no room */
	struct kvmlog_record *end;  /* of the sub-buffer that is being filled, as far as exits go */
	struct kvmlog_record *kept; /* next is NULL: where the next note goes; NULL: no room */
	u32 notes;		    /* records in it other than EXIT */
	u32 produced;
	u32 consumed;		       /* written by the worker only */
	struct kvmlog_subbuf *subbufs; /* NULL while off */
	u64 lost;		       /* records since switched on, as batches report it */

	/* The rest is the worker's alone. */
	u64 sequence ____cacheline_aligned_in_smp; /* of the next batch */
	u64 lost_reported;			   /* `lost` as the newest batch has it */
	unsigned long sent;			   /* jiffies of that batch */
	bool flush_due;				   /* what is part-full goes out too */
	bool losses_due;			   /* they are reported now, not within a second */
	struct page **spare; /* pages that went out: ours again when nobody else holds them */
	u32 nr_spare;
};

DECLARE_PER_CPU(struct kvmlog_buffer, kvmlog_buffers);

/* Interrupts off, lock held: the sub-buffer that is being filled has become full. */
void kvmlog_buffer_switch(struct kvmlog_buffer *buffer);
/* The same, no room for exits: writes a note where room is kept for it. False: none is left. */
bool kvmlog_buffer_write_kept(struct kvmlog_buffer *buffer, const struct kvmlog_record *note);

/*
 * Writes one record: an exit, or a note (a record of another type). False: no room; an
 * exit is counted as dropped then. Any context but NMI, preemption disabled.
 */
static __always_inline bool kvmlog_buffer_write(const struct kvmlog_record *record, bool note)
{
	struct kvmlog_buffer *buffer;
	struct kvmlog_record *next;
	unsigned long flags;
	bool written = true;

	local_irq_save(flags);
	buffer = this_cpu_ptr(&kvmlog_buffers);
	kvmlog_lock(&buffer->lock);
	next = buffer->next;
	if (likely(next)) {
		*next = *record;
		if (note)
			buffer->notes++;
		buffer->next = ++next;
		if (unlikely(next == buffer->end))
			kvmlog_buffer_switch(buffer);
		if (note)
			this_cpu_inc(kvmlog_counters.notes);
		else
			this_cpu_inc(kvmlog_counters.emitted);
	} else if (note) {
		written = kvmlog_buffer_write_kept(buffer, record);
	} else {
		this_cpu_inc(kvmlog_counters.dropped_buffer);
		buffer->lost++;
		written = false;
	}
	kvmlog_unlock(&buffer->lock);
	local_irq_restore(flags);
	return written;
}

/* Preemption disabled: whether this CPU's buffer has room for an exit now. */
static inline bool kvmlog_buffer_has_room(void)
{
	return this_cpu_read(kvmlog_buffers.next);
}

/* An exit was lost before it came here: the next batch of this CPU reports it. */
static inline void kvmlog_buffer_count_lost(void)
{
	this_cpu_inc(kvmlog_buffers.lost);
}

void kvmlog_buffer_init(void);
unsigned int kvmlog_buffer_subbufs(void); /* of each CPU */
unsigned int kvmlog_buffer_bytes(int cpu);

/* Process context, for one CPU; nobody else allocates, frees or consumes at the same time. */
int kvmlog_buffer_alloc(int cpu);
void kvmlog_buffer_free(int cpu);

/* The oldest complete sub-buffer, or NULL. */
struct kvmlog_subbuf *kvmlog_buffer_complete(int cpu);
/* Makes the part-full sub-buffer, if there is one, a complete one. */
void kvmlog_buffer_flush(int cpu);
/* The oldest complete sub-buffer is done with; @fresh takes its pages' place. */
void kvmlog_buffer_consume(int cpu, struct page *fresh);

/* Pages for a sub-buffer: spare ones where nobody else holds them. NULL: no memory. */
struct page *kvmlog_buffer_get_pages(int cpu);
/* Gives pages back, which others may still hold. */
void kvmlog_buffer_put_pages(int cpu, struct page *pages);

static inline struct kvmlog_record *kvmlog_subbuf_records(const struct kvmlog_subbuf *subbuf)
{
	return page_address(subbuf->pages);
}

#endif
