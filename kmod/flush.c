// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flushing: from each CPU's complete sub-buffers to the receiver, as batches.
 *
 * A message is a small head whose data is the sub-buffer's pages themselves, so the
 * kernel copies no record before the receiver does. One worker serves all CPUs,
 * in turn.
 * For each batch it first gets pages to go on with and only then sends: with no
 * memory, or a receiver whose queue is full, the batch stays where it is and is
 * tried again. Pages that went out are used again once the receiver has read
 * them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>

#include <kvmlog/netlink.h>

#include "buffer.h"
#include "config.h"
#include "cost.h"
#include "counters.h"
#include "flush.h"
#include "receiver.h"

static unsigned int flush_interval_ms = 20;
module_param(flush_interval_ms, uint, 0444);
MODULE_PARM_DESC(flush_interval_ms,
		 "longest time a record waits in a part-full buffer (1 to 1000, default 20)");

static struct workqueue_struct *flush_queue;
static struct delayed_work flusher;
static unsigned long next_timed_flush; /* jiffies; worker only */
static int turn;		       /* CPU whose batch goes next; under flush_mutex */
static void (*on_interval)(void);

/*
 * Covers what only one flush may do at a time, and `running`: between start and
 * stop. A late wakeup may queue the flusher after it was cancelled; it then finds
 * that nothing runs.
 */
static DEFINE_MUTEX(flush_mutex);
static bool running;

static DEFINE_PER_CPU(struct irq_work, wakeups);

void kvmlog_flush_now(void)
{
	mod_delayed_work(flush_queue, &flusher, 0);
}

static void irq_wakeup(struct irq_work *work)
{
	struct kvmlog_cost_work cost;

	kvmlog_cost_work_begin(&cost);
	kvmlog_flush_now();
	kvmlog_cost_work_end(&cost);
}

/* From a probe the worker cannot be woken: its pool's lock may be held below it. */
void kvmlog_flush_wake(void)
{
	this_cpu_write(kvmlog_buffers.wakeup, false);
	irq_work_queue(this_cpu_ptr(&wakeups));
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
	nlh->nlmsg_type = kvmlog_receiver_family_id();
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

/* NULL: no memory. The message holds the sub-buffer's pages as long as it lives. */
static struct sk_buff *make_message(int cpu, const struct kvmlog_subbuf *subbuf)
{
	const u32 records_bytes = subbuf->count * KVMLOG_RECORD_BYTES;
	const struct kvmlog_batch batch = {
		.cpu = cpu,
		.count = subbuf->count,
		.exits = subbuf->count - subbuf->notes,
		.sequence = per_cpu(kvmlog_buffers, cpu).sequence,
		.dropped = READ_ONCE(per_cpu(kvmlog_buffers, cpu).lost),
		.config_epoch =
			subbuf->count
				? kvmlog_subbuf_records(subbuf)[subbuf->count - 1].config_epoch
				: kvmlog_config_epoch(),
		.record_bytes = KVMLOG_RECORD_BYTES,
	};
	struct sk_buff *skb = alloc_skb(KVMLOG_BATCH_OFFSET, GFP_KERNEL | __GFP_NOWARN);

	if (!skb)
		return NULL;
	put_head(skb, &batch, records_bytes);
	if (records_bytes) {
		get_page(subbuf->pages);
		skb_add_rx_frag(skb, 0, subbuf->pages, 0, records_bytes, KVMLOG_SUBBUF_BYTES);
	}
	return skb;
}

static void count_discarded(int cpu, const struct kvmlog_subbuf *subbuf)
{
	per_cpu(kvmlog_counters, cpu).discarded += subbuf->count - subbuf->notes;
}

/* 0: delivered; -ENOTCONN: there is no receiver; other errors: it may be tried again. */
static int deliver(int cpu, const struct kvmlog_subbuf *subbuf)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	u64 lost = READ_ONCE(buffer->lost);
	struct sk_buff *message = make_message(cpu, subbuf);
	int err = message ? kvmlog_receiver_deliver(message) : -ENOMEM;

	if (err)
		return err;
	buffer->sequence++;
	/* The batch may report more by now: then these are reported twice, as the same sum. */
	buffer->lost_reported = lost;
	buffer->sent = jiffies;
	return 0;
}

/*
 * The CPU has nothing to send: what it lost since its last batch is reported without records,
 * within a second, and at the end.
 */
static int deliver_losses(int cpu)
{
	static const struct kvmlog_subbuf nothing;
	const struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	int err;

	if (READ_ONCE(buffer->lost) == buffer->lost_reported)
		return 0;
	if (!buffer->losses_due &&
	    time_before(jiffies, buffer->sent + msecs_to_jiffies(KVMLOG_FLUSH_LOSSES_MS)))
		return 0;
	err = deliver(cpu, &nothing);
	if (!err)
		return 1;
	return err == -ENOTCONN ? 0 : err;
}

static bool receiver_is_full(int err)
{
	return err == -EAGAIN || err == -ENOBUFS;
}

/* One batch of @cpu. Returns 1 when there was one, 0 when not, -errno when it had to stay. */
static int deliver_one(int cpu)
{
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	struct kvmlog_subbuf *subbuf = NULL;
	struct page *fresh;
	int err;

	if (buffer->subbufs)
		subbuf = kvmlog_buffer_complete(cpu);
	/* While complete ones have to wait, this one may as well fill up. */
	if (!subbuf && buffer->subbufs && buffer->flush_due) {
		buffer->flush_due = false;
		kvmlog_buffer_flush(cpu);
		subbuf = kvmlog_buffer_complete(cpu);
	}
	if (!subbuf)
		return deliver_losses(cpu);
	fresh = kvmlog_buffer_get_pages(cpu);
	err = fresh ? deliver(cpu, subbuf) : -ENOMEM;
	if (err == -ENOMEM)
		pr_warn_once(
			"no memory to deliver records: they wait, and exits are dropped when the buffers are full\n");
	if (!fresh)
		return err;
	if (err == -ENOMEM || receiver_is_full(err)) {
		kvmlog_buffer_put_pages(cpu, fresh);
		return err;
	}
	if (err) /* the receiver is gone: nobody is left to read these */
		count_discarded(cpu, subbuf);
	kvmlog_buffer_consume(cpu, fresh);
	return 1;
}

static int next_possible(int cpu)
{
	cpu = cpumask_next(cpu, cpu_possible_mask);
	return cpu < nr_cpu_ids ? cpu : cpumask_first(cpu_possible_mask);
}

/*
 * One batch of each CPU, beginning with the one whose turn it is: a receiver that is too
 * slow for all of them gets some of each. Ends where the receiver is full. *delivered
 * becomes true when there was any.
 */
static int deliver_pass(bool *delivered)
{
	const int first = turn;
	int cpu = first;
	int result = 0;

	do {
		int rc = deliver_one(cpu);

		if (receiver_is_full(rc)) {
			turn = cpu;
			return rc;
		}
		if (rc < 0)
			result = rc; /* no memory; another CPU's node may have some */
		else if (rc)
			*delivered = true;
		cond_resched();
		cpu = next_possible(cpu);
	} while (cpu != first);
	turn = next_possible(first);
	return result;
}

/*
 * What was complete when it began, and what was part-full if that is due; what comes
 * meanwhile is for the next run. Returns 0, or -errno when something had to stay.
 */
static int deliver_all(void)
{
	unsigned int passes = kvmlog_buffer_subbufs() + 1;
	bool delivered = true;
	int err = 0;

	while (delivered && passes-- && !err) {
		delivered = false;
		err = deliver_pass(&delivered);
	}
	return err;
}

static void set_flush_due(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(kvmlog_buffers, cpu).flush_due = true;
}

/* What a CPU that was plugged in saw before it had a buffer was counted as dropped. */
static int alloc_missing(void)
{
	int result = 0;
	int cpu;

	for_each_online_cpu(cpu)
		if (!per_cpu(kvmlog_buffers, cpu).subbufs && kvmlog_buffer_alloc(cpu)) {
			pr_warn_once(
				"no memory for the buffers of CPU %d: its exits are dropped until there is some\n",
				cpu);
			result = -ENOMEM;
		}
	return result;
}

static void flush_worker(struct work_struct *work)
{
	bool timed = time_after_eq(jiffies, next_timed_flush);
	struct kvmlog_cost_work cost;
	unsigned long delay;
	int err;

	mutex_lock(&flush_mutex);
	if (!running)
		goto out;
	kvmlog_cost_work_begin(&cost);
	err = 0;
	if (timed) {
		on_interval();
		set_flush_due();
		next_timed_flush = jiffies + msecs_to_jiffies(flush_interval_ms);
		err = alloc_missing();
	}
	err = deliver_all() ?: err;
	delay = time_before(jiffies, next_timed_flush) ? next_timed_flush - jiffies : 1;
	if (err)
		delay = min(delay, msecs_to_jiffies(KVMLOG_FLUSH_RETRY_MS));
	queue_delayed_work(flush_queue, &flusher, delay);
	kvmlog_cost_work_end(&cost);
out:
	mutex_unlock(&flush_mutex);
}

static void free_all_buffers(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kvmlog_buffer_free(cpu);
}

int kvmlog_flush_start(void)
{
	int cpu;

	/* All of them: one that comes later goes on from here. */
	for_each_possible_cpu(cpu) {
		struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);

		buffer->lost = 0;
		buffer->sequence = 0;
		buffer->lost_reported = 0;
		buffer->sent = jiffies;
		buffer->flush_due = false;
		buffer->losses_due = false;
	}
	for_each_present_cpu(cpu) {
		int err = kvmlog_buffer_alloc(cpu);

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
	struct kvmlog_buffer *buffer = per_cpu_ptr(&kvmlog_buffers, cpu);
	struct kvmlog_subbuf *subbuf;

	while (buffer->subbufs && (subbuf = kvmlog_buffer_complete(cpu))) {
		count_discarded(cpu, subbuf);
		buffer->consumed++;
	}
}

void kvmlog_flush_end(void)
{
	int cpu;

	mutex_lock(&flush_mutex);
	WRITE_ONCE(running, false);
	mutex_unlock(&flush_mutex);
	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&wakeups, cpu));
	cancel_delayed_work_sync(&flusher);
	on_interval();
}

bool kvmlog_flush_drain(void)
{
	int cpu, err;

	mutex_lock(&flush_mutex);
	set_flush_due();
	for_each_possible_cpu(cpu)
		per_cpu(kvmlog_buffers, cpu).losses_due = true;
	err = deliver_all();
	mutex_unlock(&flush_mutex);
	return !err;
}

void kvmlog_flush_discard(void)
{
	int cpu;

	mutex_lock(&flush_mutex);
	for_each_possible_cpu(cpu) {
		discard_complete(cpu);
		/* A part-full one stood behind them. */
		if (per_cpu(kvmlog_buffers, cpu).subbufs)
			kvmlog_buffer_flush(cpu);
		discard_complete(cpu);
	}
	free_all_buffers();
	mutex_unlock(&flush_mutex);
}

void kvmlog_flush_cpu_online(int cpu)
{
	/* Else the worker does it: whoever waits here has all CPUs wait. */
	if (!mutex_trylock(&flush_mutex))
		return;
	if (running && !per_cpu(kvmlog_buffers, cpu).subbufs)
		kvmlog_buffer_alloc(cpu);
	mutex_unlock(&flush_mutex);
}

bool kvmlog_flush_running(void)
{
	return READ_ONCE(running);
}

unsigned int kvmlog_flush_interval_ms(void)
{
	return flush_interval_ms;
}

bool kvmlog_flush_cpu_status(int cpu, struct kvmlog_cpu_status *status)
{
	status->dropped = kvmlog_counters_dropped(cpu);
	status->messages = READ_ONCE(per_cpu(kvmlog_buffers, cpu).sequence);
	status->bytes = kvmlog_buffer_bytes(cpu);
	/* After switching off the numbers stay, so that the receiver can tell what is under way. */
	return status->bytes || status->messages || status->dropped;
}

int kvmlog_flush_init(void (*interval)(void))
{
	int cpu;

	flush_interval_ms = clamp(flush_interval_ms, 1U, 1000U);
	on_interval = interval;
	kvmlog_buffer_init();
	for_each_possible_cpu(cpu)
		init_irq_work(per_cpu_ptr(&wakeups, cpu), irq_wakeup);
	INIT_DELAYED_WORK(&flusher, flush_worker);
	flush_queue = alloc_workqueue("kvmlog", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_HIGHPRI, 1);
	return flush_queue ? 0 : -ENOMEM;
}

void kvmlog_flush_exit(void)
{
	cancel_delayed_work_sync(&flusher);
	destroy_workqueue(flush_queue);
}
