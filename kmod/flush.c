// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: from each CPU's complete buffers to the receiver.
 *
 * A message is a small head whose data is the buffer's pages themselves, so the
 * kernel copies no record before the receiver does. One worker serves all CPUs.
 * For each batch it first gets pages to go on with and only then sends: with no
 * memory, or a receiver whose queue is full, the batch stays where it is and is
 * tried again. Pages that went out are used again once the receiver has read
 * them.
 */
#include <linux/cpu.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include <kvmlog/netlink.h>

#include "flush.h"
#include "buffer.h"
#include "clock.h"
#include "cost.h"
#include "receiver.h"
#include "stage.h"

static unsigned int flush_interval_ms = 20;
module_param(flush_interval_ms, uint, 0444);
MODULE_PARM_DESC(flush_interval_ms,
		 "longest time a record waits in a part-full buffer (1 to 1000, default 20)");

enum {
	RETRY_MS = 2,	       /* when the receiver is slow or memory is short */
	FINAL_FLUSH_MS = 2000, /* how long switching off waits for a slow receiver */
};

static struct workqueue_struct *flush_queue;
static struct delayed_work flusher;
static unsigned long next_timed_flush; /* jiffies; worker only */

/*
 * Covers what only one flush may do at a time, and `running`: between start and
 * stop. A late kick may queue the flusher after it was cancelled; it then finds
 * that nothing runs.
 */
static DEFINE_MUTEX(flush_mutex);
static bool running;

static DEFINE_PER_CPU(struct irq_work, kicks);

static void irq_kick(struct irq_work *work)
{
	struct kvmlog_cost_work cost;

	kvmlog_cost_work_begin(&cost);
	mod_delayed_work(flush_queue, &flusher, 0);
	kvmlog_cost_work_end(&cost);
}

/* From a probe the worker cannot be woken: its pool's lock may be held below it. */
void kvmlog_stage_kick(void)
{
	this_cpu_write(kvmlog_stages.kick_due, false);
	irq_work_queue(this_cpu_ptr(&kicks));
}

bool kvmlog_batch_note(void *note, enum kvmlog_record_type type)
{
	struct kvmlog_record *record = note;
	const struct kvmlog_config *config;
	struct kvmlog_stage *stage;
	unsigned long flags;
	bool written;

	local_irq_save(flags);
	stage = this_cpu_ptr(&kvmlog_stages);
	config = rcu_dereference_sched(kvmlog_config);
	record->type = type;
	record->source = KVMLOG_SOURCE_KMOD;
	if (!record->exit_ns)
		record->exit_ns = ktime_get_mono_fast_ns();
	if (config)
		record->config_epoch = config->epoch;
	kvmlog_lock(&stage->lock);
	written = kvmlog_stage_note(stage, record);
	if (written)
		this_cpu_inc(kvmlog_counts.notes);
	kvmlog_unlock(&stage->lock);
	local_irq_restore(flags);
	return written;
}

unsigned long kvmlog_batch_deadline(void)
{
	return jiffies + msecs_to_jiffies(FINAL_FLUSH_MS);
}

void kvmlog_batch_wait_for_room(unsigned long deadline)
{
	while (READ_ONCE(running) && !raw_cpu_read(kvmlog_stages.next) &&
	       kvmlog_genl_has_receiver() && time_before(jiffies, deadline)) {
		mod_delayed_work(flush_queue, &flusher, 0);
		schedule_timeout_uninterruptible(msecs_to_jiffies(RETRY_MS));
	}
}

/* The message's first KVMLOG_BATCH_OFFSET bytes. */
static void put_head(struct sk_buff *skb, const struct kvmlog_batch *batch, u32 records_bytes)
{
	struct nlmsghdr *nlh = skb_put_zero(skb, KVMLOG_BATCH_OFFSET);
	struct genlmsghdr *genl = nlmsg_data(nlh);
	struct nlattr *attr = (struct nlattr *)((u8 *)genl + GENL_HDRLEN);

	BUILD_BUG_ON(NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN + sizeof(*batch) + NLA_HDRLEN +
			     NLA_HDRLEN !=
		     KVMLOG_BATCH_OFFSET);
	nlh->nlmsg_len = KVMLOG_BATCH_OFFSET + records_bytes;
	nlh->nlmsg_type = kvmlog_genl_family_id();
	genl->cmd = KVMLOG_CMD_BATCH;
	genl->version = KVMLOG_GENL_VERSION;

	attr->nla_type = KVMLOG_A_BATCH;
	attr->nla_len = NLA_HDRLEN + sizeof(*batch);
	memcpy(nla_data(attr), batch, sizeof(*batch));

	attr = (struct nlattr *)((u8 *)attr + attr->nla_len);
	attr->nla_type = KVMLOG_A_PAD;
	attr->nla_len = NLA_HDRLEN;

	attr = (struct nlattr *)((u8 *)attr + attr->nla_len);
	attr->nla_type = KVMLOG_A_RECORDS;
	attr->nla_len = NLA_HDRLEN + records_bytes;
}

/* NULL: no memory. The message holds the buffer's pages as long as it lives. */
static struct sk_buff *make_message(int cpu, const struct kvmlog_buffer *buffer)
{
	const u32 records_bytes = buffer->count * KVMLOG_RECORD_BYTES;
	const struct kvmlog_batch batch = {
		.cpu = cpu,
		.count = buffer->count,
		.exits = buffer->count - buffer->notes,
		.sequence = per_cpu(kvmlog_cpu_buffers, cpu).sequence,
		.dropped = READ_ONCE(per_cpu(kvmlog_stages, cpu).lost),
		.config_epoch = kvmlog_buffer_records(buffer)[buffer->count - 1].config_epoch,
		.record_bytes = KVMLOG_RECORD_BYTES,
	};
	struct sk_buff *skb = alloc_skb(KVMLOG_BATCH_OFFSET, GFP_KERNEL | __GFP_NOWARN);

	if (!skb)
		return NULL;
	put_head(skb, &batch, records_bytes);
	get_page(buffer->pages);
	skb_add_rx_frag(skb, 0, buffer->pages, 0, records_bytes, KVMLOG_BUFFER_BYTES);
	return skb;
}

/* Delivers what is complete of one CPU. Returns 0, or -errno when something had to stay. */
static int send_complete(int cpu)
{
	struct kvmlog_buffer *buffer;

	while ((buffer = kvmlog_buffers_complete(cpu))) {
		struct page *fresh = kvmlog_buffers_get_pages(cpu);
		struct sk_buff *message;
		int err;

		if (!fresh)
			return -ENOMEM;
		message = make_message(cpu, buffer);
		err = message ? kvmlog_genl_deliver(message) : -ENOMEM;
		if (err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM) {
			kvmlog_buffers_put_pages(cpu, fresh);
			return err;
		}
		if (err) /* the receiver is gone, and with it whoever wanted these */
			per_cpu(kvmlog_counts, cpu).discarded += buffer->count - buffer->notes;
		else
			per_cpu(kvmlog_cpu_buffers, cpu).sequence++;
		kvmlog_buffers_retire(cpu, fresh);
		cond_resched();
	}
	return 0;
}

/*
 * One round over all CPUs. A CPU that was plugged in since gets its buffers here,
 * where sleeping is allowed; what it saw until then was counted as dropped.
 */
static int flush_round(bool timed)
{
	int result = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		int err;

		if (!per_cpu(kvmlog_cpu_buffers, cpu).list) {
			if (READ_ONCE(running) && cpu_online(cpu) && kvmlog_buffers_alloc(cpu))
				result = -ENOMEM;
			continue;
		}
		err = send_complete(cpu);
		/* While complete ones have to wait, this one may as well fill up. */
		if (timed && !err) {
			kvmlog_buffers_close(cpu);
			err = send_complete(cpu);
		}
		if (err)
			result = err;
	}
	return result;
}

static void flusher_work(struct work_struct *work)
{
	bool timed = time_after_eq(jiffies, next_timed_flush);
	struct kvmlog_cost_work cost;
	unsigned long delay;
	int err;

	mutex_lock(&flush_mutex);
	if (!running)
		goto out;
	kvmlog_cost_work_begin(&cost);
	if (timed) {
		kvmlog_clock_check();
		next_timed_flush = jiffies + msecs_to_jiffies(flush_interval_ms);
	}
	err = flush_round(timed);
	delay = time_before(jiffies, next_timed_flush) ? next_timed_flush - jiffies : 1;
	if (err)
		delay = min(delay, msecs_to_jiffies(RETRY_MS));
	queue_delayed_work(flush_queue, &flusher, delay);
	kvmlog_cost_work_end(&cost);
out:
	mutex_unlock(&flush_mutex);
}

static void free_all_buffers(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kvmlog_buffers_free(cpu);
}

int kvmlog_batch_start(void)
{
	int cpu;

	/* All of them: one that comes later goes on from here. */
	for_each_possible_cpu(cpu) {
		per_cpu(kvmlog_stages, cpu).lost = 0;
		per_cpu(kvmlog_cpu_buffers, cpu).sequence = 0;
	}
	for_each_present_cpu(cpu) {
		int err = kvmlog_buffers_alloc(cpu);

		if (err) {
			free_all_buffers();
			return err;
		}
	}
	next_timed_flush = jiffies + msecs_to_jiffies(flush_interval_ms);
	mutex_lock(&flush_mutex);
	WRITE_ONCE(running, true);
	mutex_unlock(&flush_mutex);
	queue_delayed_work(flush_queue, &flusher, msecs_to_jiffies(flush_interval_ms));
	return 0;
}

/* What could not be delivered within the time that a slow receiver is given. */
static void discard_complete(int cpu)
{
	struct kvmlog_buffers *buffers = per_cpu_ptr(&kvmlog_cpu_buffers, cpu);
	struct kvmlog_buffer *buffer;

	while (buffers->list && (buffer = kvmlog_buffers_complete(cpu))) {
		per_cpu(kvmlog_counts, cpu).discarded += buffer->count - buffer->notes;
		buffers->send++;
	}
}

void kvmlog_batch_stop(unsigned long deadline)
{
	int cpu;

	mutex_lock(&flush_mutex);
	WRITE_ONCE(running, false);
	mutex_unlock(&flush_mutex);
	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&kicks, cpu));
	cancel_delayed_work_sync(&flusher);

	mutex_lock(&flush_mutex);
	while (flush_round(true) && time_before(jiffies, deadline))
		schedule_timeout_uninterruptible(msecs_to_jiffies(RETRY_MS));

	/* When the deadline passed, a part-full buffer may still stand behind complete ones. */
	for_each_possible_cpu(cpu) {
		if (per_cpu(kvmlog_cpu_buffers, cpu).list)
			kvmlog_buffers_close(cpu);
		discard_complete(cpu);
	}
	free_all_buffers();
	mutex_unlock(&flush_mutex);
}

unsigned int kvmlog_batch_flush_interval_ms(void)
{
	return flush_interval_ms;
}

bool kvmlog_batch_cpu_status(int cpu, struct kvmlog_cpu_status *status)
{
	const struct kvmlog_count *count = per_cpu_ptr(&kvmlog_counts, cpu);

	status->dropped = READ_ONCE(count->dropped_buffer) + READ_ONCE(count->dropped_table) +
			  READ_ONCE(count->discarded);
	status->messages = READ_ONCE(per_cpu(kvmlog_cpu_buffers, cpu).sequence);
	status->bytes = kvmlog_buffers_bytes(cpu);
	/* After switching off the numbers stay, so that the receiver can tell what is under way. */
	return status->bytes || status->messages || status->dropped;
}

int kvmlog_batch_init(void)
{
	int cpu;

	flush_interval_ms = clamp(flush_interval_ms, 1U, 1000U);
	kvmlog_buffers_init();
	for_each_possible_cpu(cpu)
		init_irq_work(per_cpu_ptr(&kicks, cpu), irq_kick);
	INIT_DELAYED_WORK(&flusher, flusher_work);
	flush_queue = alloc_workqueue("kvmlog", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_HIGHPRI, 1);
	return flush_queue ? 0 : -ENOMEM;
}

void kvmlog_batch_exit(void)
{
	cancel_delayed_work_sync(&flusher);
	destroy_workqueue(flush_queue);
}
