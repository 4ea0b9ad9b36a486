/* SPDX-License-Identifier: GPL-2.0-only */
/* Each CPU's list of buffers behind its stage (buffer.c), for the flush worker (flush.c). */
#ifndef _KVMLOG_BUFFER_H
#define _KVMLOG_BUFFER_H

#include <linux/mm_types.h>
#include <linux/percpu.h>
#include <linux/types.h>

#include <kvmlog/netlink.h>
#include <kvmlog/record.h>

enum {
	KVMLOG_BUFFER_ORDER = 3, /* 32 KiB: a third less work for each record than with 16 */
	KVMLOG_BUFFER_BYTES = PAGE_SIZE << KVMLOG_BUFFER_ORDER,
};

struct kvmlog_buffer {
	struct page *pages;
	u32 count; /* records, known when it is complete */
	u32 notes; /* of them other than EXIT */
};

/*
 * `fill` and `send` count buffers without wrapping: those from send to fill - 1
 * are complete, the one at fill is being filled through the stage.
 */
struct kvmlog_buffers {
	struct kvmlog_buffer *list; /* used in turn; NULL while off */
	u32 fill;		    /* under the stage's lock */
	u32 send;		    /* likewise; written by the worker only */

	/* The rest is the worker's alone. */
	u64 sequence;
	struct page **spent; /* pages that went out: ours again when nobody else holds them */
	u32 spent_count;
};

DECLARE_PER_CPU(struct kvmlog_buffers, kvmlog_cpu_buffers);

void kvmlog_buffers_init(void);
unsigned int kvmlog_buffers_bytes(int cpu);

/* Process context, for one CPU; nobody else allocates, frees or retires at the same time. */
int kvmlog_buffers_alloc(int cpu);
void kvmlog_buffers_free(int cpu);

/* The oldest complete buffer, or NULL. */
struct kvmlog_buffer *kvmlog_buffers_complete(int cpu);
/* Makes the part-full buffer, if there is one, a complete one. */
void kvmlog_buffers_close(int cpu);

/* Pages for a buffer, with memory of earlier ones where that came back. NULL: no memory. */
struct page *kvmlog_buffers_get_pages(int cpu);
/* Gives pages back, which others may still hold. */
void kvmlog_buffers_put_pages(int cpu, struct page *pages);
/* The oldest complete buffer is done with; @fresh takes its pages' place. */
void kvmlog_buffers_retire(int cpu, struct page *fresh);

static inline struct kvmlog_record *kvmlog_buffer_records(const struct kvmlog_buffer *buffer)
{
	return page_address(buffer->pages);
}

#endif
