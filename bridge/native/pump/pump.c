// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The pump: carries records from the source into the ring, from a netlink socket
 * (netlink.c) or from BPF maps (bpf.c).
 *
 * kvmlog_pump_run() blocks in poll() and is called without Python's lock;
 * kvmlog_pump_stop() ends it from anywhere.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "pump/pump.h"

enum {
	KVMLOG_HEARTBEAT_MS = 1000,
	/* After a batch, how long to let more gather: a wakeup costs several thousand
	 * instructions, as much as receiving a batch. Far below the socket's buffer
	 * (some 500 messages) even when every CPU delivers at full speed.
	 */
	KVMLOG_COALESCE_MS = 5,
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
	pump->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->wake_fd < 0)
		goto err_stop;
	pump->waiting.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pump->waiting.event_fd < 0)
		goto err_wake;
	pump->watch.event_fd = -1;
	return pump;

err_wake:
	close(pump->wake_fd);
err_stop:
	close(pump->stop_fd);
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
	if (pump->watch.event_fd >= 0)
		close(pump->watch.event_fd);
	close(pump->waiting.event_fd);
	close(pump->wake_fd);
	close(pump->stop_fd);
	free(pump->cpus);
	free(pump);
}

static void set_input(struct kvmlog_pump *pump, int fd, __u16 family, struct kvmlog_bpf_maps *maps)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->data_fd = fd;
	pump->family = family;
	pump->maps = maps;
	memset(pump->cpus, 0, pump->cpus_used * sizeof(*pump->cpus));
	pump->cpus_used = 0;
	pthread_mutex_unlock(&pump->writer->lock);
}

/* While the pump does not run: receive from @fd (-1: from nowhere, only keep the clocks). */
void kvmlog_pump_socket(struct kvmlog_pump *pump, int fd, __u16 family)
{
	set_input(pump, fd, family, NULL);
}

/* While the pump does not run: take records out of these maps, which outlive that input. */
void kvmlog_pump_maps(struct kvmlog_pump *pump, struct kvmlog_bpf_maps *maps)
{
	if (pump->watch.event_fd < 0)
		pump->watch.event_fd = kvmlog_watch_open();
	set_input(pump, -1, 0, maps);
}

struct kvmlog_pump_cpu *kvmlog_pump_cpu(struct kvmlog_pump *pump, __u32 number)
{
	if (number >= pump->cpus_used)
		pump->cpus_used = number + 1;
	return &pump->cpus[number];
}

/* The configuration that records are taken under, as the header tells it. */
void kvmlog_pump_epoch(struct kvmlog_pump *pump, __u32 config_epoch)
{
	struct kvmlog_ring_header *header = pump->writer->ring.header;

	if (config_epoch == header->config_epoch)
		return;
	kvmlog_writer_info_begin(pump->writer);
	header->config_epoch = config_epoch;
	kvmlog_writer_info_end(pump->writer);
}

void kvmlog_pump_lose_messages(struct kvmlog_pump *pump, __u16 number, __u64 lost, __u64 ns)
{
	struct kvmlog_pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_MESSAGE, .cpu = number, .ns = ns };

	cpu->lost_messages += lost;
	pump->statistics.lost_messages += lost;
	note.lost = lost;
	note.total = cpu->lost_messages;
	kvmlog_writer_note_loss(pump->writer, &note);
}

void kvmlog_pump_lose_records(struct kvmlog_pump *pump, __u16 number, __u64 dropped, __u64 ns)
{
	struct kvmlog_pump_cpu *cpu = &pump->cpus[number];
	struct kvmlog_loss_note note = { .cause = KVMLOG_LOSS_BUFFER_FULL,
					 .cpu = number,
					 .ns = ns };

	note.lost = dropped - cpu->dropped;
	note.total = dropped;
	cpu->dropped = dropped;
	pump->statistics.lost_records += note.lost;
	kvmlog_writer_note_loss(pump->writer, &note);
}

static int heartbeat(struct kvmlog_pump *pump)
{
	__u64 now = now_ms();

	if (now >= pump->heartbeat_ms) {
		kvmlog_writer_heartbeat(pump->writer);
		kvmlog_pump_fold(pump);
		pump->heartbeat_ms = now + KVMLOG_HEARTBEAT_MS;
	}
	return (int)(pump->heartbeat_ms - now);
}

static int sooner(int a_ms, int b_ms)
{
	return b_ms >= 0 && b_ms < a_ms ? b_ms : a_ms;
}

/*
 * Runs until kvmlog_pump_stop(): 0; or until the socket fails: -errno. What the
 * source holds at the stop is still taken.
 */
int kvmlog_pump_run(struct kvmlog_pump *pump)
{
	struct pollfd events[4] = {
		{ .fd = pump->stop_fd, .events = POLLIN },
		{ .fd = pump->wake_fd, .events = POLLIN },
		{ .fd = pump->data_fd, .events = POLLIN },
		{ .fd = pump->watch.event_fd, .events = POLLIN },
	};
	int again_ms = pump->maps ? 0 : -1;
	int rc = 0;

	for (;;) {
		int timeout_ms = sooner(heartbeat(pump), rc == 1 ? 0 : again_ms);
		eventfd_t value;
		int stopped;

		/* Data that came within KVMLOG_COALESCE_MS after a drain waits for its end. */
		events[2].revents = 0;
		if (poll(events, 4, timeout_ms) < 0 && errno != EINTR)
			return -errno;
		pump->statistics.wakeups++;
		if (events[1].revents)
			eventfd_read(pump->wake_fd, &value);

		/* The stop is taken before the last drain: it must not end a later run. */
		stopped = events[0].revents && !eventfd_read(pump->stop_fd, &value);
		rc = 0;
		if (events[3].revents)
			kvmlog_watch_events(pump);
		kvmlog_watch_clocks(pump);
		if (pump->maps)
			again_ms = kvmlog_pump_drain_maps(pump);
		if (pump->data_fd >= 0 && (events[2].revents || stopped))
			rc = kvmlog_pump_drain_socket(pump);
		while (stopped && rc == 1)
			rc = kvmlog_pump_drain_socket(pump);
		if (rc < 0 || stopped)
			return rc;
		if (rc == 0 && events[2].revents)
			poll(events, 1, KVMLOG_COALESCE_MS);
	}
}

/* From any thread or signal handler. A stop before the run ends that run at once. */
void kvmlog_pump_stop(struct kvmlog_pump *pump)
{
	eventfd_write(pump->stop_fd, 1);
}

/* From any thread: look at the maps now. */
void kvmlog_pump_wake(struct kvmlog_pump *pump)
{
	eventfd_write(pump->wake_fd, 1);
}

void kvmlog_pump_read(struct kvmlog_pump *pump, struct kvmlog_pump_statistics *statistics)
{
	pthread_mutex_lock(&pump->writer->lock);
	*statistics = pump->statistics;
	pthread_mutex_unlock(&pump->writer->lock);
}

/*
 * What came of @cpu: messages accounted for (come, or known to be lost) since tracing
 * was switched on; of a BPF source, records since its maps were made.
 */
__u64 kvmlog_pump_received(struct kvmlog_pump *pump, __u32 cpu)
{
	__u64 count = 0;

	pthread_mutex_lock(&pump->writer->lock);
	if (pump->maps)
		count = cpu < pump->maps->count ? pump->maps->cpus[cpu].tail : 0;
	else if (cpu < KVMLOG_NO_CPU)
		count = pump->cpus[cpu].next;
	pthread_mutex_unlock(&pump->writer->lock);
	return count;
}

/*
 * Tracing is off and the source says that it delivered @messages from @cpu and
 * dropped @dropped records on it since switched on: writes down what is missing
 * at the end, where no later message shows the gap, and starts afresh.
 */
void kvmlog_pump_settle(struct kvmlog_pump *pump, __u32 number, __u64 messages, __u64 dropped)
{
	struct kvmlog_pump_cpu *cpu;

	if (number >= KVMLOG_NO_CPU)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	cpu = kvmlog_pump_cpu(pump, number);
	if (!pump->maps && messages > cpu->next)
		kvmlog_pump_lose_messages(pump, (__u16)number, messages - cpu->next, 0);
	if (dropped > cpu->dropped)
		kvmlog_pump_lose_records(pump, (__u16)number, dropped, 0);
	/* In the maps the count stands until kvmlog_pump_restart(). */
	if (!pump->maps)
		memset(cpu, 0, sizeof(*cpu));
	pthread_mutex_unlock(&pump->writer->lock);
}

/* BPF programs are about to be attached: losses are counted from 0. */
void kvmlog_pump_restart(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	for (__u32 i = 0; pump->maps && i < pump->maps->count; i++) {
		pump->maps->cpus[i].lost = 0;
		kvmlog_pump_cpu(pump, i)->dropped = 0;
	}
	pthread_mutex_unlock(&pump->writer->lock);
}

/* Records that the engine writes in the source's name: a switch, a step of the clock. */
void kvmlog_pump_append(struct kvmlog_pump *pump, const struct kvmlog_record *records, __u32 count)
{
	__u64 exits = 0;

	kvmlog_writer_append(pump->writer, records, count);
	pthread_mutex_lock(&pump->writer->lock);
	for (__u32 i = 0; i < count; i++)
		exits += records[i].type == KVMLOG_RECORD_EXIT;
	kvmlog_pump_take_from(pump, records, count, exits);
	pump->statistics.exits += exits;
	pump->statistics.notes += count - exits;
	pump->statistics.records += count;
	if (count)
		kvmlog_pump_epoch(pump, records[count - 1].config_epoch);
	pthread_mutex_unlock(&pump->writer->lock);
}

/* Exits that the source lost on no CPU in particular. */
void kvmlog_pump_lost(struct kvmlog_pump *pump, __u64 lost, __u64 total)
{
	struct kvmlog_loss_note note = {
		.cause = KVMLOG_LOSS_BUFFER_FULL,
		.cpu = KVMLOG_NO_CPU,
		.lost = lost,
		.total = total,
	};

	pthread_mutex_lock(&pump->writer->lock);
	pump->statistics.lost_records += lost;
	kvmlog_writer_note_loss(pump->writer, &note);
	pthread_mutex_unlock(&pump->writer->lock);
}
