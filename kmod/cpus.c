// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU hotplug. The callbacks run under a lock that the whole host may wait for, so
 * they only note the time; the flush worker writes the records.
 */
#include <linux/cpuhotplug.h>
#include <linux/ktime.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>

#include <kvmlog/record.h>

#include "cpus.h"
#include "flush.h"
#include "note.h"

/* The newest change of each kind, by `online`; 0: none, or its record is written. */
struct cpu_changes {
	u64 ns[2];
};

static DEFINE_PER_CPU(struct cpu_changes, changes);
static DEFINE_SPINLOCK(changes_lock); /* process context only */
static enum cpuhp_state hotplug_state;

static void note_change(unsigned int cpu, bool online)
{
	u64 *ns = &per_cpu(changes, cpu).ns[online];

	if (!kvmlog_flush_running())
		return;
	spin_lock(&changes_lock);
	if (*ns) /* came, went and came before the worker ran */
		kvmlog_note_lost();
	*ns = ktime_get_mono_fast_ns();
	spin_unlock(&changes_lock);
}

static int came_online(unsigned int cpu)
{
	kvmlog_flush_cpu_online(cpu);
	note_change(cpu, true);
	return 0;
}

static int goes_offline(unsigned int cpu)
{
	note_change(cpu, false);
	return 0;
}

/* Lock held. */
static void report_change(unsigned int cpu, bool online)
{
	u64 *ns = &per_cpu(changes, cpu).ns[online];
	struct kvmlog_record_cpu note = {
		.ns = *ns,
		.online = online,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = cpu,
	};

	/* Without room it stays for the next time. */
	if (*ns && kvmlog_note_write(&note, KVMLOG_RECORD_CPU))
		*ns = 0;
}

void kvmlog_cpus_report(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct cpu_changes *of = per_cpu_ptr(&changes, cpu);
		bool first;

		if (!READ_ONCE(of->ns[false]) && !READ_ONCE(of->ns[true]))
			continue;
		spin_lock(&changes_lock);
		first = of->ns[true] < of->ns[false];
		report_change(cpu, first);
		report_change(cpu, !first);
		spin_unlock(&changes_lock);
	}
}

void kvmlog_cpus_start(void)
{
	int cpu;

	spin_lock(&changes_lock);
	for_each_possible_cpu(cpu) {
		struct cpu_changes *of = per_cpu_ptr(&changes, cpu);

		/* What found no room when tracing was switched off before. */
		if (of->ns[false])
			kvmlog_note_lost();
		if (of->ns[true])
			kvmlog_note_lost();
		*of = (struct cpu_changes){};
	}
	spin_unlock(&changes_lock);
}

int kvmlog_cpus_init(void)
{
	int state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "kvmlog:online", came_online,
					      goes_offline);

	if (state < 0)
		return state;
	hotplug_state = state;
	return 0;
}

void kvmlog_cpus_exit(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
}
