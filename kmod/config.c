// SPDX-License-Identifier: GPL-2.0-only
/* The configuration as probes see it, and the sampling window that opens and closes. */
#include <linux/jiffies.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "compat/kernel.h"
#include "config.h"

struct kvmlog_config __rcu *kvmlog_config;
bool kvmlog_window_open = true;

u32 kvmlog_config_epoch(void)
{
	const struct kvmlog_config *config;
	u32 epoch;

	rcu_read_lock_sched();
	config = rcu_dereference_sched(kvmlog_config);
	epoch = config ? config->epoch : 0;
	rcu_read_unlock_sched();
	return epoch;
}

bool kvmlog_config_traces(const struct kvmlog_config *config, u32 tgid)
{
	u32 low = 0, high = config->nr_tgids;

	if (!high)
		return true;
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (config->tgids[middle] == tgid)
			return true;
		if (config->tgids[middle] < tgid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool kvmlog_config_equal(const struct kvmlog_config *a, const struct kvmlog_config *b)
{
	return a->one_in == b->one_in && a->on_ms == b->on_ms && a->off_ms == b->off_ms &&
	       a->nr_tgids == b->nr_tgids &&
	       !memcmp(a->tgids, b->tgids, a->nr_tgids * sizeof(a->tgids[0]));
}

static void window_worker(struct work_struct *work);
static DECLARE_DELAYED_WORK(window_work, window_worker);

/* In the closed phase the probes stay attached and return after one test. */
static void window_worker(struct work_struct *work)
{
	const struct kvmlog_config *config;
	u32 next_ms = 0;

	rcu_read_lock();
	config = rcu_dereference(kvmlog_config);
	if (config && config->off_ms) {
		WRITE_ONCE(kvmlog_window_open, !kvmlog_window_open);
		next_ms = kvmlog_window_open ? config->on_ms : config->off_ms;
	}
	rcu_read_unlock();
	if (next_ms)
		queue_delayed_work(system_dfl_wq, &window_work, msecs_to_jiffies(next_ms));
}

void kvmlog_config_start_window(const struct kvmlog_config *config)
{
	cancel_delayed_work_sync(&window_work);
	WRITE_ONCE(kvmlog_window_open, true);
	if (config && config->off_ms)
		queue_delayed_work(system_dfl_wq, &window_work, msecs_to_jiffies(config->on_ms));
}
