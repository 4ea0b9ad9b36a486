// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine: off, or on, from the first command to the last record.
 *
 * On:  vCPU table and buffers -> configuration published -> probes attached.
 * Off: probes detached and waited for -> pending exits written out -> buffers
 *      delivered -> configuration withdrawn -> memory freed. What has to wait for
 *      a slow receiver is the stop work's: no caller waits for it, and none of the
 *      locks that callers hold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <kvmlog/kvmlog.h>

#include "clock.h"
#include "compat/kernel.h"
#include "config.h"
#include "cpus.h"
#include "flush.h"
#include "note.h"
#include "receiver.h"
#include "session.h"
#include "tracepoints.h"
#include "vcpu_table.h"
#include "vendor.h"

DEFINE_MUTEX(kvmlog_session_mutex);

enum {
	FINAL_DELIVERY_MS = 2000, /* how long a slow receiver is given when switching off */
};

static u32 epoch; /* of the newest configuration; grows, so that it names one for good */
static bool closed;

/* Covered by the mutex; the work takes it too, so that its end is never waited for below it. */
static struct delayed_work lease_work;
static unsigned long lease_end; /* jiffies; 0: no lease */

/* Switching off: no probe runs any more, but not all is handed over yet. */
static struct delayed_work stop_work;
static bool stopping;
static bool drained; /* no exit is pending, the SWITCH record is written, no flush runs */
static enum kvmlog_switch_cause stop_cause;
static unsigned long stop_deadline; /* jiffies */
static DECLARE_WAIT_QUEUE_HEAD(stopped);

static struct kvmlog_config *current_config(void)
{
	return rcu_dereference_protected(kvmlog_config, lockdep_is_held(&kvmlog_session_mutex));
}

const struct kvmlog_config *kvmlog_session_config(void)
{
	return stopping ? NULL : current_config();
}

bool kvmlog_session_stopping(void)
{
	return stopping;
}

u32 kvmlog_session_epoch(void)
{
	return epoch;
}

static void note_switch(enum kvmlog_switch_cause cause)
{
	kvmlog_note_switch(cause, true);
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
	queue_delayed_work(system_dfl_wq, &lease_work, msecs_to_jiffies(lease_ms));
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
		/*
		 * Whoever reads it has preemption off or RCU locked: probes (compat/kernel.h),
		 * kvmlog_emit(), notes. On recent kernels tracepoint_synchronize_unregister() waits
		 * for none of these, but for SRCU alone.
		 */
		synchronize_rcu();
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
	if (!kvmlog_vendor_findable()) {
		NL_SET_ERR_MSG(
			extack,
			"This kernel has no kprobes (CONFIG_KPROBES), by which KVM's functions are found; use the BPF source");
		err = -EOPNOTSUPP;
		goto err_free_config;
	}
	if (stopping) {
		NL_SET_ERR_MSG(
			extack,
			"Tracing is being switched off: its last records are not delivered yet");
		err = -EINPROGRESS;
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
	kvmlog_cpus_start();
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

/*
 * What is left of switching off, as far as the receiver takes it. Mutex held; true when it is
 * off.
 */
static bool stop_step(void)
{
	const bool patient = kvmlog_receiver_exists() && time_before(jiffies, stop_deadline);

	if (!drained) {
		if (!kvmlog_vcpu_table_drain(patient)) {
			kvmlog_flush_now();
			return false;
		}
		kvmlog_flush_end();
		kvmlog_note_switch(stop_cause, false);
		drained = true;
	}
	if (!kvmlog_flush_drain() && patient)
		return false;
	kvmlog_flush_discard();
	publish(NULL);
	kvmlog_vcpu_table_stop();
	WRITE_ONCE(stopping, false);
	wake_up_all(&stopped);
	return true;
}

static void stop_worker(struct work_struct *work)
{
	mutex_lock(&kvmlog_session_mutex);
	if (stopping && !stop_step())
		queue_delayed_work(system_dfl_wq, &stop_work,
				   msecs_to_jiffies(KVMLOG_FLUSH_RETRY_MS));
	mutex_unlock(&kvmlog_session_mutex);
}

int kvmlog_session_stop(enum kvmlog_switch_cause cause)
{
	if (!kvmlog_session_config())
		return -EALREADY;
	set_lease(0);
	static_branch_disable(&kvmlog_key);
	kvmlog_tracepoints_disable();
	/*
	 * Whoever saw the key enabled in kvmlog_emit() has left it after this: it has preemption
	 * off, and no tracepoint calls it.
	 */
	synchronize_rcu();
	stop_cause = cause;
	stop_deadline = jiffies + msecs_to_jiffies(FINAL_DELIVERY_MS);
	drained = false;
	stopping = true;
	if (!stop_step())
		queue_delayed_work(system_dfl_wq, &stop_work,
				   msecs_to_jiffies(KVMLOG_FLUSH_RETRY_MS));
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
	if (!kvmlog_receiver_exists()) {
		if (!kvmlog_session_stop(KVMLOG_SWITCH_RECEIVER_GONE))
			pr_info("the receiver is gone, tracing is off\n");
		else if (stopping)
			stop_step();
	}
	mutex_unlock(&kvmlog_session_mutex);
}

void kvmlog_session_close(void)
{
	mutex_lock(&kvmlog_session_mutex);
	closed = true;
	kvmlog_session_stop(KVMLOG_SWITCH_UNLOAD);
	mutex_unlock(&kvmlog_session_mutex);
	wait_event(stopped, !READ_ONCE(stopping));
	cancel_delayed_work_sync(&stop_work);
	cancel_delayed_work_sync(&lease_work);
}

void kvmlog_session_init(void)
{
	INIT_DELAYED_WORK(&lease_work, lease_worker);
	INIT_DELAYED_WORK(&stop_work, stop_worker);
}
