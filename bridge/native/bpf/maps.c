// SPDX-License-Identifier: GPL-2.0-or-later
/* The maps that programs and engine share (bridge/bpf/shared.h), as this process has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "api.h"

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
}

static __u64 whole_pages(__u64 bytes)
{
	__u64 page = (__u64)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static void *map(int fd, __u64 bytes)
{
	void *at = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static void unmap(void *at, __u64 bytes)
{
	if (at)
		munmap(at, whole_pages(bytes));
}

static __u64 slots_bytes(void)
{
	return (__u64)KVMLOG_BPF_THREADS * sizeof(struct kvmlog_bpf_slot);
}

/* Of one CPU's part of the records' map. */
static __u64 part_bytes(void)
{
	return (__u64)KVMLOG_BPF_CPU_RECORDS * KVMLOG_RECORD_BYTES;
}

/* NULL with errno set. The descriptors stay the caller's. @count: possible CPUs. */
struct kvmlog_bpf_maps *kvmlog_bpf_maps_new(int control_fd, int cpus_fd, int records_fd,
					    int slots_fd, __u32 count)
{
	struct kvmlog_bpf_maps *maps = calloc(1, sizeof(*maps));
	int error;

	if (!maps)
		return NULL;
	maps->count = count;
	maps->control = map(control_fd, sizeof(*maps->control));
	maps->cpus = map(cpus_fd, count * sizeof(*maps->cpus));
	maps->records_fd = records_fd;
	maps->parts = calloc(count, sizeof(*maps->parts));
	/* Where parts are no whole pages they cannot be mapped apart. */
	if (part_bytes() != whole_pages(part_bytes()))
		maps->records = map(records_fd, count * part_bytes());
	maps->slots = map(slots_fd, slots_bytes());
	if (maps->control && maps->cpus && maps->slots && maps->parts &&
	    (maps->records || part_bytes() == whole_pages(part_bytes())))
		return maps;
	error = errno;
	kvmlog_bpf_maps_free(maps);
	errno = error;
	return NULL;
}

void kvmlog_bpf_maps_free(struct kvmlog_bpf_maps *maps)
{
	if (!maps)
		return;
	unmap(maps->control, sizeof(*maps->control));
	unmap(maps->cpus, maps->count * sizeof(*maps->cpus));
	unmap(maps->records, maps->count * part_bytes());
	for (__u32 i = 0; maps->parts && i < maps->count; i++)
		unmap(maps->parts[i], part_bytes());
	free(maps->parts);
	unmap(maps->slots, slots_bytes());
	free(maps);
}

/*
 * One CPU's records; NULL: no memory. Mapped when they are first asked for: what is
 * mapped is resident, and a host may have hundreds of CPUs that never come.
 */
const struct kvmlog_record *kvmlog_bpf_part(struct kvmlog_bpf_maps *maps, __u32 number)
{
	void *at;

	if (maps->records)
		return maps->records + (__u64)number * KVMLOG_BPF_CPU_RECORDS;
	if (!maps->parts[number]) {
		at = mmap(NULL, part_bytes(), PROT_READ, MAP_SHARED, maps->records_fd,
			  (off_t)(number * part_bytes()));
		if (at != MAP_FAILED)
			maps->parts[number] = at;
	}
	return maps->parts[number];
}

/*
 * Where all exits went, but for what the engine itself did. What ends an exit is read
 * before what begins one, so that the sum holds while programs run.
 */
void kvmlog_bpf_counters(const struct kvmlog_bpf_maps *maps, struct kvmlog_counters *counters)
{
	__u64 taken = 0, full = 0;

	memset(counters, 0, sizeof(*counters));
	for (__u32 i = 0; i < maps->count; i++) {
		const struct kvmlog_bpf_cpu *cpu = &maps->cpus[i];
		__u64 head = __atomic_load_n(&cpu->head, __ATOMIC_ACQUIRE);
		__u64 notes = __atomic_load_n(&cpu->notes, __ATOMIC_ACQUIRE);

		counters->emitted += head > notes ? head - notes : 0;
		counters->notes += notes;
		full += __atomic_load_n(&cpu->dropped_full, __ATOMIC_ACQUIRE);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (__u32 i = 0; i < maps->count; i++) {
		const struct kvmlog_bpf_cpu *cpu = &maps->cpus[i];

		taken += __atomic_load_n(&cpu->taken, __ATOMIC_RELAXED);
		counters->filtered += __atomic_load_n(&cpu->filtered, __ATOMIC_RELAXED);
		counters->sampled += __atomic_load_n(&cpu->sampled, __ATOMIC_RELAXED);
		counters->dropped_table += __atomic_load_n(&cpu->dropped_table, __ATOMIC_RELAXED);
	}
	counters->pending = taken - counters->emitted - full;
	counters->dropped = full + counters->dropped_table;
	counters->seen = taken + counters->filtered + counters->sampled + counters->dropped_table;
}

static __u32 slots_used(const struct kvmlog_bpf_maps *maps)
{
	__u64 used = __atomic_load_n(&maps->control->slots_used, __ATOMIC_ACQUIRE);

	/* Threads that come at once may count past the last one. */
	return used < KVMLOG_BPF_THREADS ? (__u32)used : KVMLOG_BPF_THREADS;
}

static __u64 elapsed_ns(__u64 from_ns, __u64 to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* The pending exit of one slot, with times up to now. 0: it has none. */
static int read_pending(const struct kvmlog_bpf_slot *shared, struct kvmlog_record *record)
{
	struct kvmlog_bpf_slot slot, again;
	__u64 now;

	/* A program may be writing it; what two readings agree on stood still. */
	do {
		slot = *shared;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		__asm__ volatile("" ::: "memory");
		again = *shared;
	} while (memcmp(&slot, &again, sizeof(slot)));
	if (!slot.tid || !slot.pending)
		return 0;
	now = now_ns();
	*record = slot.record;
	record->total_ns = elapsed_ns(record->exit_ns, now);
	if (record->user_exits)
		record->user_ns = elapsed_ns(slot.user_since_ns, now);
	if (record->flags & KVMLOG_F_USER_EINTR) {
		if (slot.paused_since_ns)
			record->paused_ns += elapsed_ns(slot.paused_since_ns, now);
		if (record->paused_ns > record->user_ns)
			record->paused_ns = record->user_ns;
	}
	record->flags |= KVMLOG_F_NO_REENTRY;
	return 1;
}

/* Exits that wait for their re-entry: at most KVMLOG_BPF_THREADS records; how many. */
int kvmlog_bpf_pending(const struct kvmlog_bpf_maps *maps, struct kvmlog_record *records)
{
	int count = 0;

	for (__u32 i = 0; i < slots_used(maps); i++)
		count += read_pending(&maps->slots[i], &records[count]);
	return count;
}

/* No program runs: forgets all slots. */
void kvmlog_bpf_forget(const struct kvmlog_bpf_maps *maps)
{
	memset(maps->slots, 0, slots_used(maps) * sizeof(*maps->slots));
	maps->control->slots_used = 0;
}

/* Takes everything out of a queue of 32 bit numbers. */
void kvmlog_bpf_empty(int queue_fd)
{
	__u32 value;

	while (!bpf_map_lookup_and_delete_elem(queue_fd, NULL, &value))
		;
}

/* The same for a hash map with keys of @key_bytes, at most 16. */
void kvmlog_bpf_clear(int map_fd, __u32 key_bytes)
{
	__u8 key[16];

	if (key_bytes > sizeof(key))
		return;
	while (!bpf_map_get_next_key(map_fd, NULL, key))
		if (bpf_map_delete_elem(map_fd, key))
			return;
}

/* Adds one process to map kvmlog_tgids. */
int kvmlog_bpf_add_tgid(int map_fd, __u32 config, __u32 tgid)
{
	struct kvmlog_bpf_tgid key = { .config = config, .tgid = tgid };
	__u8 yes = 1;

	return bpf_map_update_elem(map_fd, &key, &yes, BPF_ANY) ? -errno : 0;
}

/* Takes away all of one configuration. */
void kvmlog_bpf_drop_tgids(int map_fd, __u32 config)
{
	struct kvmlog_bpf_tgid keys[KVMLOG_BPF_TGIDS], key;
	int count = 0;
	int rc = bpf_map_get_next_key(map_fd, NULL, &key);

	while (!rc && count < KVMLOG_BPF_TGIDS) {
		keys[count++] = key;
		rc = bpf_map_get_next_key(map_fd, &key, &key);
	}
	for (int i = 0; i < count; i++)
		if (keys[i].config == config)
			bpf_map_delete_elem(map_fd, &keys[i]);
}
