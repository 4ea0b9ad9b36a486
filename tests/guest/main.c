// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmlog-guest: a virtual machine that does nothing but leave its guest, a known
 * number of times and for known reasons, and says what it did.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "guest.h"

static const char *const kind_names[GUEST_KINDS] = {
	"cpuid", "pio", "mmio", "hlt", "rdmsr", "wrmsr", "spin", "timer", "ipi",
};
static bool json;

static const char usage[] =
	"usage: kvmlog-guest [options]\n"
	"  --turns N        turns of each vCPU; 0: until SIGTERM (default 1000)\n"
	"  --vcpus N        vCPUs, one thread each, 1 to 64 (default 1)\n"
	"  --kinds LIST     what a turn does once each: cpuid,pio,mmio,hlt,rdmsr,wrmsr,\n"
	"                   spin,timer,ipi (the last two take --hlt timer); msr stands for\n"
	"                   rdmsr,wrmsr (default cpuid,pio)\n"
	"  --hlt user|timer who ends a halt: user space (KVM_EXIT_HLT, default), or the\n"
	"                   guest's APIC timer, in the kernel (two more exits a turn:\n"
	"                   its start and its end)\n"
	"  --halt-us N      length of a halt with --hlt timer (default 1000)\n"
	"  --pause-ms N     sleep in user space at each I/O: a slow device (default 0)\n"
	"  --interrupt io|run  a signal makes KVM_RUN return -EINTR: as it begins after\n"
	"                   each I/O, or 50 ms after it began, again and again\n"
	"  --interrupt-ms N sleep in user space after each such return: a VMM that\n"
	"                   pauses its guest (default 0)\n"
	"  --hold           stay in the last exit until SIGTERM or the end of stdin\n"
	"  --name NAME      name of the process (comm, 15 characters)\n"
	"  --json           report as one line of JSON\n"
	"Each vCPU ends with one more OUT, to port 0x501.\n";

void die(const char *format, ...)
{
	va_list arguments;

	fputs("kvmlog-guest: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static const char *user_exit_name(unsigned int reason)
{
	switch (reason) {
	case KVM_EXIT_IO:
		return "KVM_EXIT_IO";
	case KVM_EXIT_MMIO:
		return "KVM_EXIT_MMIO";
	case KVM_EXIT_HLT:
		return "KVM_EXIT_HLT";
	default:
		return "other";
	}
}

static void report(const struct guest_options *options, const struct guest_result *result)
{
	const char *separator = "";
	unsigned int i;

	printf(json ? "{\"pid\": %d, \"vcpus\": %u, \"turns\": %u, \"finished\": %lu, \"done\": {"
		    : "process %d: %u vCPUs, %u turns each, %lu finished; done:",
	       getpid(), options->vcpus, options->turns, result->finished);
	for (i = 0; i < GUEST_KINDS; i++) {
		if (!options->kinds[i])
			continue;
		printf(json ? "%s\"%s\": %lu" : "%s %s %lu", separator, kind_names[i],
		       result->done[i]);
		separator = json ? ", " : ",";
	}
	printf(json ? "}, \"user_exits\": {" : "; returned to user space:");
	separator = "";
	for (i = 0; i < USER_EXITS; i++) {
		if (!result->user_exits[i])
			continue;
		printf(json ? "%s\"%s\": %lu" : "%s %s %lu", separator, user_exit_name(i),
		       result->user_exits[i]);
		separator = json ? ", " : ",";
	}
	printf(json ? "}, \"interrupted\": %lu, \"holds\": %lu, \"held_ns\": %lu, "
		      "\"device_ns\": %lu, \"elapsed_ns\": %lu}\n"
		    : "; interrupted %lu times, held %lu times for %lu ns; devices took %lu ns; "
		      "took %lu ns\n",
	       result->interrupted, result->holds, result->held_ns, result->device_ns,
	       result->elapsed_ns);
	fflush(stdout);
}

static unsigned int number(const char *option, const char *text, unsigned long lowest,
			   unsigned long highest)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < lowest || value > highest) {
		fprintf(stderr, "kvmlog-guest: --%s %s: must be a number from %lu to %lu\n", option,
			text, lowest, highest);
		exit(2);
	}
	return (unsigned int)value;
}

/* Which of the two words @text is; any other ends the program. */
static bool is_second(const char *option, const char *text, const char *first, const char *second)
{
	if (!strcmp(text, second))
		return true;
	if (!strcmp(text, first))
		return false;
	fprintf(stderr, "kvmlog-guest: --%s %s: must be %s or %s\n", option, text, first, second);
	exit(2);
}

static void parse_kinds(char *list, bool *kinds)
{
	char *word;
	unsigned int i;

	memset(kinds, 0, GUEST_KINDS * sizeof(*kinds));
	for (word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		bool known = false;

		for (i = 0; i < GUEST_KINDS; i++) {
			bool both = !strcmp(word, "msr") && (i == KIND_RDMSR || i == KIND_WRMSR);

			if (both || !strcmp(word, kind_names[i]))
				known = kinds[i] = true;
		}
		if (!known) {
			fprintf(stderr,
				"kvmlog-guest: --kinds: %s is none of cpuid, pio, mmio, "
				"hlt, rdmsr, wrmsr, spin, timer, ipi, msr\n",
				word);
			exit(2);
		}
	}
}

static void parse(int argc, char **argv, struct guest_options *options)
{
	static const struct option known[] = {
		{ "turns", required_argument, NULL, 't' },
		{ "vcpus", required_argument, NULL, 'v' },
		{ "kinds", required_argument, NULL, 'k' },
		{ "hlt", required_argument, NULL, 'w' },
		{ "halt-us", required_argument, NULL, 'u' },
		{ "pause-ms", required_argument, NULL, 'p' },
		{ "interrupt", required_argument, NULL, 'i' },
		{ "interrupt-ms", required_argument, NULL, 'I' },
		{ "hold", no_argument, NULL, 'H' },
		{ "name", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, index;

	while ((option = getopt_long(argc, argv, "", known, &index)) != -1) {
		switch (option) {
		case 't':
			options->turns = number("turns", optarg, 0, UINT32_MAX);
			break;
		case 'v':
			options->vcpus = number("vcpus", optarg, 1, MAX_VCPUS);
			break;
		case 'k':
			parse_kinds(optarg, options->kinds);
			break;
		case 'w':
			options->halt_timer = is_second("hlt", optarg, "user", "timer");
			break;
		case 'u':
			options->halt_us = number("halt-us", optarg, 1, 4000000);
			break;
		case 'p':
			options->pause_ms = number("pause-ms", optarg, 0, 3600000);
			break;
		case 'i':
			options->interrupt = is_second("interrupt", optarg, "io", "run")
						     ? INTERRUPT_RUN
						     : INTERRUPT_IO;
			break;
		case 'I':
			options->interrupt_ms = number("interrupt-ms", optarg, 0, 3600000);
			break;
		case 'H':
			options->hold = true;
			break;
		case 'n':
			prctl(PR_SET_NAME, optarg);
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "kvmlog-guest: %s: not an option\n%s", argv[optind], usage);
		exit(2);
	}
}

static void on_signal(int signal_number)
{
	(void)signal_number;
	machine_end();
}

int main(int argc, char **argv)
{
	struct guest_options options = {
		.kinds = { [KIND_CPUID] = true, [KIND_PIO] = true },
		.turns = 1000,
		.vcpus = 1,
		.halt_us = 1000,
	};
	struct sigaction action = { .sa_handler = on_signal };
	struct guest_result result = { 0 };

	parse(argc, argv, &options);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	machine_run(&options, &result, report);
	return 0;
}
