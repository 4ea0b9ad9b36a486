// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All threads that meet in the engine, in one program without Python: for ThreadSanitizer, which
 * sees a race only between accesses of one address. So readers read the writer's own mapping here.
 *
 *   kvmlog-threads ring|statistics|pump|without-protocol TURNS
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "threads.h"

enum {
	BATCH_MOST = 37, /* prime to SLOTS: batches wrap at every place */
};

static int ended;

_Noreturn void fail(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
	exit(1);
}

static void *run(void *argument)
{
	struct part *part = argument;

	do {
		part->turn(part->made++);
		/* Turns of different threads alternate, however few CPUs there are. */
		sched_yield();
	} while (part->turns ? part->made < part->turns
			     : !__atomic_load_n(&ended, __ATOMIC_RELAXED));
	return NULL;
}

void meet(struct part *parts, int count)
{
	pthread_t threads[THREADS_MOST];

	must(count <= THREADS_MOST);
	for (int i = 0; i < count; i++)
		must(!pthread_create(&threads[i], NULL, run, &parts[i]));
	for (int i = 0; i < count; i++)
		if (parts[i].turns)
			pthread_join(threads[i], NULL);
	__atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < count; i++)
		if (!parts[i].turns)
			pthread_join(threads[i], NULL);
	for (int i = 0; i < count; i++)
		printf("%llu%c", parts[i].made, i + 1 < count ? ' ' : '\n');
}

struct kvmlog_writer *new_writer(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	struct kvmlog_writer *writer;

	must(fd >= 0);
	must(!ftruncate(fd, KVMLOG_RING_HEADER_BYTES + SLOTS * KVMLOG_RECORD_BYTES));
	writer = kvmlog_writer_new(fd, SLOTS, KVMLOG_RECORD_BYTES);
	must(writer);
	return writer;
}

void free_writer(struct kvmlog_writer *writer)
{
	int fd = writer->ring.fd;

	kvmlog_writer_free(writer);
	close(fd);
}

__u32 make_batch(__u64 number, struct kvmlog_record *records)
{
	__u32 count = 1 + (__u32)(number % BATCH_MOST);

	for (__u32 i = 0; i < count; i++)
		records[i] = (struct kvmlog_record){
			.type = KVMLOG_RECORD_EXIT,
			.isa = KVMLOG_ISA_SVM,
			.source = KVMLOG_SOURCE_KMOD,
			.flags = KVMLOG_F_DETAIL_VALID,
			.reason = (__u32)(number + i) % 24,
			.guest = 1 + (__u32)(number % 5),
			.vcpu = (__u16)(i % 4),
			.detail = number,
			.rip = ~number,
			.exit_ns = 1 + number,
			.total_ns = 1000 + number % 9000,
		};
	return count;
}

int is_of_batch(const struct kvmlog_record *record)
{
	return record->rip == ~record->detail && record->exit_ns == 1 + record->detail &&
	       record->total_ns == 1000 + record->detail % 9000;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*meet)(__u64 turns);
	} meetings[] = {
		{ "ring", meet_at_ring },
		{ "statistics", meet_at_statistics },
		{ "pump", meet_at_pump },
		{ "without-protocol", meet_without_protocol },
	};

	must(argc == 3);
	for (size_t i = 0; i < sizeof(meetings) / sizeof(*meetings); i++) {
		if (strcmp(argv[1], meetings[i].name))
			continue;
		meetings[i].meet(strtoull(argv[2], NULL, 10));
		return 0;
	}
	fail("the meeting has a name", __FILE__, __LINE__);
}
