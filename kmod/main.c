// SPDX-License-Identifier: GPL-2.0-only
/* kvmlog.ko: comes and goes. */
#include <linux/module.h>

#include <kvmlog/layout.h>

#include "flush.h"
#include "clock.h"
#include "receiver.h"
#include "tracepoints.h"
#include "vcpu_table.h"
#include "session.h"

static int __init kvmlog_init(void)
{
	int err;

	kvmlog_switch_init();
	kvmlog_pending_init();
	err = kvmlog_batch_init();
	if (err)
		return err;
	err = kvmlog_clock_init();
	if (err)
		goto err_batch_exit;
	err = kvmlog_hooks_init();
	if (err)
		goto err_clock_exit;
	/* Last: from here on it can be switched on. */
	err = kvmlog_genl_init();
	if (err)
		goto err_hooks_exit;
	return 0;

err_hooks_exit:
	kvmlog_hooks_exit();
err_clock_exit:
	kvmlog_clock_exit();
err_batch_exit:
	kvmlog_batch_exit();
	return err;
}

static void __exit kvmlog_exit(void)
{
	/* First: while the receiver can still be told. */
	kvmlog_switch_close();
	kvmlog_genl_exit();
	kvmlog_hooks_exit();
	kvmlog_clock_exit();
	kvmlog_batch_exit();
}

module_init(kvmlog_init);
module_exit(kvmlog_exit);

MODULE_DESCRIPTION("Records why and for how long each vCPU leaves its guest");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
