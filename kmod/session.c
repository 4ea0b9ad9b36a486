// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine: off, on, the sampling window within on.
 *
 * On:  buffers and pending table -> configuration published -> probes attached.
 * Off: probes detached and waited for -> pending exits written out -> buffers
 *      delivered -> configuration withdrawn -> memory freed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include <kvmlog/kvmlog.h>

#include "flush.h"
#include "clock.h"
#include "config.h"
#include "receiver.h"
#include "tracepoints.h"
#include "vcpu_table.h"
#include "session.h"

DEFINE_MUTEX(kvmlog_switch_mutex);
struct kvmlog_config __rcu *kvmlog_config;
bool kvmlog_window_open = true;

static u32 epoch; /* of the newest configuration; grows, so that it names one for good */
static bool closed;
static struct delayed_work window_work;

/* Covered by the mutex; the work takes it too, so that its end is never waited for below it. */
static struct delayed_work lease_work;
static unsigned long lease_end; /* jiffies; 0: no lease */

DEFINE_STATIC_KEY_FALSE(kvmlog_key);
EXPORT_SYMBOL_GPL(kvmlog_key);

static struct kvmlog_config *current_config(void)
{
	return rcu_dereference_protected(kvmlog_config, lockdep_is_held(&kvmlog_switch_mutex));
}

const struct kvmlog_config *kvmlog_switch_config(void)
{
	return current_config();
}

u32 kvmlog_switch_epoch(void)
{
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

static bool same_config(const struct kvmlog_config *a, const struct kvmlog_config *b)
{
	return a->one_in == b->one_in && a->on_ms == b->on_ms && a->off_ms == b->off_ms &&
	       a->nr_tgids == b->nr_tgids &&
	       !memcmp(a->tgids, b->tgids, a->nr_tgids * sizeof(a->tgids[0]));
}

static void note_until(enum kvmlog_switch_cause cause, bool on, unsigned long deadline)
{
	struct kvmlog_record_switch note = { .on = on, .cause = cause };
	const struct kvmlog_config *config;

	kvmlog_batch_wait_for_room(deadline);
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
		kvmlog_batch_note(&note, KVMLOG_RECORD_SWITCH);
	}
	rcu_read_unlock_sched();
}

void kvmlog_switch_note(enum kvmlog_switch_cause cause, bool on)
{
	note_until(cause, on, kvmlog_batch_deadline());
}

/* The ancestor's time lock: in the closed phase the probes stay and return after one test. */
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
		queue_delayed_work(system_unbound_wq, &window_work, msecs_to_jiffies(next_ms));
}

static void start_window(const struct kvmlog_config *config)
{
	cancel_delayed_work_sync(&window_work);
	WRITE_ONCE(kvmlog_window_open, true);
	if (config && config->off_ms)
		queue_delayed_work(system_unbound_wq, &window_work,
				   msecs_to_jiffies(config->on_ms));
}

u32 kvmlog_switch_lease_ms(void)
{
	unsigned long now = jiffies;

	if (!lease_end)
		return 0;
	/* At least one: while its end is being carried out it is still on. */
	return time_before(now, lease_end) ? jiffies_to_msecs(lease_end - now) ?: 1 : 1;
}

/* Mutex held. */
static void set_lease(u32 lease_ms)
{
	lease_end = 0;
	cancel_delayed_work(&lease_work);
	if (!lease_ms)
		return;
	lease_end = (jiffies + msecs_to_jiffies(lease_ms)) ?: 1;
	queue_delayed_work(system_unbound_wq, &lease_work, msecs_to_jiffies(lease_ms));
}

static void lease_worker(struct work_struct *work)
{
	mutex_lock(&kvmlog_switch_mutex);
	/* It may have been renewed or withdrawn while this waited. */
	if (lease_end && !time_before(jiffies, lease_end)) {
		pr_info("the lease is over, tracing is off\n");
		kvmlog_switch_off(KVMLOG_SWITCH_LEASE);
	}
	mutex_unlock(&kvmlog_switch_mutex);
}

/* Mutex held. Between two configurations there is no moment without one. */
static void publish(struct kvmlog_config *config)
{
	struct kvmlog_config *old = current_config();

	if (config)
		config->epoch = ++epoch;
	rcu_assign_pointer(kvmlog_config, config);
	start_window(config);
	if (old) {
		/* Probes run with preemption off, on recent kernels within SRCU besides. */
		tracepoint_synchronize_unregister();
		kfree(old);
	}
}

int kvmlog_switch_on(struct kvmlog_config *config, u32 lease_ms, struct netlink_ext_ack *extack)
{
	struct kvmlog_config *old = current_config();
	int err;

	if (closed) {
		NL_SET_ERR_MSG(extack, "The module is being unloaded");
		err = -ENODEV;
		goto err_free_config;
	}
	if (!kvmlog_genl_has_receiver()) {
		NL_SET_ERR_MSG(extack, "Nobody receives: subscribe first");
		err = -ENOTCONN;
		goto err_free_config;
	}
	if (old) {
		if (same_config(old, config) && (lease_ms || lease_end)) {
			set_lease(lease_ms);
			kfree(config);
			return 0;
		}
		if (same_config(old, config)) {
			NL_SET_ERR_MSG(extack, "Tracing is already on with this configuration");
			err = -EALREADY;
			goto err_free_config;
		}
		publish(config);
		set_lease(lease_ms);
		kvmlog_switch_note(KVMLOG_SWITCH_COMMAND, true);
		return 0;
	}

	err = kvmlog_pending_start();
	if (err) {
		NL_SET_ERR_MSG(extack, "No memory for the pending table");
		goto err_free_config;
	}
	kvmlog_clock_start();
	err = kvmlog_batch_start();
	if (err) {
		NL_SET_ERR_MSG(extack, "No memory for the buffers");
		goto err_stop_pending;
	}
	publish(config);
	kvmlog_clock_anchor();
	kvmlog_switch_note(KVMLOG_SWITCH_COMMAND, true);
	err = kvmlog_hooks_enable();
	if (err) {
		NL_SET_ERR_MSG(extack, "A probe could not be attached; see the kernel log");
		goto err_switch_off;
	}
	static_branch_enable(&kvmlog_key);
	set_lease(lease_ms);
	return 0;

err_switch_off:
	kvmlog_switch_off(KVMLOG_SWITCH_COMMAND);
	return err;
err_stop_pending:
	kvmlog_pending_stop();
err_free_config:
	kfree(config);
	return err;
}

int kvmlog_switch_off(enum kvmlog_switch_cause cause)
{
	unsigned long deadline = kvmlog_batch_deadline();

	if (!current_config())
		return -EALREADY;
	set_lease(0);
	static_branch_disable(&kvmlog_key);
	kvmlog_hooks_disable();
	/* Whoever saw the key enabled in kvmlog_emit() has left it after this. */
	tracepoint_synchronize_unregister();
	kvmlog_pending_drain(deadline);
	note_until(cause, false, deadline);
	kvmlog_batch_stop(deadline);
	publish(NULL);
	kvmlog_pending_stop();
	return 0;
}

void kvmlog_switch_close(void)
{
	mutex_lock(&kvmlog_switch_mutex);
	closed = true;
	kvmlog_switch_off(KVMLOG_SWITCH_UNLOAD);
	mutex_unlock(&kvmlog_switch_mutex);
	cancel_delayed_work_sync(&lease_work);
}

void kvmlog_switch_init(void)
{
	INIT_DELAYED_WORK(&window_work, window_worker);
	INIT_DELAYED_WORK(&lease_work, lease_worker);
}
