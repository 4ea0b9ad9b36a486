// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pump's input from the kernel module: batches through a netlink socket.
 *
 * recvmsg() writes the records straight into the slots behind head, so that the
 * kernel's copy to user space is the only one; head moves only when the message
 * turned out to be what netlink.h promises.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>

#include "pump/pump.h"

enum {
	/* Messages between two looks at the stop event and the clock. */
	KVMLOG_DRAIN_MESSAGES = 256,
};

/* The batch's records stand behind head, but losses have to stand in front of them. */
static void publish_after_losses(struct kvmlog_pump *pump, const struct kvmlog_batch *batch)
{
	struct kvmlog_writer *writer = pump->writer;
	const struct kvmlog_ring *ring = &writer->ring;
	struct kvmlog_pump_cpu *cpu = &pump->cpus[batch->cpu];
	__u64 head = ring->header->head;
	__u64 first = kvmlog_ring_until_wrap(ring, head, batch->count);
	__u64 bytes = first * KVMLOG_RECORD_BYTES;
	struct kvmlog_record record = { 0 };

	memcpy(pump->scratch, kvmlog_ring_slot(ring, head), bytes);
	memcpy(pump->scratch + bytes, ring->slots, (batch->count - first) * KVMLOG_RECORD_BYTES);
	/*
	 * The losses take the batch's own time, so that sorting by time leaves them in place; a
	 * batch that only reports losses has none: they are of now.
	 */
	if (batch->count)
		memcpy(&record, pump->scratch, sizeof(record));
	if (batch->sequence > cpu->next)
		kvmlog_pump_lose_messages(pump, batch->cpu, batch->sequence - cpu->next,
					  record.exit_ns);
	if (batch->dropped > cpu->dropped)
		kvmlog_pump_lose_records(pump, batch->cpu, batch->dropped, record.exit_ns);

	if (!batch->count)
		return;
	kvmlog_writer_reserve(writer, batch->count);
	kvmlog_writer_copy(writer, pump->scratch, batch->count);
	kvmlog_writer_publish(writer, batch->count);
}

/* The batch's records are in their slots: account for them and show them. */
static void accept_batch(struct kvmlog_pump *pump, const struct kvmlog_batch *batch)
{
	struct kvmlog_pump_cpu *cpu = kvmlog_pump_cpu(pump, batch->cpu);

	/* The numbers start again at each switching on. */
	if (batch->sequence < cpu->next)
		memset(cpu, 0, sizeof(*cpu));

	kvmlog_pump_epoch(pump, batch->config_epoch);

	/* What remains when the source goes away before it could give its own counts. */
	pump->statistics.exits += batch->exits;

	if (batch->sequence == cpu->next && batch->dropped <= cpu->dropped)
		kvmlog_writer_publish(pump->writer, batch->count);
	else
		publish_after_losses(pump, batch);

	if (batch->count) {
		kvmlog_writer_count(pump->writer, batch->exits);
		kvmlog_pump_take(pump, pump->writer->ring.header->head - batch->count, batch->count,
				 batch->exits);
	}
	cpu->next = batch->sequence + 1;
	pump->statistics.messages++;
	pump->statistics.records += batch->count;
}

static void refuse_message(struct kvmlog_pump *pump, int verdict)
{
	pump->statistics.bad_by_verdict[verdict]++;
	kvmlog_pump_refuse(pump);
}

static void note_control(struct kvmlog_pump *pump, const void *head, __u64 bytes)
{
	struct {
		struct nlmsghdr message;
		struct nlmsgerr error;
	} control;

	pump->statistics.control_messages++;
	if (bytes < sizeof(control))
		return;
	memcpy(&control, head, sizeof(control));
	if (control.message.nlmsg_type == NLMSG_ERROR)
		pump->statistics.last_control_error = control.error.error;
}

/* Its records stand in the ring already. */
void kvmlog_pump_message_came(struct kvmlog_pump *pump, const void *head, __u64 bytes,
			      __u32 sender_port, int truncated)
{
	struct kvmlog_batch batch;
	int verdict = kvmlog_batch_check(head, bytes, sender_port, truncated, pump->family, &batch);

	if (verdict == KVMLOG_BATCH_OK)
		accept_batch(pump, &batch);
	else if (verdict == KVMLOG_BATCH_CONTROL)
		note_control(pump, head, bytes);
	else
		refuse_message(pump, verdict);
}

/* 0: one message taken; -EAGAIN: none there; else recvmsg's -errno. */
static int receive_message(struct kvmlog_pump *pump)
{
	const struct kvmlog_ring *ring = &pump->writer->ring;
	__u64 head = ring->header->head;
	__u64 first = kvmlog_ring_until_wrap(ring, head, KVMLOG_BATCH_RECORDS);
	__u8 message_head[KVMLOG_BATCH_OFFSET];
	struct sockaddr_nl sender = { 0 };
	struct iovec parts[3] = {
		{ message_head, sizeof(message_head) },
		{ kvmlog_ring_slot(ring, head), first * KVMLOG_RECORD_BYTES },
		{ ring->slots, (KVMLOG_BATCH_RECORDS - first) * KVMLOG_RECORD_BYTES },
	};
	struct msghdr message = {
		.msg_name = &sender,
		.msg_namelen = sizeof(sender),
		.msg_iov = parts,
		.msg_iovlen = first == KVMLOG_BATCH_RECORDS ? 2 : 3,
	};
	ssize_t bytes;

	kvmlog_writer_reserve(pump->writer, KVMLOG_BATCH_RECORDS);
	bytes = recvmsg(pump->data_fd, &message, MSG_DONTWAIT);
	if (bytes < 0)
		return -errno;
	kvmlog_pump_message_came(pump, message_head, (__u64)bytes, sender.nl_pid,
				 !!(message.msg_flags & MSG_TRUNC));
	return 0;
}

static int drain_socket(struct kvmlog_pump *pump, int *again_ms)
{
	*again_ms = -1;
	if (pump->data_fd < 0)
		return 0;
	for (int i = 0; i < KVMLOG_DRAIN_MESSAGES; i++) {
		int rc;

		pthread_mutex_lock(&pump->writer->lock);
		rc = receive_message(pump);
		if (rc == -ENOBUFS || rc == -EINTR) {
			pump->statistics.errors++;
			rc = 0;
		}
		pthread_mutex_unlock(&pump->writer->lock);
		if (rc == -EAGAIN)
			return 0;
		if (rc)
			return rc;
	}
	*again_ms = 0;
	return 0;
}

static __u64 messages_received(const struct kvmlog_pump *pump, __u32 cpu)
{
	return cpu < KVMLOG_NO_CPU ? pump->cpus[cpu].next : 0;
}

static void settle(struct kvmlog_pump *pump, __u16 number, __u64 messages, __u64 dropped)
{
	struct kvmlog_pump_cpu *cpu = kvmlog_pump_cpu(pump, number);

	if (messages > cpu->next)
		kvmlog_pump_lose_messages(pump, number, messages - cpu->next, 0);
	if (dropped > cpu->dropped)
		kvmlog_pump_lose_records(pump, number, dropped, 0);
	memset(cpu, 0, sizeof(*cpu));
}

static const struct kvmlog_pump_input netlink_input = {
	.drain = drain_socket,
	.received = messages_received,
	.settle = settle,
};

/* While the pump does not run: receive from @fd (-1: from nowhere, only keep the clocks). */
void kvmlog_pump_socket(struct kvmlog_pump *pump, int fd, __u16 family)
{
	pump->family = family;
	kvmlog_pump_set_input(pump, &netlink_input, fd, NULL);
}
