// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refuses to have kvm_amd loaded, as live patching or an integrity check may,
 * before any other notifier hears of it: those that come later are never told,
 * neither of the module nor of its end. Holds the load until it is released.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/notifier.h>

static bool holding;
module_param(holding, bool, 0444);
MODULE_PARM_DESC(holding, "kvm_amd is there, and not yet refused");
static bool released;
module_param(released, bool, 0644);
MODULE_PARM_DESC(released, "go on: refuse the one that is held, let all others pass");

static int refuse(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct module *module = data;

	if (action != MODULE_STATE_COMING || strcmp(module->name, "kvm_amd") || released)
		return NOTIFY_OK;
	WRITE_ONCE(holding, true);
	while (!READ_ONCE(released))
		msleep(10);
	WRITE_ONCE(holding, false);
	return notifier_from_errno(-EPERM);
}

static struct notifier_block refuser = { .notifier_call = refuse, .priority = INT_MAX };

static int __init refuse_init(void)
{
	return register_module_notifier(&refuser);
}

static void __exit refuse_exit(void)
{
	unregister_module_notifier(&refuser);
}

module_init(refuse_init);
module_exit(refuse_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kvmlog's test of a module that is refused");
