// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel keeps the offsets of the other clocks to CLOCK_MONOTONIC exactly (what NTP
 * slews, it slews in both), so any change of an offset is wall time that was set, or a
 * sleep. User space learns each from reading one clock between two readings of the
 * other, as an interval that it lies in. Intervals of the same offset have a point in
 * common: when they have not, it has changed.
 */
#include "clock.h"
#include "ring/watch.h"

enum {
	KVMLOG_CLOCK_ROUNDING_NS = 8, /* each clock rounds for itself */
	KVMLOG_CLOCK_READINGS = 8,    /* of an offset that is told: one may be interrupted */
	/* Readings differ by less; nobody sets a clock, or sleeps, by so little. */
	KVMLOG_CLOCK_SAME_NS = 10000,
};

static struct kvmlog_interval read_offset(clockid_t clock)
{
	__s64 before = (__s64)kvmlog_clock_ns(CLOCK_MONOTONIC);
	__s64 other = (__s64)kvmlog_clock_ns(clock);
	__s64 after = (__s64)kvmlog_clock_ns(CLOCK_MONOTONIC);

	return (struct kvmlog_interval){ other - after - KVMLOG_CLOCK_ROUNDING_NS,
					 other - before + KVMLOG_CLOCK_ROUNDING_NS };
}

static __s64 width(const struct kvmlog_interval *interval)
{
	return interval->high - interval->low;
}

static __s64 middle(const struct kvmlog_interval *interval)
{
	return interval->low + width(interval) / 2;
}

static struct kvmlog_interval read_best(clockid_t clock)
{
	struct kvmlog_interval best = read_offset(clock);

	for (int i = 1; i < KVMLOG_CLOCK_READINGS; i++) {
		struct kvmlog_interval read = read_offset(clock);

		if (width(&read) < width(&best))
			best = read;
	}
	return best;
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

/* What @interval lies away from what was told; 0: nothing, but for the readings' error. */
static __s64 moved(const struct kvmlog_interval *interval, __s64 told_ns)
{
	if (told_ns >= interval->low - KVMLOG_CLOCK_SAME_NS &&
	    told_ns <= interval->high + KVMLOG_CLOCK_SAME_NS)
		return 0;
	return middle(interval) - told_ns;
}

void kvmlog_watch_begin(struct kvmlog_clock_watch *watch)
{
	watch->real = read_best(CLOCK_REALTIME);
	watch->boot = read_best(CLOCK_BOOTTIME);
	watch->real_told_ns = middle(&watch->real);
	/* A host that never slept: exactly the same. */
	watch->boot_told_ns = watch->boot.low <= 0 ? 0 : middle(&watch->boot);
}

/* Goes on telling what a writer before this one told, unless wall time was set since. */
void kvmlog_watch_continue(struct kvmlog_clock_watch *watch, __s64 told_before_ns)
{
	if (!moved(&watch->real, told_before_ns))
		watch->real_told_ns = told_before_ns;
}

/* 1: wall time was set or the host slept since the last look. */
int kvmlog_watch_look(struct kvmlog_clock_watch *watch, struct kvmlog_clock_change *change)
{
	struct kvmlog_interval boot = read_offset(CLOCK_BOOTTIME);
	struct kvmlog_interval real = read_offset(CLOCK_REALTIME);

	*change = (struct kvmlog_clock_change){ 0 };
	if (!narrow(&watch->boot, &boot)) {
		/* A sleep moves both offsets by the same. */
		__s64 blur = width(&watch->boot);

		watch->boot = read_best(CLOCK_BOOTTIME);
		blur += width(&watch->boot);
		change->slept_ns = moved(&watch->boot, watch->boot_told_ns);
		watch->boot_told_ns += change->slept_ns;
		watch->real.low += change->slept_ns - blur;
		watch->real.high += change->slept_ns + blur;
		watch->real_told_ns += change->slept_ns;
	}
	if (!narrow(&watch->real, &real)) {
		watch->real = read_best(CLOCK_REALTIME);
		change->stepped_ns = moved(&watch->real, watch->real_told_ns);
		watch->real_told_ns += change->stepped_ns;
	}
	return change->slept_ns || change->stepped_ns;
}
