// SPDX-License-Identifier: GPL-2.0-only
/* Notes are few, and each reports something that no other record does: buffers keep room for them. */
#include <linux/ktime.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "buffer.h"
#include "config.h"
#include "note.h"

bool kvmlog_note_write(void *note, enum kvmlog_record_type type)
{
	struct kvmlog_record *record = note;
	const struct kvmlog_config *config;
	unsigned long flags;
	bool written;

	local_irq_save(flags);
	config = rcu_dereference_sched(kvmlog_config);
	record->type = type;
	record->source = KVMLOG_SOURCE_KMOD;
	if (!record->exit_ns)
		record->exit_ns = ktime_get_mono_fast_ns();
	if (config)
		record->config_epoch = config->epoch;
	written = kvmlog_buffer_write(record, true);
	local_irq_restore(flags);
	return written;
}

void kvmlog_note_lost(void)
{
	raw_cpu_inc(kvmlog_counters.notes_lost);
}

void kvmlog_note_switch(enum kvmlog_switch_cause cause, bool on)
{
	struct kvmlog_record_switch note = { .on = on, .cause = cause };
	const struct kvmlog_config *config;

	rcu_read_lock_sched();
	config = rcu_dereference_sched(kvmlog_config);
	if (config) {
		note.one_in = config->one_in;
		note.on_ms = config->on_ms;
		note.off_ms = config->off_ms;
		note.filter_tgids = config->nr_tgids;
		note.tid = current->pid;
		note.vcpu = KVMLOG_NO_VCPU;
		note.cpu = KVMLOG_NO_CPU;
		if (!kvmlog_note_write(&note, KVMLOG_RECORD_SWITCH))
			kvmlog_note_lost();
	}
	rcu_read_unlock_sched();
}
