// SPDX-License-Identifier: GPL-2.0-only
/*
 * Since v5.16 the kvm_exit tracepoint does not pass the reason: its event asks
 * kvm_x86_ops.get_exit_info, which v5.18 stopped exporting. So the vendor's
 * function is found by name and called as the event calls it.
 *
 * The name is looked up through a kprobe that is registered disabled (nothing is
 * patched) and removed at once. On kernels built for IBT a kprobe's address lies
 * behind the function's ENDBR, and calling it there would be a control
 * protection fault on a CPU that enforces IBT; therefore the offset is taken
 * back, and the start must be an ENDBR that has not been sealed away.
 *
 * VMX reads the instruction pointer lazily: vmx_cache_reg() is what the event's
 * kvm_rip_read() comes down to. get_exit_info and cache_reg may execute VMREAD,
 * which is right where the tracepoint stands: the vCPU is loaded on this CPU, and
 * the probe has preemption disabled.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpufeature.h>
#include <linux/err.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>

#ifdef CONFIG_X86_KERNEL_IBT
#include <asm/ibt.h>
#endif

#include <kvmlog/record.h>

#include "vendor.h"

struct kvmlog_vendor kvmlog_vendor;

static const struct {
	const char *module;
	u8 isa;
	u16 feature; /* that the CPU has, or the module refuses to start after it was announced */
	/*
	 * The first that is found: v6.16 put vt_ before vmx_ for TDX. vt_cache_reg() warns
	 * when it is asked about a trust domain, whose registers are protected: it is not.
	 */
	const char *exit_info[2];
	const char *cache_reg[2];
} vendors[] = {
	{ "kvm_amd", KVMLOG_ISA_SVM, X86_FEATURE_SVM, { "svm_get_exit_info" }, {} },
	{ "kvm_intel",
	  KVMLOG_ISA_VMX,
	  X86_FEATURE_VMX,
	  { "vt_get_exit_info", "vmx_get_exit_info" },
	  { "vt_cache_reg", "vmx_cache_reg" } },
};

/* How far @address lies behind the start of @symbol; -1 when it is not in it. */
static long offset_in_symbol(unsigned long address, const char *symbol)
{
	char text[KSYM_SYMBOL_LEN];
	size_t length = strlen(symbol);
	unsigned long offset;
	char *slash;

	/* "symbol+0x4/0x70 [module]" */
	sprint_symbol(text, address);
	if (strncmp(text, symbol, length) || text[length] != '+')
		return -1;
	slash = strchr(text + length, '/');
	if (!slash)
		return -1;
	*slash = 0;
	if (kstrtoul(text + length + 1, 16, &offset))
		return -1;
	return offset;
}

static bool enforces_ibt(void)
{
#ifdef CONFIG_X86_KERNEL_IBT
	return cpu_feature_enabled(X86_FEATURE_IBT);
#else
	return false;
#endif
}

static bool begins_with_endbr(unsigned long start)
{
#ifdef CONFIG_X86_KERNEL_IBT
	u32 instruction;

	/* Not is_endbr(): it takes the poison of a sealed function for one as well. */
	return !get_kernel_nofault(instruction, (u32 *)start) && instruction == gen_endbr();
#else
	return false;
#endif
}

/* Start of @symbol in @module (or built in); NULL: there is none; or an error pointer: no memory. */
static void *find_function(const char *module, const char *symbol)
{
	char qualified[MODULE_NAME_LEN + KSYM_NAME_LEN];
	struct kprobe probe = { .flags = KPROBE_FLAG_DISABLED };
	unsigned long start;
	long offset;
	int err;

	snprintf(qualified, sizeof(qualified), "%s:%s", module, symbol);
	probe.symbol_name = qualified;
	err = register_kprobe(&probe);
	if (err == -ENOENT) { /* built in: no module name to it */
		memset(&probe, 0, sizeof(probe));
		probe.flags = KPROBE_FLAG_DISABLED;
		probe.symbol_name = symbol;
		err = register_kprobe(&probe);
	}
	if (err)
		return err == -ENOMEM ? ERR_PTR(err) : NULL;
	start = (unsigned long)probe.addr;
	unregister_kprobe(&probe);

	offset = offset_in_symbol(start, symbol);
	if (offset < 0)
		return NULL;
	start -= offset;
	if (enforces_ibt() && !begins_with_endbr(start)) {
		pr_err("%s does not begin with ENDBR: it cannot be called on this CPU\n", symbol);
		return NULL;
	}
	pr_info("%pS will be called%s\n", (void *)start,
		begins_with_endbr(start) ? ", it begins with ENDBR" : "");
	return (void *)start;
}

/* The first of @symbols that @module has; else as find_function() says. */
static void *find_first(const char *module, const char *const symbols[2])
{
	void *function = symbols[0] ? find_function(module, symbols[0]) : NULL;

	return function || !symbols[1] ? function : find_function(module, symbols[1]);
}

bool kvmlog_vendor_findable(void)
{
	return IS_ENABLED(CONFIG_KPROBES);
}

int kvmlog_vendor_resolve(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vendors); i++) {
		struct kvmlog_vendor found = { .isa = vendors[i].isa, .module = vendors[i].module };
		void *exit_info, *cache_reg;

		if (strcmp(vendors[i].module, name))
			continue;
		if (!boot_cpu_has(vendors[i].feature))
			return -ENODEV;
		exit_info = find_first(name, vendors[i].exit_info);
		if (!exit_info)
			return -ENOENT;
		cache_reg = find_first(name, vendors[i].cache_reg);
		if (IS_ERR(exit_info) || IS_ERR(cache_reg))
			return -ENOMEM;
		found.get_exit_info = exit_info;
		found.cache_reg = cache_reg;
		kvmlog_vendor = found;
		return 0;
	}
	return -EINVAL;
}

bool kvmlog_vendor_is(const char *name)
{
	return kvmlog_vendor.module && !strcmp(kvmlog_vendor.module, name);
}

void kvmlog_vendor_forget(void)
{
	memset(&kvmlog_vendor, 0, sizeof(kvmlog_vendor));
}
