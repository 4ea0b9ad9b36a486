/* SPDX-License-Identifier: GPL-2.0-only */
/* The rest of the kernel, where it changed its names. */
#ifndef _KVMLOG_COMPAT_KERNEL_H
#define _KVMLOG_COMPAT_KERNEL_H

#include <linux/cgroup.h>
#include <linux/netlink.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/version.h>

#include "generated/features.h"

/*
 * Around each probe: what it uses of this CPU stays this CPU's, and RCU waits for it. The
 * tracepoint itself calls its probes with preemption disabled, until it called them preemptible,
 * under SRCU. No feature says for sure that it does not yet; up to v6.12 it does not, and after
 * that disabling it twice costs two instructions.
 */
#if defined(KVMLOG_HAVE_TRACEPOINT_SRCU) || LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define KVMLOG_PROBES_PREEMPTIBLE 1
#endif

static __always_inline void kvmlog_probe_begin(void)
{
#ifdef KVMLOG_PROBES_PREEMPTIBLE
	preempt_disable_notrace();
#endif
}

static __always_inline void kvmlog_probe_end(void)
{
#ifdef KVMLOG_PROBES_PREEMPTIBLE
	preempt_enable_notrace();
#endif
}

/* Time the task has stood runnable without a CPU; unknown without CONFIG_SCHED_INFO. */
static inline u64 kvmlog_run_delay_ns(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

/* Id of the task's cgroup v2, 0 without cgroups. Caller holds off RCU (preemption disabled). */
static inline u64 kvmlog_cgroup_id(struct task_struct *task)
{
#ifdef CONFIG_CGROUPS
	return cgroup_id(task_dfl_cgroup(task));
#else
	return 0;
#endif
}

/* v6.1: before, nobody is told the name of an attribute that is missing. */
#ifndef GENL_REQ_ATTR_CHECK
#define GENL_REQ_ATTR_CHECK(info, attr) (!(info)->attrs[attr])
#endif

/* v6.1: from which command on unknown parts of a message are refused; before, from the first. */
#ifdef KVMLOG_HAVE_GENL_RESV_START_OP
#define KVMLOG_RESV_START_OP(command) .resv_start_op = command,
#else
#define KVMLOG_RESV_START_OP(command)
#endif

/* The unbound workqueue, by its new name. */
#ifndef KVMLOG_HAVE_SYSTEM_DFL_WQ
#define system_dfl_wq system_unbound_wq
#endif

/* NL_SET_ERR_MSG() for a text that is no literal; it must live on, as literals do. */
static inline void kvmlog_set_extack(struct netlink_ext_ack *extack, const char *text)
{
	if (extack)
		extack->_msg = text;
}

#endif
