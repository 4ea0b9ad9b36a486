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
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "pump/pump.h"

enum {
	KVMLOG_HEARTBEAT_MS = KVMLOG_STATISTICS_FOLD_MS,
};

/* The pump's descriptors in poll(). */
enum {
	STOP,
	WAKE,
	DATA,
	CPUS,
	CLOCK,
	DESCRIPTORS,
};

static int drain_nothing(struct kvmlog_pump *pump, int *again_ms)
{
	(void)pump;
	*again_ms = -1;
	return 0;
}

static __u64 nothing_received(const struct kvmlog_pump *pump, __u32 cpu)
{
	(void)pump;
	(void)cpu;
	return 0;
}

static void settle_nothing(struct kvmlog_pump *pump, __u16 number, __u64 messages, __u64 dropped)
{
	(void)pump;
	(void)number;
	(void)messages;
	(void)dropped;
}

/* Until there is a source: only the heartbeat is kept. */
static const struct kvmlog_pump_input no_input = {
	.drain = drain_nothing,
	.received = nothing_received,
	.settle = settle_nothing,
};

static __u64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
}

/* Readable when wall time was set or the host slept; -1: the next turn sees it. */
static int open_clock(void)
{
	static const struct itimerspec never = { .it_value = { .tv_sec = INT64_MAX } };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 &&
	    timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL)) {
		close(fd);
		return -1;
	}
	return fd;
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
	pump->input = &no_input;
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
	pump->clock_fd = open_clock();
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
	if (pump->clock_fd >= 0)
		close(pump->clock_fd);
	close(pump->waiting.event_fd);
	close(pump->wake_fd);
	close(pump->stop_fd);
	free(pump->cpus);
	free(pump);
}

/* From @fd on, which the loop polls; -1: nothing to poll. */
void kvmlog_pump_set_input(struct kvmlog_pump *pump, const struct kvmlog_pump_input *input, int fd,
			   struct kvmlog_bpf_maps *maps)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->input = input;
	pump->data_fd = fd;
	pump->maps = maps;
	memset(pump->cpus, 0, pump->cpus_used * sizeof(*pump->cpus));
	pump->cpus_used = 0;
	pthread_mutex_unlock(&pump->writer->lock);
}

static int heartbeat(struct kvmlog_pump *pump)
{
	__u64 now = now_ms();

	if (now >= pump->heartbeat_ms) {
		kvmlog_pump_watch_clocks(pump);
		kvmlog_pump_heartbeat(pump);
		kvmlog_pump_fold(pump);
		pump->heartbeat_ms = now + KVMLOG_HEARTBEAT_MS;
	}
	return (int)(pump->heartbeat_ms - now);
}

static void count_wakeup(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->statistics.wakeups++;
	pthread_mutex_unlock(&pump->writer->lock);
}

static int sooner(int a_ms, int b_ms)
{
	return b_ms >= 0 && b_ms < a_ms ? b_ms : a_ms;
}

/*
 * Runs until kvmlog_pump_stop(): 0; or until the input fails: -errno. What the source
 * holds at the stop is still taken.
 */
int kvmlog_pump_run(struct kvmlog_pump *pump)
{
	const struct kvmlog_pump_input *input = pump->input;
	struct pollfd events[DESCRIPTORS] = {
		[STOP] = { .fd = pump->stop_fd, .events = POLLIN },
		[WAKE] = { .fd = pump->wake_fd, .events = POLLIN },
		[DATA] = { .fd = pump->data_fd, .events = POLLIN },
		[CPUS] = { .fd = pump->watch.event_fd, .events = POLLIN },
		[CLOCK] = { .fd = pump->clock_fd, .events = POLLIN },
	};
	int again_ms = input->is_polled ? 0 : -1;

	for (;;) {
		int timeout_ms = sooner(heartbeat(pump), again_ms);
		eventfd_t value;
		int rc = 0, stopped;

		/* Data that came within KVMLOG_COALESCE_MS after a drain waits for its end. */
		events[DATA].revents = 0;
		if (poll(events, DESCRIPTORS, timeout_ms) < 0 && errno != EINTR)
			return -errno;
		count_wakeup(pump);
		if (events[WAKE].revents)
			eventfd_read(pump->wake_fd, &value);
		/* ECANCELED says that the clock was set: watch_clocks below sees how. */
		if (events[CLOCK].revents && read(pump->clock_fd, &value, sizeof(value)) < 0 &&
		    errno != ECANCELED && errno != EAGAIN)
			events[CLOCK].fd = -1;

		/* The stop is taken before the last drain: it must not end a later run. */
		stopped = events[STOP].revents && !eventfd_read(pump->stop_fd, &value);
		if (events[CPUS].revents)
			kvmlog_pump_watch_cpus(pump);
		kvmlog_pump_watch_clocks(pump);
		if (input->is_polled || events[DATA].revents || stopped)
			rc = input->drain(pump, &again_ms);
		else
			again_ms = -1;
		while (stopped && !rc && !again_ms)
			rc = input->drain(pump, &again_ms);
		if (rc || stopped)
			return rc;
		if (again_ms && events[DATA].revents)
			poll(&events[STOP], 1, KVMLOG_COALESCE_MS);
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

/* After the run has ended: a stop that it did not take must not end the next one. */
void kvmlog_pump_forget_stop(struct kvmlog_pump *pump)
{
	eventfd_t value;

	eventfd_read(pump->stop_fd, &value);
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
	__u64 count;

	pthread_mutex_lock(&pump->writer->lock);
	count = pump->input->received(pump, cpu);
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
	if (number >= KVMLOG_NO_CPU)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	pump->input->settle(pump, (__u16)number, messages, dropped);
	pthread_mutex_unlock(&pump->writer->lock);
}

/* The source is about to be switched on: losses are counted from 0. */
void kvmlog_pump_restart(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	if (pump->input->restart)
		pump->input->restart(pump);
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
