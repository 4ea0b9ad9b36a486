// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host's clocks in the stream: wall time that was set, sleep. The header has its pair
 * before any record that came after it is taken. The records of it, which the kernel module
 * writes itself, the pump writes in the place of BPF programs.
 */
#include "clock.h"
#include "pump/pump.h"

enum {
	NS_PER_S = 1000000000,
};

static void note_clock(struct kvmlog_pump *pump, __u8 source, __u32 event, __s64 delta_ns,
		       __s64 real_ns)
{
	__u64 now = kvmlog_clock_ns(CLOCK_MONOTONIC);
	struct kvmlog_record_clock clock = {
		.type = KVMLOG_RECORD_CLOCK,
		.source = source,
		.ns = now,
		.event = event,
		.delta_ns = delta_ns,
		.realtime_ns = now + (__u64)real_ns,
		.boottime_ns = now + (__u64)pump->writer->watch.boot_told_ns,
		.config_epoch = source == KVMLOG_SOURCE_BPF
					? pump->watch.config_epoch
					: pump->writer->ring.header->config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = KVMLOG_NO_CPU,
	};

	kvmlog_pump_note(pump, &clock);
}

/* A source knows no zones: that local time has moved, the engine tells itself. */
void kvmlog_pump_heartbeat(struct kvmlog_pump *pump)
{
	__s64 moved_s = kvmlog_writer_heartbeat(pump->writer);

	if (!moved_s)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	if (pump->writer->ring.header->switched_on)
		note_clock(pump, KVMLOG_SOURCE_ENGINE, KVMLOG_CLOCK_ZONE, moved_s * NS_PER_S,
			   pump->writer->watch.real_told_ns);
	pthread_mutex_unlock(&pump->writer->lock);
}

/* Tracing begins: tells where the clocks stand, and what they do from here on. */
void kvmlog_pump_watch(struct kvmlog_pump *pump, __u32 config_epoch)
{
	kvmlog_pump_watch_clocks(pump);
	pthread_mutex_lock(&pump->writer->lock);
	pump->watch.config_epoch = config_epoch;
	if (!pump->watch.on) {
		pump->watch.on = 1;
		note_clock(pump, KVMLOG_SOURCE_BPF, KVMLOG_CLOCK_ANCHOR, 0,
			   pump->writer->watch.real_told_ns);
	}
	pthread_mutex_unlock(&pump->writer->lock);
}

void kvmlog_pump_unwatch(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->watch.on = 0;
	pthread_mutex_unlock(&pump->writer->lock);
}

void kvmlog_pump_watch_clocks(struct kvmlog_pump *pump)
{
	struct kvmlog_clock_watch *watch = &pump->writer->watch;
	struct kvmlog_clock_change change;
	int changed;

	pthread_mutex_lock(&pump->writer->lock);
	changed = kvmlog_watch_look(watch, &change);
	if (change.slept_ns && pump->watch.on)
		note_clock(pump, KVMLOG_SOURCE_BPF, KVMLOG_CLOCK_SUSPEND, change.slept_ns,
			   watch->real_told_ns - change.stepped_ns);
	if (change.stepped_ns && pump->watch.on)
		note_clock(pump, KVMLOG_SOURCE_BPF, KVMLOG_CLOCK_STEP, change.stepped_ns,
			   watch->real_told_ns);
	pthread_mutex_unlock(&pump->writer->lock);
	if (changed)
		kvmlog_pump_heartbeat(pump);
}
