// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each CPU's buffers: allocated when tracing is switched on, filled in turn by the
 * probes through the stage, emptied by the flush worker.
 */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "buffer.h"
#include "stage.h"

static unsigned int buffers_per_cpu = 8;
module_param(buffers_per_cpu, uint, 0444);
MODULE_PARM_DESC(
	buffers_per_cpu,
	"32 KiB buffers for each CPU while tracing is on rounded up to a power of two (2 to 64, default 8)");

DEFINE_PER_CPU(struct kvmlog_stage, kvmlog_stages);
DEFINE_PER_CPU(struct kvmlog_buffers, kvmlog_cpu_buffers);
DEFINE_PER_CPU(struct kvmlog_count, kvmlog_counts);

static struct page *alloc_buffer_pages(int cpu)
{
	BUILD_BUG_ON(KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES > KVMLOG_BUFFER_BYTES);
	/*
	 * Never at the cost of a process: where there is no memory, the caller tries again. Of
	 * the emergency reserves none: a message made of them would be dropped silently.
	 */
	return alloc_pages_node(cpu_to_node(cpu),
				GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL | __GFP_COMP |
					__GFP_NOMEMALLOC,
				KVMLOG_BUFFER_ORDER);
}

static struct kvmlog_buffer *buffer_at(struct kvmlog_buffers *buffers, u32 index)
{
	return &buffers->list[index & (buffers_per_cpu - 1)];
}

/* Lock held: lets the buffer at fill be written, if it is free. */
static void open_buffer(struct kvmlog_stage *stage, struct kvmlog_buffers *buffers)
{
	if (buffers->fill - buffers->send >= buffers_per_cpu) {
		stage->next = NULL;
		stage->end = NULL;
		return;
	}
	buffer_at(buffers, buffers->fill)->notes = 0;
	stage->next = kvmlog_buffer_records(buffer_at(buffers, buffers->fill));
	stage->end = stage->next + KVMLOG_BATCH_RECORDS;
}

/* Lock held: the buffer at fill is complete, go on with the next. */
static void close_buffer(struct kvmlog_stage *stage, struct kvmlog_buffers *buffers)
{
	struct kvmlog_buffer *buffer = buffer_at(buffers, buffers->fill);

	buffer->count = stage->next - kvmlog_buffer_records(buffer);
	/* Pairs with kvmlog_buffers_complete(). */
	smp_store_release(&buffers->fill, buffers->fill + 1);
	open_buffer(stage, buffers);
}

bool kvmlog_stage_note(struct kvmlog_stage *stage, const struct kvmlog_record *record)
{
	struct kvmlog_buffers *buffers = this_cpu_ptr(&kvmlog_cpu_buffers);

	if (!stage->next)
		return false;
	buffer_at(buffers, buffers->fill)->notes++;
	return kvmlog_stage_append(stage, record);
}

/*
 * Waking the worker costs more than delivering a batch, so it is woken when a
 * quarter of the buffers are complete; fewer wait for the timed flush.
 */
void kvmlog_stage_full(struct kvmlog_stage *stage)
{
	struct kvmlog_buffers *buffers = this_cpu_ptr(&kvmlog_cpu_buffers);

	close_buffer(stage, buffers);
	if (buffers->fill - buffers->send >= DIV_ROUND_UP(buffers_per_cpu, 4))
		stage->kick_due = true;
}

struct kvmlog_buffer *kvmlog_buffers_complete(int cpu)
{
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);

	if (buffers->send == smp_load_acquire(&buffers->fill))
		return NULL;
	return buffer_at(buffers, buffers->send);
}

void kvmlog_buffers_close(int cpu)
{
	struct kvmlog_stage *stage = per_cpu_ptr(&kvmlog_stages, cpu);
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	unsigned long flags;

	kvmlog_lock_irqsave(&stage->lock, flags);
	if (stage->next && stage->next != kvmlog_buffer_records(buffer_at(buffers, buffers->fill)))
		close_buffer(stage, buffers);
	kvmlog_unlock_irqrestore(&stage->lock, flags);
}

struct page *kvmlog_buffers_get_pages(int cpu)
{
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	u32 i;

	for (i = 0; i < buffers->spent_count; i++) {
		struct page *pages = buffers->spent[i];

		if (page_ref_count(pages) != 1)
			continue;
		buffers->spent[i] = buffers->spent[--buffers->spent_count];
		return pages;
	}
	return alloc_buffer_pages(cpu);
}

void kvmlog_buffers_put_pages(int cpu, struct page *pages)
{
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);

	if (buffers->spent_count == buffers_per_cpu)
		put_page(pages);
	else
		buffers->spent[buffers->spent_count++] = pages;
}

void kvmlog_buffers_retire(int cpu, struct page *fresh)
{
	struct kvmlog_stage *stage = per_cpu_ptr(&kvmlog_stages, cpu);
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	struct kvmlog_buffer *buffer = buffer_at(buffers, buffers->send);
	unsigned long flags;

	kvmlog_buffers_put_pages(cpu, buffer->pages);
	kvmlog_lock_irqsave(&stage->lock, flags);
	buffer->pages = fresh;
	buffers->send++;
	if (!stage->next)
		open_buffer(stage, buffers);
	kvmlog_unlock_irqrestore(&stage->lock, flags);
}

static void free_spent(struct kvmlog_buffers *buffers)
{
	while (buffers->spent_count)
		put_page(buffers->spent[--buffers->spent_count]);
	kfree(buffers->spent);
	buffers->spent = NULL;
}

void kvmlog_buffers_free(int cpu)
{
	struct kvmlog_stage *stage = per_cpu_ptr(&kvmlog_stages, cpu);
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	struct kvmlog_buffer *list = buffers->list;
	unsigned long flags;
	unsigned int i;

	if (!list)
		return;
	kvmlog_lock_irqsave(&stage->lock, flags);
	stage->next = NULL;
	stage->end = NULL;
	stage->kick_due = false;
	buffers->list = NULL;
	kvmlog_unlock_irqrestore(&stage->lock, flags);
	for (i = 0; i < buffers_per_cpu; i++)
		put_page(list[i].pages);
	kfree(list);
	free_spent(buffers);
}

int kvmlog_buffers_alloc(int cpu)
{
	struct kvmlog_stage *stage = per_cpu_ptr(&kvmlog_stages, cpu);
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	struct kvmlog_buffer *list;
	unsigned long flags;
	unsigned int i = 0;

	list = kcalloc(buffers_per_cpu, sizeof(*list), GFP_KERNEL | __GFP_NOWARN);
	buffers->spent =
		kcalloc(buffers_per_cpu, sizeof(*buffers->spent), GFP_KERNEL | __GFP_NOWARN);
	if (!list || !buffers->spent)
		goto err_free;
	for (; i < buffers_per_cpu; i++) {
		list[i].pages = alloc_buffer_pages(cpu);
		if (!list[i].pages)
			goto err_free;
	}
	kvmlog_lock_irqsave(&stage->lock, flags);
	buffers->list = list;
	buffers->fill = 0;
	buffers->send = 0;
	stage->kick_due = false;
	open_buffer(stage, buffers);
	kvmlog_unlock_irqrestore(&stage->lock, flags);
	return 0;

err_free:
	while (i--)
		put_page(list[i].pages);
	kfree(list);
	free_spent(buffers);
	return -ENOMEM;
}

unsigned int kvmlog_buffers_bytes(int cpu)
{
	const struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);

	if (!buffers->list)
		return 0;
	return (buffers_per_cpu + READ_ONCE(buffers->spent_count)) * KVMLOG_BUFFER_BYTES;
}

void kvmlog_buffers_init(void)
{
	int cpu;

	/* A power of two: fill and send wrap. */
	buffers_per_cpu = roundup_pow_of_two(clamp(buffers_per_cpu, 2U, 64U));
	for_each_possible_cpu(cpu)
		kvmlog_lock_init(&per_cpu_ptr(&kvmlog_stages, cpu)->lock);
}
