// SPDX-License-Identifier: GPL-2.0-or-later
/* Guests that the source announced, on their way to Python. */
#include <string.h>
#include <sys/eventfd.h>

#include "pump/pump.h"

void kvmlog_pump_tell_guest(struct kvmlog_pump *pump, const struct kvmlog_record_guest *note)
{
	struct kvmlog_guests_waiting *waiting = &pump->waiting;

	if (waiting->count == KVMLOG_GUESTS_WAITING)
		waiting->missed++;
	else
		waiting->guests[waiting->count++] = *note;
	eventfd_write(waiting->event_fd, 1);
}

/* Readable while guests wait for kvmlog_pump_guests(). */
int kvmlog_pump_guests_fd(const struct kvmlog_pump *pump)
{
	return pump->waiting.event_fd;
}

/* Takes the guests that were announced; @missed: more than there was room for, since ever. */
__u32 kvmlog_pump_guests(struct kvmlog_pump *pump, struct kvmlog_record_guest *guests,
			 __u32 capacity, __u64 *missed)
{
	struct kvmlog_guests_waiting *waiting = &pump->waiting;
	eventfd_t value;
	__u32 count;

	pthread_mutex_lock(&pump->writer->lock);
	count = waiting->count < capacity ? waiting->count : capacity;
	memcpy(guests, waiting->guests, count * sizeof(*guests));
	memmove(waiting->guests, waiting->guests + count,
		(waiting->count - count) * sizeof(*guests));
	waiting->count -= count;
	*missed = waiting->missed;
	if (!waiting->count)
		eventfd_read(waiting->event_fd, &value);
	pthread_mutex_unlock(&pump->writer->lock);
	return count;
}
