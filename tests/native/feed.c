// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages and records that come from no source, taken in as the pump takes them. */
#include <errno.h>
#include <string.h>

#include "statistics/state.h"
#include "statistics/statistics.h"
#include "testing.h"

/* A message that did not come through a socket. -EMSGSIZE: longer than any. */
int kvmlog_test_message(struct kvmlog_pump *pump, const void *message, __u64 bytes,
			__u32 sender_port)
{
	__u8 message_head[KVMLOG_BATCH_OFFSET] = { 0 };
	__u64 records = 0;

	if (bytes > KVMLOG_MESSAGE_BYTES)
		return -EMSGSIZE;
	memcpy(message_head, message, bytes < sizeof(message_head) ? bytes : sizeof(message_head));
	if (bytes > sizeof(message_head))
		records = (bytes - sizeof(message_head)) / KVMLOG_RECORD_BYTES;

	pthread_mutex_lock(&pump->writer->lock);
	kvmlog_writer_reserve(pump->writer, KVMLOG_BATCH_RECORDS);
	kvmlog_writer_copy(pump->writer, (const __u8 *)message + sizeof(message_head), records);
	kvmlog_pump_message_came(pump, message_head, bytes, sender_port, 0);
	pthread_mutex_unlock(&pump->writer->lock);
	return 0;
}

/* Records that did not come through a pump, guests among them too. */
void kvmlog_test_count(struct kvmlog_statistics *statistics, const struct kvmlog_record *records,
		       __u64 count)
{
	__u64 from = 0;

	pthread_mutex_lock(statistics->lock);
	for (__u64 i = 0; i <= count; i++) {
		if (i < count && records[i].type != KVMLOG_RECORD_GUEST)
			continue;
		kvmlog_statistics_take(statistics, &records[from], i - from);
		if (i < count)
			kvmlog_statistics_guest_seen(statistics, (const void *)&records[i]);
		from = i + 1;
	}
	pthread_mutex_unlock(statistics->lock);
}
