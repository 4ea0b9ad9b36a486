// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine: off, or on, from the first command to the last record.
 *
 * On:  vCPU table and buffers -> configuration published -> probes attached.
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

#include "clock.h"
#include "config.h"
#include "flush.h"
#include "note.h"
#include "receiver.h"
#include "session.h"
#include "tracepoints.h"
#include "vcpu_table.h"

DEFINE_MUTEX(kvmlog_session_mutex);

static u32 epoch; /* of the newest configuration; grows, so that it names one for good */
static bool closed;

/* Covered by the mutex; the work takes it too, so that its end is never waited for below it. */
static struct delayed_work lease_work;
static unsigned long lease_end; /* jiffies; 0: no lease */

static struct kvmlog_config *current_config(void)
{
	return rcu_dereference_protected(kvmlog_config, lockdep_is_held(&kvmlog_session_mutex));
}

const struct kvmlog_config *kvmlog_session_config(void)
{
	return current_config();
}

u32 kvmlog_session_epoch(void)
{
	return epoch;
}

static void note_switch(enum kvmlog_switch_cause cause)
{
	kvmlog_note_switch(cause, true, kvmlog_note_deadline());
}

u32 kvmlog_session_lease_ms(void)
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
	mutex_lock(&kvmlog_session_mutex);
	/* It may have been renewed or withdrawn while this waited. */
	if (lease_end && !time_before(jiffies, lease_end)) {
		pr_info("the lease is over, tracing is off\n");
		kvmlog_session_stop(KVMLOG_SWITCH_LEASE);
	}
	mutex_unlock(&kvmlog_session_mutex);
}

/* Mutex held. Between two configurations there is no moment without one. */
static void publish(struct kvmlog_config *config)
{
	struct kvmlog_config *old = current_config();

	if (config)
		config->epoch = ++epoch;
	rcu_assign_pointer(kvmlog_config, config);
	kvmlog_config_start_window(config);
	if (old) {
		/* Probes run with preemption off, on recent kernels within SRCU besides. */
		tracepoint_synchronize_unregister();
		kfree(old);
	}
}

int kvmlog_session_start(struct kvmlog_config *config, u32 lease_ms, struct netlink_ext_ack *extack)
{
	struct kvmlog_config *old = current_config();
	int err;

	if (closed) {
		NL_SET_ERR_MSG(extack, "The module is being unloaded");
		err = -ENODEV;
		goto err_free_config;
	}
	if (!kvmlog_receiver_exists()) {
		NL_SET_ERR_MSG(extack, "Nobody receives: subscribe first");
		err = -ENOTCONN;
		goto err_free_config;
	}
	if (old) {
		if (kvmlog_config_equal(old, config) && (lease_ms || lease_end)) {
			set_lease(lease_ms);
			kfree(config);
			return 0;
		}
		if (kvmlog_config_equal(old, config)) {
			NL_SET_ERR_MSG(extack, "Tracing is already on with this configuration");
			err = -EALREADY;
			goto err_free_config;
		}
		publish(config);
		set_lease(lease_ms);
		note_switch(KVMLOG_SWITCH_COMMAND);
		return 0;
	}

	err = kvmlog_vcpu_table_start();
	if (err) {
		NL_SET_ERR_MSG(extack, "No memory for the pending table");
		goto err_free_config;
	}
	kvmlog_clock_start();
	err = kvmlog_flush_start();
	if (err) {
		NL_SET_ERR_MSG(extack, "No memory for the buffers");
		goto err_stop_vcpu_table;
	}
	publish(config);
	kvmlog_clock_anchor();
	note_switch(KVMLOG_SWITCH_COMMAND);
	err = kvmlog_tracepoints_enable();
	if (err) {
		NL_SET_ERR_MSG(extack, "A probe could not be attached; see the kernel log");
		goto err_stop_session;
	}
	static_branch_enable(&kvmlog_key);
	set_lease(lease_ms);
	return 0;

err_stop_session:
	kvmlog_session_stop(KVMLOG_SWITCH_COMMAND);
	return err;
err_stop_vcpu_table:
	kvmlog_vcpu_table_stop();
err_free_config:
	kfree(config);
	return err;
}

int kvmlog_session_stop(enum kvmlog_switch_cause cause)
{
	unsigned long deadline = kvmlog_note_deadline();

	if (!current_config())
		return -EALREADY;
	set_lease(0);
	static_branch_disable(&kvmlog_key);
	kvmlog_tracepoints_disable();
	/* Whoever saw the key enabled in kvmlog_emit() has left it after this. */
	tracepoint_synchronize_unregister();
	kvmlog_vcpu_table_drain(deadline);
	kvmlog_note_switch(cause, false, deadline);
	kvmlog_flush_stop(deadline);
	publish(NULL);
	kvmlog_vcpu_table_stop();
	return 0;
}

static void note_attached(void)
{
	note_switch(KVMLOG_SWITCH_ATTACHED);
}

static void note_detached(void)
{
	note_switch(KVMLOG_SWITCH_DETACHED);
}

const struct kvmlog_tracepoints_callbacks kvmlog_session_tracepoints = {
	.attached = note_attached,
	.detached = note_detached,
};

void kvmlog_session_receiver_gone(void)
{
	mutex_lock(&kvmlog_session_mutex);
	/* A new one may have come and switched on already: that is its own affair. */
	if (!kvmlog_receiver_exists() && !kvmlog_session_stop(KVMLOG_SWITCH_RECEIVER_GONE))
		pr_info("the receiver is gone, tracing is off\n");
	mutex_unlock(&kvmlog_session_mutex);
}

void kvmlog_session_close(void)
{
	mutex_lock(&kvmlog_session_mutex);
	closed = true;
	kvmlog_session_stop(KVMLOG_SWITCH_UNLOAD);
	mutex_unlock(&kvmlog_session_mutex);
	cancel_delayed_work_sync(&lease_work);
}

void kvmlog_session_init(void)
{
	INIT_DELAYED_WORK(&lease_work, lease_worker);
}
