// SPDX-License-Identifier: GPL-2.0-only
/* Each CPU's buffer: allocated when tracing is switched on, its sub-buffers used in turn. */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <kvmlog/netlink.h>

#include "buffer.h"

static unsigned int buffers_per_cpu = 8;
module_param(buffers_per_cpu, uint, 0444);
MODULE_PARM_DESC(
	buffers_per_cpu,
	"32 KiB buffers for each CPU while tracing is on rounded up to a power of two (2 to 64, default 8)");

DEFINE_PER_CPU(struct kvmlog_buffer, kvmlog_buffers);

/* @patience: __GFP_RETRY_MAYFAIL, or __GFP_NORETRY where it is tried again soon. */
static struct page *alloc_subbuf_pages(int cpu, gfp_t patience)
{
	BUILD_BUG_ON(KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES > KVMLOG_SUBBUF_BYTES);
	/*
	 * Never at the cost of a process: where there is no memory, the caller tries again. Of
	 * the emergency reserves none: a message made of them would be dropped silently.
	 */
	return alloc_pages_node(cpu_to_node(cpu),
				GFP_KERNEL | __GFP_NOWARN | patience | __GFP_COMP |
					__GFP_NOMEMALLOC,
				KVMLOG_SUBBUF_ORDER);
}

static struct kvmlog_subbuf *subbuf_at(struct kvmlog_buffer *buffer, u32 index)
{
	return &buffer->subbufs[index & (buffers_per_cpu - 1)];
}

static struct kvmlog_record *subbuf_begin(struct kvmlog_buffer *buffer)
{
	return kvmlog_subbuf_records(subbuf_at(buffer, buffer->produced));
}

static struct kvmlog_record *subbuf_end(struct kvmlog_buffer *buffer)
{
	return subbuf_begin(buffer) + KVMLOG_BATCH_RECORDS;
}

/* Lock held: how far exits may fill the sub-buffer at produced. */
static struct kvmlog_record *exits_end(struct kvmlog_buffer *buffer)
{
	const bool last = buffer->produced - buffer->consumed == buffers_per_cpu - 1;

	return subbuf_end(buffer) - (last ? KVMLOG_KEPT_RECORDS : 0);
}

/* Lock held: nothing finds room. */
static void close_all(struct kvmlog_buffer *buffer)
{
	buffer->next = NULL;
	buffer->end = NULL;
	buffer->kept = NULL;
}

/* Lock held: lets the sub-buffer at produced be filled, if it is free. */
static void open_subbuf(struct kvmlog_buffer *buffer)
{
	close_all(buffer);
	if (buffer->produced - buffer->consumed >= buffers_per_cpu)
		return;
	buffer->notes = 0;
	buffer->next = subbuf_begin(buffer);
	buffer->end = exits_end(buffer);
}

/* Lock held: what was kept for notes is for exits as well, now that it is not the last. */
static void reopen_subbuf(struct kvmlog_buffer *buffer)
{
	if (buffer->kept)
		buffer->next = buffer->kept;
	buffer->kept = NULL;
	buffer->end = exits_end(buffer);
}

/* Lock held: the sub-buffer at produced is complete, go on with the next. */
static void close_subbuf(struct kvmlog_buffer *buffer)
{
	struct kvmlog_subbuf *subbuf = subbuf_at(buffer, buffer->produced);

	subbuf->count = (buffer->next ?: buffer->kept) - kvmlog_subbuf_records(subbuf);
	subbuf->notes = buffer->notes;
	/* Pairs with kvmlog_buffer_complete(). */
	smp_store_release(&buffer->produced, buffer->produced + 1);
	open_subbuf(buffer);
}

/*
 * Waking the worker costs more than delivering a batch, so it is woken when a
 * quarter of the sub-buffers are complete; fewer wait for the timed flush.
 */
void kvmlog_buffer_switch(struct kvmlog_buffer *buffer)
{
	if (buffer->next == subbuf_end(buffer)) {
		close_subbuf(buffer);
	} else {
		buffer->kept = buffer->next;
		buffer->next = NULL;
		buffer->end = NULL;
	}
	if (buffer->produced - buffer->consumed >= DIV_ROUND_UP(buffers_per_cpu, 4))
		buffer->wakeup = true;
}

/* A guest's announcement is tried again at its next exit; the others have this one chance. */
bool kvmlog_buffer_write_kept(struct kvmlog_buffer *buffer, const struct kvmlog_record *note)
{
	if (!buffer->kept || note->type == KVMLOG_RECORD_GUEST)
		return false;
	*buffer->kept++ = *note;
	buffer->notes++;
	this_cpu_inc(kvmlog_counters.notes);
	if (buffer->kept == subbuf_end(buffer))
		close_subbuf(buffer);
	return true;
}

struct kvmlog_subbuf *kvmlog_buffer_complete(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);

	if (buffer->consumed == smp_load_acquire(&buffer->produced))
		return NULL;
	return subbuf_at(buffer, buffer->consumed);
}

void kvmlog_buffer_flush(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	unsigned long flags;

	kvmlog_lock_irqsave(&buffer->lock, flags);
	/* Exits found no room: those that are complete go first, and make some. */
	if (buffer->kept ? buffer->produced == buffer->consumed
			 : buffer->next && buffer->next != subbuf_begin(buffer))
		close_subbuf(buffer);
	kvmlog_unlock_irqrestore(&buffer->lock, flags);
}

void kvmlog_buffer_consume(int cpu, struct page *fresh)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	struct kvmlog_subbuf *subbuf = subbuf_at(buffer, buffer->consumed);
	unsigned long flags;

	kvmlog_buffer_put_pages(cpu, subbuf->pages);
	kvmlog_lock_irqsave(&buffer->lock, flags);
	subbuf->pages = fresh;
	buffer->consumed++;
	if (buffer->next || buffer->kept)
		reopen_subbuf(buffer);
	else
		open_subbuf(buffer);
	kvmlog_unlock_irqrestore(&buffer->lock, flags);
}

struct page *kvmlog_buffer_get_pages(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	u32 i;

	for (i = 0; i < buffer->nr_spare; i++) {
		struct page *pages = buffer->spare[i];

		if (page_ref_count(pages) != 1)
			continue;
		buffer->spare[i] = buffer->spare[--buffer->nr_spare];
		return pages;
	}
	return alloc_subbuf_pages(cpu, __GFP_NORETRY);
}

void kvmlog_buffer_put_pages(int cpu, struct page *pages)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);

	if (buffer->nr_spare == buffers_per_cpu)
		put_page(pages);
	else
		buffer->spare[buffer->nr_spare++] = pages;
}

static void free_spare(struct kvmlog_buffer *buffer)
{
	while (buffer->nr_spare)
		put_page(buffer->spare[--buffer->nr_spare]);
	kfree(buffer->spare);
	buffer->spare = NULL;
}

void kvmlog_buffer_free(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	struct kvmlog_subbuf *subbufs = buffer->subbufs;
	unsigned long flags;
	unsigned int i;

	if (!subbufs)
		return;
	kvmlog_lock_irqsave(&buffer->lock, flags);
	close_all(buffer);
	buffer->wakeup = false;
	buffer->subbufs = NULL;
	kvmlog_unlock_irqrestore(&buffer->lock, flags);
	for (i = 0; i < buffers_per_cpu; i++)
		put_page(subbufs[i].pages);
	kfree(subbufs);
	free_spare(buffer);
}

int kvmlog_buffer_alloc(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	struct kvmlog_subbuf *subbufs;
	unsigned long flags;
	unsigned int i;

	subbufs = kcalloc(buffers_per_cpu, sizeof(*subbufs), GFP_KERNEL | __GFP_NOWARN);
	buffer->spare = kcalloc(buffers_per_cpu, sizeof(*buffer->spare), GFP_KERNEL | __GFP_NOWARN);
	if (!subbufs || !buffer->spare)
		goto err_arrays;
	for (i = 0; i < buffers_per_cpu; i++) {
		subbufs[i].pages = alloc_subbuf_pages(cpu, __GFP_RETRY_MAYFAIL);
		if (!subbufs[i].pages)
			goto err_pages;
	}
	kvmlog_lock_irqsave(&buffer->lock, flags);
	buffer->subbufs = subbufs;
	buffer->produced = 0;
	buffer->consumed = 0;
	buffer->wakeup = false;
	open_subbuf(buffer);
	kvmlog_unlock_irqrestore(&buffer->lock, flags);
	return 0;

err_pages:
	while (i--)
		put_page(subbufs[i].pages);
err_arrays:
	kfree(subbufs);
	free_spare(buffer);
	return -ENOMEM;
}

unsigned int kvmlog_buffer_bytes(int cpu)
{
	const struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);

	if (!buffer->subbufs)
		return 0;
	return (buffers_per_cpu + READ_ONCE(buffer->nr_spare)) * KVMLOG_SUBBUF_BYTES;
}

unsigned int kvmlog_buffer_subbufs(void)
{
	return buffers_per_cpu;
}

void kvmlog_buffer_init(void)
{
	int cpu;

	/* A power of two: produced and consumed wrap. */
	buffers_per_cpu = roundup_pow_of_two(clamp(buffers_per_cpu, 2U, 64U));
	for_each_possible_cpu(cpu)
		kvmlog_lock_init(&per_cpu_ptr(&kvmlog_buffers, cpu)->lock);
}
