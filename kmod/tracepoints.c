// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints by name. KVM may come, go and come again while tracing is on, as
 * may kvm_amd or kvm_intel alone; a reference to a symbol of theirs would pin
 * them, so there is none: notifiers tell of each module's coming and going.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/tracepoint.h>

#include <kvmlog/record.h>

#include "compat/kernel.h"
#include "compat/kvm.h"
#include "tracepoints.h"
#include "session.h"
#include "trace.h"
#include "vendor.h"

#define MISMATCH(name)                                                                          \
	name " takes other arguments in the running kernel than kvmlog was built for; rebuild " \
	     "kvmlog for this kernel"

/*
 * In the order of attaching; detached in reverse. Whoever ends or completes an
 * exit is attached before whoever begins one.
 */
static struct hook {
	const char *name;
	const char *signature;
	const char *mismatch;
	void *probe;
	u8 isa; /* only there, and not required; KVMLOG_ISA_NONE: required everywhere */
	struct tracepoint *tracepoint; /* NULL while its module is not loaded */
	const struct module *module;   /* NULL: built in */
	bool attached;
	bool lasting; /* stays while KVM is reloaded: threads end at any time */
} hooks[] = {
	{ "sched_process_exit", KVMLOG_SIGNATURE_SCHED_PROCESS_EXIT, MISMATCH("sched_process_exit"),
	  kvmlog_probe_sched_process_exit, .lasting = true },
	{ "kvm_entry", KVMLOG_SIGNATURE_KVM_ENTRY, MISMATCH("kvm_entry"), kvmlog_probe_kvm_entry },
	{ "kvm_userspace_exit", KVMLOG_SIGNATURE_KVM_USERSPACE_EXIT, MISMATCH("kvm_userspace_exit"),
	  kvmlog_probe_kvm_userspace_exit },
	{ "kvm_vcpu_wakeup", KVMLOG_SIGNATURE_KVM_VCPU_WAKEUP, MISMATCH("kvm_vcpu_wakeup"),
	  kvmlog_probe_kvm_vcpu_wakeup },
	{ "kvm_page_fault", KVMLOG_SIGNATURE_KVM_PAGE_FAULT, MISMATCH("kvm_page_fault"),
	  kvmlog_probe_kvm_page_fault, KVMLOG_ISA_VMX },
	{ "kvm_fast_mmio", KVMLOG_SIGNATURE_KVM_FAST_MMIO, MISMATCH("kvm_fast_mmio"),
	  kvmlog_probe_kvm_fast_mmio, KVMLOG_ISA_VMX },
	{ "kvm_exit", KVMLOG_SIGNATURE_KVM_EXIT, MISMATCH("kvm_exit"), kvmlog_probe_kvm_exit },
};

/* Functions that are called by address (vendor.c). */
static const struct {
	const char *name;
	const char *signature;
	const char *mismatch;
} functions[] = {
	{ "svm_get_exit_info", KVMLOG_SIGNATURE_GET_EXIT_INFO, MISMATCH("svm_get_exit_info") },
	{ "vt_get_exit_info", KVMLOG_SIGNATURE_GET_EXIT_INFO, MISMATCH("vt_get_exit_info") },
	{ "vmx_get_exit_info", KVMLOG_SIGNATURE_GET_EXIT_INFO, MISMATCH("vmx_get_exit_info") },
	{ "vmx_cache_reg", KVMLOG_SIGNATURE_CACHE_REG, MISMATCH("vmx_cache_reg") },
};

static const char *const vendor_modules[] = { "kvm_amd", "kvm_intel" };

/*
 * Covers hooks[], enabled, attached and the vendor. Taken by module notifiers
 * (which hold the tracepoint module list's lock) and below session.c's mutex.
 */
static DEFINE_MUTEX(hooks_mutex);
static bool enabled;
static bool attached;

static bool wanted(const struct hook *hook)
{
	return hook->isa == KVMLOG_ISA_NONE || hook->isa == kvmlog_vendor.isa;
}

static bool all_there(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].isa == KVMLOG_ISA_NONE && !hooks[i].tracepoint)
			return false;
	return kvmlog_vendor.get_exit_info;
}

static void detach(bool lasting_too)
{
	int i;

	for (i = ARRAY_SIZE(hooks) - 1; i >= 0; i--) {
		struct hook *hook = &hooks[i];

		if (!hook->attached || (hook->lasting && !lasting_too))
			continue;
		tracepoint_probe_unregister(hook->tracepoint, hook->probe, NULL);
		hook->attached = false;
	}
	tracepoint_synchronize_unregister();
	attached = false;
}

static int attach(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		struct hook *hook = &hooks[i];

		if (hook->attached || !hook->tracepoint || !wanted(hook))
			continue;
		err = tracepoint_probe_register(hook->tracepoint, hook->probe, NULL);
		if (err) {
			pr_err("cannot attach to %s: %d\n", hook->name, err);
			detach(true);
			return err;
		}
		hook->attached = true;
	}
	attached = true;
	return 0;
}

/* Attaches when all that is needed has come. */
static int update(bool tell)
{
	int err;

	if (!enabled || attached || !all_there())
		return 0;
	err = attach();
	if (!err && tell)
		kvmlog_switch_note(KVMLOG_SWITCH_ATTACHED, true);
	return err;
}

static void lose(void)
{
	if (!attached)
		return;
	detach(false);
	kvmlog_switch_note(KVMLOG_SWITCH_DETACHED, true);
}

int kvmlog_hooks_enable(void)
{
	int err;

	mutex_lock(&hooks_mutex);
	enabled = true;
	err = update(false);
	if (err)
		enabled = false;
	mutex_unlock(&hooks_mutex);
	return err;
}

void kvmlog_hooks_disable(void)
{
	mutex_lock(&hooks_mutex);
	enabled = false;
	detach(true);
	mutex_unlock(&hooks_mutex);
}

bool kvmlog_hooks_attached(void)
{
	return READ_ONCE(attached);
}

const char *kvmlog_hooks_waiting_for(void)
{
	const char *missing = NULL;
	int i;

	mutex_lock(&hooks_mutex);
	for (i = 0; i < ARRAY_SIZE(hooks) && !missing; i++)
		if (hooks[i].isa == KVMLOG_ISA_NONE && !hooks[i].tracepoint)
			missing = "kvm";
	if (!missing && !kvmlog_vendor.get_exit_info)
		missing = "kvm_amd or kvm_intel";
	mutex_unlock(&hooks_mutex);
	return missing;
}

bool kvmlog_hooks_prototype(unsigned int index, const char **name, const char **signature)
{
	if (index < ARRAY_SIZE(hooks)) {
		*name = hooks[index].name;
		*signature = hooks[index].signature;
		return true;
	}
	index -= ARRAY_SIZE(hooks);
	if (index < ARRAY_SIZE(functions)) {
		*name = functions[index].name;
		*signature = functions[index].signature;
		return true;
	}
	return false;
}

/*
 * A probe may be passed more arguments than it takes, not other ones. What kvmlog
 * calls itself must take exactly what it is given.
 */
static bool compatible(const char *expected, const char *running, bool called)
{
	size_t length = strlen(expected);

	if (called)
		return !strcmp(expected, running);
	return !strncmp(expected, running, length) && (!running[length] || running[length] == ',');
}

static int compare(const char *name, const char *expected, const char *running, bool called,
		   const char *mismatch, struct netlink_ext_ack *extack)
{
	if (compatible(expected, running, called))
		return 0;
	pr_err("%s takes (%s) in the running kernel, kvmlog was built for (%s)\n", name, running,
	       expected);
	kvmlog_set_extack(extack, mismatch);
	return -EPROTOTYPE;
}

int kvmlog_hooks_check(const char *name, const char *signature, struct netlink_ext_ack *extack)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		/* Those of the other vendor are never attached here. */
		if (!strcmp(hooks[i].name, name) && wanted(&hooks[i]))
			return compare(name, hooks[i].signature, signature, false,
				       hooks[i].mismatch, extack);
	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (!strcmp(functions[i].name, name))
			return compare(name, functions[i].signature, signature, true,
				       functions[i].mismatch, extack);
	return 0;
}

static void tracepoint_came(struct tracepoint *tracepoint, void *module)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (hooks[i].tracepoint || strcmp(hooks[i].name, tracepoint->name))
			continue;
		hooks[i].tracepoint = tracepoint;
		hooks[i].module = module;
	}
}

static void module_came(struct module *module)
{
	int i;

	for (i = 0; i < module->num_tracepoints; i++)
		tracepoint_came(tracepoint_ptr_deref(&module->tracepoints_ptrs[i]), module);
}

static void module_goes(const struct module *module)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (hooks[i].module != module)
			continue;
		lose();
		hooks[i].tracepoint = NULL;
		hooks[i].module = NULL;
	}
}

/* Also called for each module that is loaded already when it is registered. */
static int tracepoint_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct tp_module *tp_module = data;

	mutex_lock(&hooks_mutex);
	if (action == MODULE_STATE_COMING) {
		module_came(tp_module->mod);
		update(true);
	} else if (action == MODULE_STATE_GOING) {
		module_goes(tp_module->mod);
	}
	mutex_unlock(&hooks_mutex);
	return NOTIFY_OK;
}

/* kvm_amd and kvm_intel have no tracepoints of their own. */
static int vendor_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	const struct module *module = data;
	int i;

	for (i = 0; i < ARRAY_SIZE(vendor_modules); i++) {
		if (strcmp(vendor_modules[i], module->name))
			continue;
		mutex_lock(&hooks_mutex);
		if (action == MODULE_STATE_COMING) {
			/* The other vendor's module comes too, before it finds that it is not its
			 * CPU. */
			if (!kvmlog_vendor.get_exit_info &&
			    kvmlog_vendor_resolve(module->name) == -ENOENT)
				pr_err("%s has no get_exit_info that kvmlog knows\n", module->name);
			update(true);
		} else if (action == MODULE_STATE_GOING && kvmlog_vendor_is(module->name)) {
			lose();
			kvmlog_vendor_forget();
		}
		mutex_unlock(&hooks_mutex);
	}
	return NOTIFY_OK;
}

static struct notifier_block tracepoint_notifier = { .notifier_call = tracepoint_notify };
static struct notifier_block vendor_notifier = { .notifier_call = vendor_notify };

int kvmlog_hooks_init(void)
{
	int i, err;

	/* Built into the kernel: these never go. */
	for_each_kernel_tracepoint(tracepoint_came, NULL);
	err = register_module_notifier(&vendor_notifier);
	if (err)
		return err;
	mutex_lock(&hooks_mutex);
	for (i = 0; i < ARRAY_SIZE(vendor_modules) && !kvmlog_vendor.get_exit_info; i++)
		kvmlog_vendor_resolve(vendor_modules[i]);
	mutex_unlock(&hooks_mutex);
	err = register_tracepoint_module_notifier(&tracepoint_notifier);
	if (err)
		unregister_module_notifier(&vendor_notifier);
	return err;
}

void kvmlog_hooks_exit(void)
{
	unregister_tracepoint_module_notifier(&tracepoint_notifier);
	unregister_module_notifier(&vendor_notifier);
}
