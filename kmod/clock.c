// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records carry CLOCK_MONOTONIC, which neither steps nor counts while the host
 * sleeps. What it misses stands in the stream as CLOCK records: the kernel keeps
 * the offsets of the other clocks to it exactly (slewing moves both), so any
 * change of an offset is a step or a sleep, however small.
 */
#include <linux/ktime.h>

#include "clock.h"
#include "note.h"

static s64 real_offset_ns, boot_offset_ns; /* flush worker, or start before it runs */

static s64 offset_ns(enum tk_offsets which)
{
	return ktime_to_ns(ktime_mono_to_any(0, which));
}

/*
 * The offsets of one moment. A sleep changes both, and the host may fall asleep
 * between two reads: the worker is not frozen, only stopped where it is.
 */
static void read_offsets(s64 *real_ns, s64 *boot_ns)
{
	do {
		*boot_ns = offset_ns(TK_OFFS_BOOT);
		*real_ns = offset_ns(TK_OFFS_REAL);
	} while (unlikely(*boot_ns != offset_ns(TK_OFFS_BOOT)));
}

/* True when it stands in the stream; otherwise the caller tries again. */
static bool note_clock(enum kvmlog_clock_event event, s64 delta_ns, s64 real_ns, s64 boot_ns)
{
	u64 now_ns = ktime_get_mono_fast_ns();
	struct kvmlog_record_clock note = {
		.ns = now_ns,
		.event = event,
		.delta_ns = delta_ns,
		.realtime_ns = now_ns + real_ns,
		.boottime_ns = now_ns + boot_ns,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = KVMLOG_NO_CPU,
	};

	return kvmlog_note_write(&note, KVMLOG_RECORD_CLOCK);
}

void kvmlog_clock_start(void)
{
	read_offsets(&real_offset_ns, &boot_offset_ns);
}

void kvmlog_clock_anchor(void)
{
	if (!note_clock(KVMLOG_CLOCK_ANCHOR, 0, real_offset_ns, boot_offset_ns))
		kvmlog_note_lost();
}

void kvmlog_clock_check(void)
{
	s64 real_ns, boot_ns, slept_ns, stepped_ns;

	read_offsets(&real_ns, &boot_ns);
	slept_ns = boot_ns - boot_offset_ns;
	stepped_ns = real_ns - real_offset_ns - slept_ns;
	if (slept_ns && note_clock(KVMLOG_CLOCK_SUSPEND, slept_ns, real_ns - stepped_ns, boot_ns)) {
		boot_offset_ns = boot_ns;
		real_offset_ns += slept_ns;
	}
	if (stepped_ns && note_clock(KVMLOG_CLOCK_STEP, stepped_ns, real_ns, boot_ns))
		real_offset_ns += stepped_ns;
}
