// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host's clocks while BPF programs trace: wall time that was set, sleep. The records
 * that the kernel module writes itself, the pump writes in their place.
 *
 * The kernel keeps the offsets of the other clocks to CLOCK_MONOTONIC exactly; user
 * space learns each from reading one clock between two readings of the other, as an
 * interval that it lies in. Intervals of the same offset have a point in common: when
 * they have not, wall time was set or the host slept, however short.
 */
#include "clock.h"
#include "pump/pump.h"

enum {
	KVMLOG_CLOCK_ROUNDING_NS = 8, /* each clock rounds for itself */
};

static struct kvmlog_interval read_offset(clockid_t clock)
{
	__s64 before = (__s64)kvmlog_clock_ns(CLOCK_MONOTONIC);
	__s64 other = (__s64)kvmlog_clock_ns(clock);
	__s64 after = (__s64)kvmlog_clock_ns(CLOCK_MONOTONIC);

	return (struct kvmlog_interval){ other - after - KVMLOG_CLOCK_ROUNDING_NS,
					 other - before + KVMLOG_CLOCK_ROUNDING_NS };
}

/* Narrows *known by *read; 0: they have no point in common. */
static int narrow(struct kvmlog_interval *known, const struct kvmlog_interval *read)
{
	__s64 low = read->low > known->low ? read->low : known->low;
	__s64 high = read->high < known->high ? read->high : known->high;

	if (low > high)
		return 0;
	known->low = low;
	known->high = high;
	return 1;
}

static __s64 middle(const struct kvmlog_interval *interval)
{
	return interval->low + (interval->high - interval->low) / 2;
}

static void note_clock(struct kvmlog_pump *pump, __u32 event, __s64 delta_ns)
{
	const struct kvmlog_watch *watch = &pump->watch;
	__u64 now = kvmlog_clock_ns(CLOCK_MONOTONIC);
	struct kvmlog_record_clock clock = {
		.type = KVMLOG_RECORD_CLOCK,
		.source = KVMLOG_SOURCE_BPF,
		.ns = now,
		.event = event,
		.delta_ns = delta_ns,
		.realtime_ns = now + (__u64)watch->real_told_ns,
		.boottime_ns = now + (__u64)watch->boot_told_ns,
		.config_epoch = watch->config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = KVMLOG_NO_CPU,
	};

	kvmlog_pump_note(pump, &clock);
}

/* Tracing begins: tells where the clocks stand, and watches them from here. */
void kvmlog_pump_watch(struct kvmlog_pump *pump, __u32 config_epoch)
{
	struct kvmlog_watch *watch = &pump->watch;

	pthread_mutex_lock(&pump->writer->lock);
	watch->config_epoch = config_epoch;
	if (!watch->on) {
		watch->on = 1;
		watch->real = read_offset(CLOCK_REALTIME);
		watch->boot = read_offset(CLOCK_BOOTTIME);
		watch->real_told_ns = middle(&watch->real);
		/* A host that never slept: exactly the same. */
		watch->boot_told_ns = watch->boot.low <= 0 ? 0 : middle(&watch->boot);
		note_clock(pump, KVMLOG_CLOCK_ANCHOR, 0);
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
	struct kvmlog_watch *watch = &pump->watch;
	struct kvmlog_interval real, boot;
	__s64 slept = 0, stepped;

	if (!watch->on)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	boot = read_offset(CLOCK_BOOTTIME);
	real = read_offset(CLOCK_REALTIME);
	if (!narrow(&watch->boot, &boot)) {
		/* A sleep moves both offsets by the same. */
		__s64 width = watch->boot.high - watch->boot.low + boot.high - boot.low;

		slept = middle(&boot) - middle(&watch->boot);
		watch->boot = boot;
		watch->boot_told_ns += slept;
		watch->real.low += slept - width;
		watch->real.high += slept + width;
		watch->real_told_ns += slept;
		note_clock(pump, KVMLOG_CLOCK_SUSPEND, slept);
	}
	if (!narrow(&watch->real, &real)) {
		stepped = middle(&real) - watch->real_told_ns;
		watch->real = real;
		watch->real_told_ns += stepped;
		note_clock(pump, KVMLOG_CLOCK_STEP, stepped);
	}
	pthread_mutex_unlock(&pump->writer->lock);
}
