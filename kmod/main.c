// SPDX-License-Identifier: GPL-2.0-only
/* kvmlog.ko: loading and unloading, and who calls whom back. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <generated/utsrelease.h>
#include <linux/compiler.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include <kvmlog/layout.h>

#include "clock.h"
#include "cpus.h"
#include "flush.h"
#include "netlink.h"
#include "receiver.h"
#include "session.h"
#include "tracepoints.h"
#include "vcpu_table.h"

/* Of the host, what records of exits do not show. */
static void report_host_events(void)
{
	kvmlog_clock_check();
	kvmlog_cpus_report();
}

static int __init not_loaded(const char *why, int err)
{
	pr_err("not loaded: %s (error %d)\n", why, err);
	return err;
}

static int __init kvmlog_init(void)
{
	const char *built_for = UTS_RELEASE;
	int err;

	/* Weak-updates and force-loading bring modules to kernels with other structures. */
	OPTIMIZER_HIDE_VAR(built_for); /* it stands in the file as one string, compared as such */
	if (strcmp(built_for, init_utsname()->release)) {
		pr_err("built for kernel %s, this is %s; rebuild kvmlog for this kernel\n",
		       built_for, init_utsname()->release);
		return -ENOEXEC;
	}
	kvmlog_session_init();
	kvmlog_vcpu_table_init();
	err = kvmlog_flush_init(report_host_events);
	if (err)
		return not_loaded("no memory for the flush queue", err);
	err = kvmlog_cpus_init();
	if (err) {
		not_loaded("the kernel takes no more CPU hotplug states", err);
		goto err_flush_exit;
	}
	err = kvmlog_tracepoints_init(&kvmlog_session_tracepoints);
	if (err) {
		not_loaded("the kernel does not report modules that come and go", err);
		goto err_cpus_exit;
	}
	err = kvmlog_receiver_init(kvmlog_session_receiver_gone);
	if (err) {
		not_loaded("the kernel does not report sockets that close", err);
		goto err_tracepoints_exit;
	}
	/* Last: from here on it can be switched on. */
	err = kvmlog_netlink_init();
	if (err) {
		not_loaded("the netlink family cannot be registered", err);
		goto err_receiver_exit;
	}
	return 0;

err_receiver_exit:
	kvmlog_receiver_exit();
err_tracepoints_exit:
	kvmlog_tracepoints_exit();
err_cpus_exit:
	kvmlog_cpus_exit();
err_flush_exit:
	kvmlog_flush_exit();
	return err;
}

static void __exit kvmlog_exit(void)
{
	/* First: while there is still a receiver to deliver to. */
	kvmlog_session_close();
	kvmlog_netlink_exit();
	kvmlog_receiver_exit();
	kvmlog_tracepoints_exit();
	kvmlog_cpus_exit();
	kvmlog_flush_exit();
}

module_init(kvmlog_init);
module_exit(kvmlog_exit);

MODULE_DESCRIPTION("Records why and for how long each vCPU leaves its guest");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
