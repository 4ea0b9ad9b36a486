// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints by name. KVM may come, go and come again while tracing is on, as
 * may kvm_amd or kvm_intel alone; a reference to a symbol of theirs would pin
 * them, so there is none: notifiers report each module that comes or goes.
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
#include "exit_record.h"
#include "trace.h"
#include "tracepoints.h"
#include "vendor.h"

#define MISMATCH(name)                                                                          \
	name " takes other arguments in the running kernel than kvmlog was built for; rebuild " \
	     "kvmlog for this kernel"

/* Of each exit that L1 is given, on both vendors (nested_vmx_vmexit(), nested_svm_vmexit()). */
#define NESTED_VMEXIT_INJECT "kvm_nested_vmexit_inject"

/*
 * In the order of attaching; detached in reverse. Whoever ends or completes an
 * exit is attached before whoever begins one.
 */
static struct probed {
	const char *name;
	const char *signature;
	const char *mismatch;
	void *function;
	u8 isa;			       /* only there; KVMLOG_ISA_NONE: everywhere */
	bool optional;		       /* what it adds to a record is left out without it */
	struct tracepoint *tracepoint; /* NULL while its module is not loaded */
	const struct module *module;   /* NULL: built in */
	bool attached;
	bool unusable;	 /* optional, and other than the probe takes it in the running kernel */
	bool persistent; /* stays while KVM is reloaded: threads end at any time */
} probes[] = {
	{ "sched_process_exit", KVMLOG_SIGNATURE_SCHED_PROCESS_EXIT, MISMATCH("sched_process_exit"),
	  kvmlog_probe_sched_process_exit, .persistent = true },
	/* Goes after kvm_entry: an exit that ends without it would be told to be this host's. */
	{ NESTED_VMEXIT_INJECT, KVMLOG_SIGNATURE_KVM_NESTED_VMEXIT_INJECT,
	  MISMATCH(NESTED_VMEXIT_INJECT), kvmlog_probe_kvm_nested_vmexit_inject, .optional = true },
	{ "kvm_entry", KVMLOG_SIGNATURE_KVM_ENTRY, MISMATCH("kvm_entry"), kvmlog_probe_kvm_entry },
	{ "kvm_userspace_exit", KVMLOG_SIGNATURE_KVM_USERSPACE_EXIT, MISMATCH("kvm_userspace_exit"),
	  kvmlog_probe_kvm_userspace_exit },
	{ "kvm_vcpu_wakeup", KVMLOG_SIGNATURE_KVM_VCPU_WAKEUP, MISMATCH("kvm_vcpu_wakeup"),
	  kvmlog_probe_kvm_vcpu_wakeup },
	{ "kvm_page_fault", KVMLOG_SIGNATURE_KVM_PAGE_FAULT, MISMATCH("kvm_page_fault"),
	  kvmlog_probe_kvm_page_fault, KVMLOG_ISA_VMX, .optional = true },
	{ "kvm_fast_mmio", KVMLOG_SIGNATURE_KVM_FAST_MMIO, MISMATCH("kvm_fast_mmio"),
	  kvmlog_probe_kvm_fast_mmio, KVMLOG_ISA_VMX, .optional = true },
	{ "kvm_mmio", KVMLOG_SIGNATURE_KVM_MMIO, MISMATCH("kvm_mmio"), kvmlog_probe_kvm_mmio,
	  KVMLOG_ISA_VMX, .optional = true },
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
	{ "vt_cache_reg", KVMLOG_SIGNATURE_CACHE_REG, MISMATCH("vt_cache_reg") },
	{ "vmx_cache_reg", KVMLOG_SIGNATURE_CACHE_REG, MISMATCH("vmx_cache_reg") },
};

static const char *const vendor_modules[] = { "kvm_amd", "kvm_intel" };

/*
 * Covers probes[], enabled, attached and the vendor. Taken by module notifiers
 * (which hold the tracepoint module list's lock) and below the session's mutex.
 */
static DEFINE_MUTEX(probes_mutex);
static bool enabled;
static bool attached;

static const struct kvmlog_tracepoints_callbacks *callbacks;

/* Those of the other vendor are never attached here. */
static bool applies(const struct probed *probe)
{
	return probe->isa == KVMLOG_ISA_NONE || probe->isa == kvmlog_vendor.isa;
}

static bool all_present(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (!probes[i].optional && !probes[i].tracepoint)
			return false;
	return kvmlog_vendor.get_exit_info;
}

/* The caller waits until it runs no more. */
static void detach_one(struct probed *probe)
{
	if (!strcmp(probe->name, NESTED_VMEXIT_INJECT))
		WRITE_ONCE(kvmlog_exit_record_nested, KVMLOG_F_NESTED);
	tracepoint_probe_unregister(probe->tracepoint, probe->function, NULL);
	probe->attached = false;
}

static void detach(bool persistent_too)
{
	int i;

	for (i = ARRAY_SIZE(probes) - 1; i >= 0; i--) {
		struct probed *probe = &probes[i];

		if (!probe->attached || (probe->persistent && !persistent_too))
			continue;
		detach_one(probe);
	}
	tracepoint_synchronize_unregister();
	attached = false;
}

static int attach(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		struct probed *probe = &probes[i];

		if (probe->attached || !probe->tracepoint || !applies(probe) || probe->unusable)
			continue;
		err = tracepoint_probe_register(probe->tracepoint, probe->function, NULL);
		if (err) {
			pr_err("cannot attach to %s: error %d; switch tracing off and on to try again\n",
			       probe->name, err);
			detach(true);
			return err;
		}
		probe->attached = true;
		if (!strcmp(probe->name, NESTED_VMEXIT_INJECT))
			WRITE_ONCE(kvmlog_exit_record_nested, KVMLOG_F_NESTED | KVMLOG_F_NESTED_L0);
	}
	attached = true;
	return 0;
}

/* Attaches when all that is needed is loaded. @report: to whoever switched on before. */
static int update(bool report)
{
	int err;

	if (!enabled || attached || !all_present())
		return 0;
	err = attach();
	if (!err && report)
		callbacks->attached();
	return err;
}

static void detach_and_report(void)
{
	if (!attached)
		return;
	detach(false);
	callbacks->detached();
}

static int resolve_vendor(const char *name)
{
	int err = kvmlog_vendor_resolve(name);

	if (err == -ENOMEM)
		pr_err("no memory to find the functions of %s; switch tracing off and on to try again\n",
		       name);
	return err;
}

static void resolve_loaded_vendor(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vendor_modules) && !kvmlog_vendor.get_exit_info; i++)
		resolve_vendor(vendor_modules[i]);
}

int kvmlog_tracepoints_enable(void)
{
	int err;

	mutex_lock(&probes_mutex);
	/* There may have been no memory for it when it was loaded. */
	resolve_loaded_vendor();
	enabled = true;
	err = update(false);
	if (err)
		enabled = false;
	mutex_unlock(&probes_mutex);
	return err;
}

void kvmlog_tracepoints_disable(void)
{
	mutex_lock(&probes_mutex);
	enabled = false;
	detach(true);
	mutex_unlock(&probes_mutex);
}

bool kvmlog_tracepoints_attached(void)
{
	return READ_ONCE(attached);
}

const char *kvmlog_tracepoints_waiting_for(void)
{
	const char *missing = NULL;
	int i;

	mutex_lock(&probes_mutex);
	for (i = 0; i < ARRAY_SIZE(probes) && !missing; i++)
		if (!probes[i].optional && !probes[i].tracepoint)
			missing = "kvm";
	if (!missing && !kvmlog_vendor.get_exit_info)
		missing = "kvm_amd or kvm_intel";
	mutex_unlock(&probes_mutex);
	return missing;
}

bool kvmlog_tracepoints_prototype(unsigned int index, const char **name, const char **signature)
{
	if (index < ARRAY_SIZE(probes)) {
		*name = probes[index].name;
		*signature = probes[index].signature;
		return true;
	}
	index -= ARRAY_SIZE(probes);
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

void kvmlog_tracepoints_begin_check(void)
{
	int i;

	mutex_lock(&probes_mutex);
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		probes[i].unusable = false;
	mutex_unlock(&probes_mutex);
}

/* What an optional one adds to a record is left out with it. */
static int check_optional(struct probed *probe, const char *signature)
{
	const bool unusable = !compatible(probe->signature, signature, false);

	mutex_lock(&probes_mutex);
	if (unusable && !probe->unusable && applies(probe))
		pr_warn_once(
			"%s takes (%s) in the running kernel, kvmlog was built for (%s): left out\n",
			probe->name, signature, probe->signature);
	probe->unusable = unusable;
	/* KVM was loaded, and the probe attached, before anybody could say so. */
	if (unusable && probe->attached) {
		detach_one(probe);
		tracepoint_synchronize_unregister();
	}
	mutex_unlock(&probes_mutex);
	return 0;
}

int kvmlog_tracepoints_check(const char *name, const char *signature,
			     struct netlink_ext_ack *extack)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (strcmp(probes[i].name, name))
			continue;
		if (probes[i].optional)
			return check_optional(&probes[i], signature);
		return compare(name, probes[i].signature, signature, false, probes[i].mismatch,
			       extack);
	}
	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (!strcmp(functions[i].name, name))
			return compare(name, functions[i].signature, signature, true,
				       functions[i].mismatch, extack);
	return 0;
}

static void found_tracepoint(struct tracepoint *tracepoint, void *module)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (probes[i].tracepoint || strcmp(probes[i].name, tracepoint->name))
			continue;
		probes[i].tracepoint = tracepoint;
		probes[i].module = module;
	}
}

static void module_coming(struct module *module)
{
	int i;

	for (i = 0; i < module->num_tracepoints; i++)
		found_tracepoint(tracepoint_ptr_deref(&module->tracepoints_ptrs[i]), module);
}

static void module_going(const struct module *module)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		if (probes[i].module != module)
			continue;
		detach_and_report();
		probes[i].tracepoint = NULL;
		probes[i].module = NULL;
	}
}

/* Also called for each module that is loaded already when it is registered. */
static int tracepoint_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct tp_module *tp_module = data;

	mutex_lock(&probes_mutex);
	if (action == MODULE_STATE_COMING) {
		module_coming(tp_module->mod);
		update(true);
	} else if (action == MODULE_STATE_GOING) {
		module_going(tp_module->mod);
	}
	mutex_unlock(&probes_mutex);
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
		mutex_lock(&probes_mutex);
		if (action == MODULE_STATE_COMING) {
			/*
			 * Known already: found while it was loaded the last time, when another
			 * notifier refused it. Then nobody tells this one that it has gone. The
			 * probes go first: they would call nothing if it is not found again.
			 */
			if (kvmlog_vendor_is(module->name)) {
				detach_and_report();
				kvmlog_vendor_forget();
			}
			/* The other vendor's module is announced too, before it sees the CPU. */
			if (!kvmlog_vendor.get_exit_info && resolve_vendor(module->name) == -ENOENT)
				pr_err("%s has no get_exit_info that kvmlog knows\n", module->name);
			update(true);
		} else if (action == MODULE_STATE_GOING && kvmlog_vendor_is(module->name)) {
			detach_and_report();
			kvmlog_vendor_forget();
		}
		mutex_unlock(&probes_mutex);
	}
	return NOTIFY_OK;
}

static struct notifier_block tracepoint_notifier = { .notifier_call = tracepoint_notify };
static struct notifier_block vendor_notifier = { .notifier_call = vendor_notify };

int kvmlog_tracepoints_init(const struct kvmlog_tracepoints_callbacks *owner)
{
	int err;

	callbacks = owner;
	/* Built into the kernel: these never go. */
	for_each_kernel_tracepoint(found_tracepoint, NULL);
	err = register_module_notifier(&vendor_notifier);
	if (err)
		return err;
	mutex_lock(&probes_mutex);
	resolve_loaded_vendor();
	mutex_unlock(&probes_mutex);
	err = register_tracepoint_module_notifier(&tracepoint_notifier);
	if (err)
		unregister_module_notifier(&vendor_notifier);
	return err;
}

void kvmlog_tracepoints_exit(void)
{
	unregister_tracepoint_module_notifier(&tracepoint_notifier);
	unregister_module_notifier(&vendor_notifier);
}
