// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPUs that come and go while BPF programs trace, by the kernel's own events. The records
 * that the kernel module writes itself, the pump writes in their place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/netlink.h>

#include "clock.h"
#include "pump/pump.h"

enum {
	KVMLOG_UEVENT_GROUP = 1, /* the kernel's own */
	KVMLOG_UEVENT_BYTES = 4096,
	KVMLOG_UEVENT_BUFFER = 1 << 18,
};

static void note_cpu(struct kvmlog_pump *pump, __u16 number, __u32 online)
{
	struct kvmlog_record_cpu cpu = {
		.type = KVMLOG_RECORD_CPU,
		.source = KVMLOG_SOURCE_BPF,
		.ns = kvmlog_clock_ns(CLOCK_MONOTONIC),
		.online = online,
		.config_epoch = pump->watch.config_epoch,
		.vcpu = KVMLOG_NO_VCPU,
		.cpu = number,
	};

	kvmlog_pump_note(pump, &cpu);
}

/* A socket for the kernel's events; without one CPUs that come and go are not told. */
int kvmlog_hotplug_open(void)
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

void kvmlog_pump_watch_cpus(struct kvmlog_pump *pump)
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
