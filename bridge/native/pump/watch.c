// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What happens to the host's clocks and CPUs while BPF programs trace: the records
 * that the kernel module writes itself, the pump writes in their place.
 *
 * The kernel keeps the offsets of the other clocks to CLOCK_MONOTONIC exactly; user
 * space learns each from reading one clock between two readings of the other, as an
 * interval that it lies in. Intervals of the same offset have a point in common: when
 * they have not, wall time was set or the host slept, however short.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/netlink.h>

#include "pump/pump.h"

enum {
	KVMLOG_UEVENT_GROUP = 1, /* the kernel's own */
	KVMLOG_UEVENT_BYTES = 4096,
	KVMLOG_UEVENT_BUFFER = 1 << 18,
	KVMLOG_CLOCK_ROUNDING_NS = 8, /* each clock rounds for itself */
};

static __s64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct kvmlog_interval read_offset(clockid_t clock)
{
	__s64 before = clock_ns(CLOCK_MONOTONIC);
	__s64 other = clock_ns(clock);
	__s64 after = clock_ns(CLOCK_MONOTONIC);

	return (struct kvmlog_interval){ other - after - KVMLOG_CLOCK_ROUNDING_NS,
					 other - before + KVMLOG_CLOCK_ROUNDING_NS };
}

/* Narrows *known by *read; 0: they have no point in common. */
static int narrow(struct kvmlog_interval *known, const struct kvmlog_interval *read)
{
	__s64 low = read->low > known->low ? read->low : known->low;
	__s64 high = read->high < known->high ? read->high : known->high;

	if (low > high)
		return 0;
	known->low = low;
	known->high = high;
	return 1;
}

static __s64 middle(const struct kvmlog_interval *interval)
{
	return interval->low + (interval->high - interval->low) / 2;
}

/* The writer's lock is held. */
static void note(struct kvmlog_pump *pump, void *record)
{
	kvmlog_writer_reserve(pump->writer, 1);
	kvmlog_writer_copy(pump->writer, record, 1);
	kvmlog_writer_publish(pump->writer, 1);
	pump->statistics.records++;
	pump->statistics.notes++;
}

static void note_clock(struct kvmlog_pump *pump, __u32 event, __s64 delta_ns)
{
	const struct kvmlog_watch *watch = &pump->watch;
	__u64 now = (__u64)clock_ns(CLOCK_MONOTONIC);
	struct kvmlog_record_clock clock = {
		.type = KVMLOG_RECORD_CLOCK,
		.source = KVMLOG_SOURCE_BPF,
		.ns = now,
		.event = event,
		.delta_ns = delta_ns,
		.realtime_ns = now + (__u64)watch->real_told_ns,
		.boottime_ns = now + (__u64)watch->boot_told_ns,
		.config_epoch = watch->config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = KVMLOG_NO_CPU,
	};

	note(pump, &clock);
}

static void note_cpu(struct kvmlog_pump *pump, __u16 number, __u32 online)
{
	struct kvmlog_record_cpu cpu = {
		.type = KVMLOG_RECORD_CPU,
		.source = KVMLOG_SOURCE_BPF,
		.ns = (__u64)clock_ns(CLOCK_MONOTONIC),
		.online = online,
		.config_epoch = pump->watch.config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = number,
	};

	note(pump, &cpu);
}

/* A socket for the kernel's events; without one CPUs that come and go are not told. */
int kvmlog_watch_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KVMLOG_UEVENT_GROUP };
	int bytes = KVMLOG_UEVENT_BUFFER;
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Tracing begins: tells where the clocks stand, and watches them from here. */
void kvmlog_pump_watch(struct kvmlog_pump *pump, __u32 config_epoch)
{
	struct kvmlog_watch *watch = &pump->watch;

	pthread_mutex_lock(&pump->writer->lock);
	watch->config_epoch = config_epoch;
	if (!watch->on) {
		watch->on = 1;
		watch->real = read_offset(CLOCK_REALTIME);
		watch->boot = read_offset(CLOCK_BOOTTIME);
		watch->real_told_ns = middle(&watch->real);
		/* A host that never slept: exactly the same. */
		watch->boot_told_ns = watch->boot.low <= 0 ? 0 : middle(&watch->boot);
		note_clock(pump, KVMLOG_CLOCK_ANCHOR, 0);
	}
	pthread_mutex_unlock(&pump->writer->lock);
}

void kvmlog_pump_unwatch(struct kvmlog_pump *pump)
{
	pthread_mutex_lock(&pump->writer->lock);
	pump->watch.on = 0;
	pthread_mutex_unlock(&pump->writer->lock);
}

void kvmlog_watch_clocks(struct kvmlog_pump *pump)
{
	struct kvmlog_watch *watch = &pump->watch;
	struct kvmlog_interval real, boot;
	__s64 slept = 0, stepped;

	if (!watch->on)
		return;
	pthread_mutex_lock(&pump->writer->lock);
	boot = read_offset(CLOCK_BOOTTIME);
	real = read_offset(CLOCK_REALTIME);
	if (!narrow(&watch->boot, &boot)) {
		/* A sleep moves both offsets by the same. */
		__s64 width = watch->boot.high - watch->boot.low + boot.high - boot.low;

		slept = middle(&boot) - middle(&watch->boot);
		watch->boot = boot;
		watch->boot_told_ns += slept;
		watch->real.low += slept - width;
		watch->real.high += slept + width;
		watch->real_told_ns += slept;
		note_clock(pump, KVMLOG_CLOCK_SUSPEND, slept);
	}
	if (!narrow(&watch->real, &real)) {
		stepped = middle(&real) - watch->real_told_ns;
		watch->real = real;
		watch->real_told_ns += stepped;
		note_clock(pump, KVMLOG_CLOCK_STEP, stepped);
	}
	pthread_mutex_unlock(&pump->writer->lock);
}

/* Somebody wrote into a `uevent` file of sysfs: nothing has happened. */
static int is_made_up(const char *text, size_t bytes)
{
	static const char mark[] = "SYNTH_UUID=";

	for (const char *at = text; at < text + bytes; at += strlen(at) + 1)
		if (!strncmp(at, mark, sizeof(mark) - 1))
			return 1;
	return 0;
}

/* "online@/devices/system/cpu/cpu1", and behind it NAME=VALUE, each ended by a NUL. */
static void take_event(struct kvmlog_pump *pump, const char *text, size_t bytes)
{
	static const char *const changes[] = { "offline@", "online@" };
	unsigned int number;

	if (is_made_up(text, bytes))
		return;
	for (__u32 online = 0; online < 2; online++) {
		size_t length = strlen(changes[online]);

		if (strncmp(text, changes[online], length) ||
		    sscanf(text + length, "/devices/system/cpu/cpu%u", &number) != 1 ||
		    number >= KVMLOG_NO_CPU)
			continue;
		pthread_mutex_lock(&pump->writer->lock);
		if (pump->watch.on)
			note_cpu(pump, (__u16)number, online);
		pthread_mutex_unlock(&pump->writer->lock);
	}
}

void kvmlog_watch_events(struct kvmlog_pump *pump)
{
	char text[KVMLOG_UEVENT_BYTES];
	struct sockaddr_nl sender;
	socklen_t bytes = sizeof(sender);
	ssize_t length;

	while ((length = recvfrom(pump->watch.event_fd, text, sizeof(text) - 1, MSG_DONTWAIT,
				  (struct sockaddr *)&sender, &bytes)) >= 0 ||
	       errno == ENOBUFS || errno == EINTR) {
		if (length >= 0 && sender.nl_pid == 0) {
			text[length] = 0;
			take_event(pump, text, (size_t)length);
		}
		bytes = sizeof(sender);
	}
}
