// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pump: carries batches from the source's netlink socket into the ring.
 *
 * recvmsg() writes the records straight into the slots behind head, so that the
 * kernel's copy to user space is the only one; head moves only when the message
 * turned out to be what netlink.h promises. kvmlog_pump_run() blocks in poll()
 * and is called without Python's lock; kvmlog_pump_stop() ends it from anywhere.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/netlink.h>

#include "ring.h"

enum {
	KVMLOG_HEARTBEAT_MS = 1000,
	/* After a batch, how long to let more gather: a wakeup costs several thousand
	 * instructions, as much as receiving a batch. Far below the socket's buffer
	 * (some 500 messages) even when every CPU delivers at full speed.
	 */
	KVMLOG_COALESCE_MS = 5,
	/* Messages between two looks at the stop event and the clock. */
	KVMLOG_DRAIN_MESSAGES = 256,
};

/* One CPU's stream of messages, since tracing was switched on. */
struct pump_cpu {
	__u64 next;	     /* sequence expected next */
	__u64 dropped;	     /* records, as its last batch said */
	__u64 lost_messages; /* that never came */
};

/* The writer's lock covers all but stop_fd and the fields of the running loop. */
struct kvmlog_pump {
	struct kvmlog_writer *writer;
	struct pump_cpu *cpus; /* KVMLOG_NO_CPU of them; untouched ones take no memory */
	__u32 cpus_used;       /* of them, from 0 on */
	struct kvmlog_pump_statistics statistics;
	int stop_fd;
	int data_fd;
	__u16 family;
	__u64 heartbeat_ms; /* when the next one is due */
	__u8 scratch[KVMLOG_BATCH_RECORDS * KVMLOG_RECORD_BYTES];
};

static __u64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
}

/* NULL with errno set. */
struct kvmlog_pump *kvmlog_pump_new(struct kvmlog_writer *writer)
{
	struct kvmlog_pump *pump;

	if (writer->ring.record_bytes != KVMLOG_RECORD_BYTES ||
	    writer->ring.capacity < KVMLOG_BATCH_RECORDS) {
		errno = EINVAL;
		return NULL;
	}
	pump = calloc(1, sizeof(*pump));
	if (!pump)
		return NULL;
	pump->writer = writer;
	pump->data_fd = -1;
	pump->cpus = calloc(KVMLOG_NO_CPU, sizeof(*pump->cpus));
	if (!pump->cpus)
		goto err_pump;
	pump->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->stop_fd < 0)
		goto err_cpus;
	return pump;

err_cpus:
	free(pump->cpus);
err_pump:
	free(pump);
	return NULL;
}

void kvmlog_pump_free(struct kvmlog_pump *pump)
{
	if (!pump)
		return;
	close(pump->stop_fd);
	free(pump->cpus);
	free(pump);
}

/* While the pump does not run: receive from @fd (-1: from nowhere, only keep the clocks). */
void kvmlog_pump_socket(struct kvmlog_pump *pump, int fd, __u16 family)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->data_fd = fd;
	pump->family = family;
	memset(pump->cpus, 0, pump->cpus_used * sizeof(*pump->cpus));
	pump->cpus_used = 0;
	pthread_mutex_unlock(&pump->writer->lock);
}

static void lose_messages(struct kvmlog_pump *pump, __u16 number, __u64 lost, __u64 ns)
{
	struct pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_MESSAGE, .cpu = number, .ns = ns };

	cpu->lost_messages += lost;
	pump->statistics.lost_messages += lost;
	note.lost = lost;
	note.total = cpu->lost_messages;
	kvmlog_writer_note_loss(pump->writer, &note);
}

static void lose_records(struct kvmlog_pump *pump, __u16 number, __u64 dropped, __u64 ns)
{
	struct pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_BUFFER_FULL,
					 .cpu = number,
					 .ns = ns };

	note.lost = dropped - cpu->dropped;
	note.total = dropped;
	cpu->dropped = dropped;
	pump->statistics.lost_records += note.lost;
	kvmlog_writer_note_loss(pump->writer, &note);
}

/* The batch's records stand behind head, but losses have to stand in front of them. */
static void publish_after_losses(struct kvmlog_pump *pump, const struct kvmlog_batch *batch)
{
	struct kvmlog_writer *writer = pump->writer;
	const struct kvmlog_ring *ring = &writer->ring;
	struct pump_cpu *cpu = &pump->cpus[batch->cpu];
	__u64 head = ring->header->head;
	__u64 first = kvmlog_ring_until_wrap(ring, head, batch->count);
	__u64 bytes = first * KVMLOG_RECORD_BYTES;
	struct kvmlog_record record;

	memcpy(pump->scratch, kvmlog_ring_slot(ring, head), bytes);
	memcpy(pump->scratch + bytes, ring->slots, (batch->count - first) * KVMLOG_RECORD_BYTES);
	memcpy(&record, pump->scratch, sizeof(record));

	/* The losses take the batch's own time, so that sorting by time leaves them in place. */
	if (batch->sequence > cpu->next)
		lose_messages(pump, batch->cpu, batch->sequence - cpu->next, record.exit_ns);
	if (batch->dropped > cpu->dropped)
		lose_records(pump, batch->cpu, batch->dropped, record.exit_ns);

	kvmlog_writer_reserve(writer, batch->count);
	kvmlog_writer_copy(writer, pump->scratch, batch->count);
	kvmlog_writer_publish(writer, batch->count);
}

/* The batch's records are in their slots: account for them and show them. */
static void accept_batch(struct kvmlog_pump *pump, const struct kvmlog_batch *batch)
{
	struct kvmlog_ring_header *header = pump->writer->ring.header;
	struct pump_cpu *cpu = &pump->cpus[batch->cpu];

	if (batch->cpu >= pump->cpus_used)
		pump->cpus_used = batch->cpu + 1;

	/* The numbers start again at each switching on. */
	if (batch->sequence < cpu->next)
		memset(cpu, 0, sizeof(*cpu));

	if (batch->config_epoch != header->config_epoch) {
		kvmlog_writer_info_begin(pump->writer);
		header->config_epoch = batch->config_epoch;
		kvmlog_writer_info_end(pump->writer);
	}

	/* What remains when the source goes away before it could give its own counts. */
	pump->statistics.exits += batch->exits;

	if (batch->sequence == cpu->next && batch->dropped <= cpu->dropped)
		kvmlog_writer_publish(pump->writer, batch->count);
	else
		publish_after_losses(pump, batch);

	cpu->next = batch->sequence + 1;
	pump->statistics.messages++;
	pump->statistics.records += batch->count;
}

static void refuse_message(struct kvmlog_pump *pump, int verdict)
{
	pump->statistics.bad_messages++;
	pump->statistics.bad_by_verdict[verdict]++;
	kvmlog_writer_info_begin(pump->writer);
	pump->writer->ring.header->bad_messages++;
	kvmlog_writer_info_end(pump->writer);
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

/* @head: the message's first bytes; its records stand in the ring already. */
static void take_message(struct kvmlog_pump *pump, const void *head, __u64 bytes, __u32 sender_port,
			 int truncated)
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
	take_message(pump, message_head, (__u64)bytes, sender.nl_pid,
		     !!(message.msg_flags & MSG_TRUNC));
	return 0;
}

/* 0: nothing left; 1: stopped at the limit, there may be more; else -errno. */
static int drain(struct kvmlog_pump *pump)
{
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
	return 1;
}

static int heartbeat(struct kvmlog_pump *pump)
{
	__u64 now = now_ms();

	if (now >= pump->heartbeat_ms) {
		kvmlog_writer_heartbeat(pump->writer);
		pump->heartbeat_ms = now + KVMLOG_HEARTBEAT_MS;
	}
	return (int)(pump->heartbeat_ms - now);
}

/*
 * Runs until kvmlog_pump_stop(): 0; or until the socket fails: -errno. What the
 * socket holds at the stop is still taken.
 */
int kvmlog_pump_run(struct kvmlog_pump *pump)
{
	struct pollfd events[2] = {
		{ .fd = pump->stop_fd, .events = POLLIN },
		{ .fd = pump->data_fd, .events = POLLIN },
	};
	int rc = 0;

	for (;;) {
		int timeout_ms = heartbeat(pump);
		eventfd_t stops;
		int stopped;

		/* Data that came within KVMLOG_COALESCE_MS after a drain waits for its end. */
		events[1].revents = 0;
		if (poll(events, 2, rc == 1 ? 0 : timeout_ms) < 0 && errno != EINTR)
			return -errno;
		pump->statistics.wakeups++;

		/* The stop is taken before the last drain: it must not end a later run. */
		stopped = events[0].revents && !eventfd_read(pump->stop_fd, &stops);
		rc = 0;
		if (pump->data_fd >= 0 && (events[1].revents || stopped))
			rc = drain(pump);
		while (stopped && rc == 1)
			rc = drain(pump);
		if (rc < 0 || stopped)
			return rc;
		if (rc == 0 && events[1].revents)
			poll(events, 1, KVMLOG_COALESCE_MS);
	}
}

/* From any thread or signal handler. A stop before the run ends that run at once. */
void kvmlog_pump_stop(struct kvmlog_pump *pump)
{
	eventfd_write(pump->stop_fd, 1);
}

void kvmlog_pump_read(struct kvmlog_pump *pump, struct kvmlog_pump_statistics *statistics)
{
	pthread_mutex_lock(&pump->writer->lock);
	*statistics = pump->statistics;
	pthread_mutex_unlock(&pump->writer->lock);
}

/* Messages of @cpu accounted for (come, or known to be lost) since tracing was switched on. */
__u64 kvmlog_pump_received(struct kvmlog_pump *pump, __u32 cpu)
{
	__u64 next = 0;

	pthread_mutex_lock(&pump->writer->lock);
	if (cpu < KVMLOG_NO_CPU)
		next = pump->cpus[cpu].next;
	pthread_mutex_unlock(&pump->writer->lock);
	return next;
}

/*
 * Tracing is off and the source says that it delivered @messages from @cpu and
 * dropped @dropped records on it since switched on: writes down what is missing
 * at the end, where no later message shows the gap, and starts afresh.
 */
void kvmlog_pump_settle(struct kvmlog_pump *pump, __u32 cpu, __u64 messages, __u64 dropped)
{
	if (cpu >= KVMLOG_NO_CPU)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	if (cpu >= pump->cpus_used)
		pump->cpus_used = cpu + 1;
	if (messages > pump->cpus[cpu].next)
		lose_messages(pump, (__u16)cpu, messages - pump->cpus[cpu].next, 0);
	if (dropped > pump->cpus[cpu].dropped)
		lose_records(pump, (__u16)cpu, dropped, 0);
	memset(&pump->cpus[cpu], 0, sizeof(pump->cpus[cpu]));
	pthread_mutex_unlock(&pump->writer->lock);
}

/* A message that did not come through a socket (tests, recorded data). -EMSGSIZE: too long. */
int kvmlog_pump_message(struct kvmlog_pump *pump, const void *message, __u64 bytes,
			__u32 sender_port)
{
	__u8 message_head[KVMLOG_BATCH_OFFSET] = { 0 };
	__u64 records = 0;

	if (bytes > KVMLOG_MESSAGE_BYTES)
		return -EMSGSIZE;
	memcpy(message_head, message, bytes < sizeof(message_head) ? bytes : sizeof(message_head));
	if (bytes > sizeof(message_head))
		records = (bytes - sizeof(message_head)) / KVMLOG_RECORD_BYTES;

	pthread_mutex_lock(&pump->writer->lock);
	kvmlog_writer_reserve(pump->writer, KVMLOG_BATCH_RECORDS);
	kvmlog_writer_copy(pump->writer, (const __u8 *)message + sizeof(message_head), records);
	take_message(pump, message_head, bytes, sender_port, 0);
	pthread_mutex_unlock(&pump->writer->lock);
	return 0;
}
