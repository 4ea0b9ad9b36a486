// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmlog-receiver: switches tracing on, runs a command, receives until it has
 * ended, switches off, and says on stdout what came: one line of JSON for each
 * record that is no exit, sums of those that are. It speaks the protocol of
 * include/uapi/kvmlog/netlink.h and needs nothing but the kernel.
 *
 *     kvmlog-receiver [--records] COMMAND [ARGUMENT...]
 *
 * With --records each batch also comes as it is, in hexadecimal digits.
 *
 * Every line has "line", which names its kind. Its exit status is the command's,
 * or 1 with a sentence on stderr when the stream breaks a promise of the header.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kvmlog/layout.h>
#include <kvmlog/netlink.h>
#include <kvmlog/record.h>

#include "genl.h"

#define MAX_CPUS 64
#define RECEIVE_BYTES (16 << 20)
#define CHILD_POLL_MS 50
#define QUIET_MS 300 /* several flush intervals of the module (20 ms) */

/* What came from one CPU's buffers. Only last_exit_ns and exits go by the records' own CPU. */
struct cpu_sum {
	bool seen;
	uint64_t messages;
	uint64_t dropped; /* as its last batch said */
	uint64_t exits;
	uint64_t last_exit_ns;
};

static struct cpu_sum cpus[MAX_CPUS];
static uint64_t exits;
static bool shows_records;

void die(const char *format, ...)
{
	va_list arguments;

	fputs("kvmlog-receiver: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static struct cpu_sum *sum_of(unsigned int cpu)
{
	if (cpu >= MAX_CPUS)
		die("CPU %u in the stream, at most %u are expected", cpu, MAX_CPUS - 1);
	cpus[cpu].seen = true;
	return &cpus[cpu];
}

static void take_exit(const struct kvmlog_record *record)
{
	struct cpu_sum *sum = sum_of(record->cpu);

	exits++;
	sum->exits++;
	if (record->exit_ns > sum->last_exit_ns)
		sum->last_exit_ns = record->exit_ns;
}

static void take_guest(const struct kvmlog_record_guest *guest)
{
	printf("{\"line\": \"guest\", \"ns\": %" PRIu64 ", \"guest\": %u, \"tgid\": %u}\n",
	       (uint64_t)guest->ns, guest->guest, guest->tgid);
}

static void take_switch(const struct kvmlog_record_switch *change)
{
	printf("{\"line\": \"switch\", \"ns\": %" PRIu64 ", \"on\": %u, \"cause\": %u}\n",
	       (uint64_t)change->ns, change->on, change->cause);
}

/* "exits": how many came before this mark. */
static void take_clock(const struct kvmlog_record_clock *clock)
{
	printf("{\"line\": \"clock\", \"ns\": %" PRIu64 ", \"event\": %u, \"delta_ns\": %" PRId64
	       ", \"realtime_ns\": %" PRIu64 ", \"boottime_ns\": %" PRIu64 ", \"exits\": %" PRIu64
	       "}\n",
	       (uint64_t)clock->ns, clock->event, (int64_t)clock->delta_ns,
	       (uint64_t)clock->realtime_ns, (uint64_t)clock->boottime_ns, exits);
}

static void take_cpu(const struct kvmlog_record_cpu *change)
{
	printf("{\"line\": \"cpu\", \"ns\": %" PRIu64 ", \"cpu\": %u, \"online\": %u}\n",
	       (uint64_t)change->ns, change->cpu, change->online);
}

static void take_record(const struct kvmlog_record *record)
{
	switch (record->type) {
	case KVMLOG_RECORD_EXIT:
		take_exit(record);
		break;
	case KVMLOG_RECORD_GUEST:
		take_guest((const void *)record);
		break;
	case KVMLOG_RECORD_SWITCH:
		take_switch((const void *)record);
		break;
	case KVMLOG_RECORD_CLOCK:
		take_clock((const void *)record);
		break;
	case KVMLOG_RECORD_CPU:
		take_cpu((const void *)record);
		break;
	default:
		die("a record of type %u", record->type);
	}
}

/* printf() of each byte would take most of a slow machine's time. */
static void print_records(uint32_t cpu, const uint8_t *records, size_t bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	printf("{\"line\": \"records\", \"cpu\": %u, \"bytes\": \"", cpu);
	for (i = 0; i < bytes; i++) {
		putchar_unlocked(digits[records[i] >> 4]);
		putchar_unlocked(digits[records[i] & 0xf]);
	}
	puts("\"}");
}

/* One message: checked against what the header promises, then its records. */
static void take_batch(const uint8_t *message, size_t bytes)
{
	const struct nlmsghdr *head = (const struct nlmsghdr *)message;
	const struct kvmlog_record *records = (const void *)(message + KVMLOG_BATCH_OFFSET);
	struct kvmlog_batch batch;
	struct cpu_sum *sum;
	uint32_t i;

	if (bytes < KVMLOG_BATCH_OFFSET || head->nlmsg_len != bytes || head->nlmsg_pid != 0)
		die("no batch: %zu bytes from port %u", bytes, head->nlmsg_pid);
	memcpy(&batch, message + NLMSG_HDRLEN + 4 + NLA_HDRLEN, sizeof(batch));
	if (batch.record_bytes != KVMLOG_RECORD_BYTES || !batch.count ||
	    bytes != KVMLOG_BATCH_OFFSET + (size_t)batch.count * KVMLOG_RECORD_BYTES)
		die("a batch of %zu bytes with %u records of %u", bytes, batch.count,
		    batch.record_bytes);
	sum = sum_of(batch.cpu);
	if (batch.sequence != sum->messages)
		die("CPU %u: message %" PRIu64 " after %" PRIu64 " messages", batch.cpu,
		    (uint64_t)batch.sequence, sum->messages);
	if (batch.dropped < sum->dropped)
		die("CPU %u: %" PRIu64 " dropped after %" PRIu64, batch.cpu,
		    (uint64_t)batch.dropped, sum->dropped);
	sum->messages++;
	sum->dropped = batch.dropped;
	for (i = 0; i < batch.count; i++)
		take_record(&records[i]);
	if (shows_records)
		print_records(batch.cpu, (const void *)records,
			      (size_t)batch.count * KVMLOG_RECORD_BYTES);
}

/* Takes what comes within `timeout_ms`; false when nothing did. */
static bool receive(int fd, int timeout_ms)
{
	static _Alignas(8) uint8_t message[GENL_MESSAGE_BYTES];
	struct pollfd input = { .fd = fd, .events = POLLIN };
	ssize_t bytes;

	if (poll(&input, 1, timeout_ms) <= 0)
		return false;
	bytes = recv(fd, message, sizeof(message), 0);
	if (bytes < 0 && errno != EINTR)
		die("recv: %s", strerror(errno));
	if (bytes > 0)
		take_batch(message, (size_t)bytes);
	return true;
}

static int subscribe(uint16_t family)
{
	const int one = 1, bytes = RECEIVE_BYTES;
	int fd = genl_open();

	if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		die("setsockopt: %s", strerror(errno));
	genl_call(fd, family, KVMLOG_CMD_SUBSCRIBE, NULL, NULL, "subscribe");
	return fd;
}

static void configure(int fd, uint16_t family, uint8_t state)
{
	static struct genl_attributes request;

	request.bytes = 0;
	genl_put(&request, KVMLOG_A_STATE, &state, sizeof(state));
	genl_call(fd, family, KVMLOG_CMD_CONFIGURE, &request, NULL, state ? "on" : "off");
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, as user space sees it: within two bounds. */
static void print_offset(const char *moment)
{
	int64_t before_ns = now_ns(CLOCK_MONOTONIC);
	int64_t boottime_ns = now_ns(CLOCK_BOOTTIME);
	int64_t after_ns = now_ns(CLOCK_MONOTONIC);

	printf("{\"line\": \"offset\", \"moment\": \"%s\", \"lowest_ns\": %" PRId64
	       ", \"highest_ns\": %" PRId64 "}\n",
	       moment, boottime_ns - after_ns, boottime_ns - before_ns);
}

static void print_status(int fd, uint16_t family, const char *moment)
{
	static struct genl_attributes reply;
	const struct nlattr *raw;
	struct kvmlog_counters counters;

	genl_call(fd, family, KVMLOG_CMD_GET_STATUS, NULL, &reply, "status");
	raw = genl_find(reply.data, reply.bytes, KVMLOG_A_COUNTERS);
	if (!raw || genl_value_bytes(raw) != sizeof(counters))
		die("status: no counters");
	memcpy(&counters, genl_value(raw), sizeof(counters));
	printf("{\"line\": \"status\", \"moment\": \"%s\", \"on\": %" PRIu64
	       ", \"attached\": %" PRIu64 ", \"seen\": %" PRIu64 ", \"emitted\": %" PRIu64
	       ", \"filtered\": %" PRIu64 ", \"sampled\": %" PRIu64 ", \"dropped\": %" PRIu64
	       ", \"pending\": %" PRIu64 ", \"notes\": %" PRIu64 "}\n",
	       moment, genl_number(&reply, KVMLOG_A_STATE, 2),
	       genl_number(&reply, KVMLOG_A_ATTACHED, 2), (uint64_t)counters.seen,
	       (uint64_t)counters.emitted, (uint64_t)counters.filtered, (uint64_t)counters.sampled,
	       (uint64_t)counters.dropped, (uint64_t)counters.pending, (uint64_t)counters.notes);
}

static void print_sums(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		const struct cpu_sum *sum = &cpus[cpu];

		if (!sum->seen)
			continue;
		printf("{\"line\": \"cpu sum\", \"cpu\": %u, \"messages\": %" PRIu64
		       ", \"dropped\": %" PRIu64 ", \"exits\": %" PRIu64
		       ", \"last_exit_ns\": %" PRIu64 "}\n",
		       cpu, sum->messages, sum->dropped, sum->exits, sum->last_exit_ns);
	}
	printf("{\"line\": \"sum\", \"exits\": %" PRIu64 "}\n", exits);
}

static pid_t start(char **command)
{
	pid_t child = fork();

	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		execvp(command[0], command);
		die("%s: %s", command[0], strerror(errno));
	}
	return child;
}

int main(int argc, char **argv)
{
	int control, receiver, status;
	uint16_t family;
	pid_t child;

	if (argc > 1 && !strcmp(argv[1], "--records")) {
		shows_records = true;
		argc--;
		argv++;
	}
	if (argc < 2) {
		fputs("usage: kvmlog-receiver [--records] COMMAND [ARGUMENT...]\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	control = genl_open();
	family = genl_family(control, KVMLOG_GENL_NAME);
	receiver = subscribe(family);
	configure(control, family, 1);
	print_offset("on");

	child = start(argv + 1);
	while (waitpid(child, &status, WNOHANG) == 0)
		receive(receiver, CHILD_POLL_MS);

	print_status(control, family, "before off");
	print_offset("before off");
	configure(control, family, 0);
	while (receive(receiver, QUIET_MS))
		;
	print_status(control, family, "off");
	print_sums();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
