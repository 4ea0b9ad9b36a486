// SPDX-License-Identifier: GPL-2.0-or-later
/* The maps that programs and engine share (bridge/bpf/shared.h), as this process has them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/maps.h"

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

static __u64 slots_bytes(const struct kvmlog_bpf_maps *maps)
{
	return (__u64)maps->slot_count * sizeof(struct kvmlog_bpf_slot);
}

/* Of one CPU's part of the records' map. */
static __u64 part_bytes(void)
{
	return (__u64)KVMLOG_BPF_CPU_RECORDS * KVMLOG_RECORD_BYTES;
}

/* Where parts are no whole pages they cannot be mapped apart. */
static int parts_are_pages(void)
{
	return part_bytes() == whole_pages(part_bytes());
}

/*
 * NULL with errno set. The descriptors stay the caller's. @count: possible CPUs. Without
 * records, until there are some.
 */
struct kvmlog_bpf_maps *kvmlog_bpf_maps_new(int control_fd, int cpus_fd, __u32 count, int slots_fd,
					    __u32 slot_count)
{
	struct kvmlog_bpf_maps *maps = calloc(1, sizeof(*maps));
	int error;

	if (!maps)
		return NULL;
	maps->count = count;
	maps->control = map(control_fd, sizeof(*maps->control));
	maps->cpus = map(cpus_fd, count * sizeof(*maps->cpus));
	maps->slot_count = slot_count;
	maps->records_fd = -1;
	maps->parts = calloc(count, sizeof(*maps->parts));
	maps->slots = map(slots_fd, slots_bytes(maps));
	if (maps->control && maps->cpus && maps->slots && maps->parts)
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
	if (maps->cpus && maps->parts)
		kvmlog_bpf_records(maps, -1);
	free(maps->parts);
	unmap(maps->cpus, maps->count * sizeof(*maps->cpus));
	unmap(maps->control, sizeof(*maps->control));
	unmap(maps->slots, slots_bytes(maps));
	free(maps);
}

/*
 * Takes the records from this map from now on; @fd -1: from none. The map before is left, and
 * what stood in it. -errno: it cannot be mapped. Nobody else looks at them meanwhile.
 */
int kvmlog_bpf_records(struct kvmlog_bpf_maps *maps, int fd)
{
	unmap(maps->records, maps->count * part_bytes());
	maps->records = NULL;
	for (__u32 i = 0; i < maps->count; i++) {
		unmap(maps->parts[i], part_bytes());
		maps->parts[i] = NULL;
		/* What stood in the map before does not stand in the next one. */
		maps->cpus[i].tail = __atomic_load_n(&maps->cpus[i].head, __ATOMIC_ACQUIRE);
	}
	maps->records_fd = fd;
	if (fd < 0 || parts_are_pages())
		return 0;
	maps->records = map(fd, maps->count * part_bytes());
	return maps->records ? 0 : -errno;
}

/*
 * One CPU's records; NULL: there are none, or no memory. Mapped when they are first asked for: what
 * is mapped is resident, and a host may have hundreds of CPUs that never come.
 */
const struct kvmlog_record *kvmlog_bpf_part(struct kvmlog_bpf_maps *maps, __u32 number)
{
	void *at;

	if (maps->records)
		return maps->records + (__u64)number * KVMLOG_BPF_CPU_RECORDS;
	if (!maps->parts[number] && maps->records_fd >= 0) {
		at = mmap(NULL, part_bytes(), PROT_READ, MAP_SHARED, maps->records_fd,
			  (off_t)(number * part_bytes()));
		if (at != MAP_FAILED)
			maps->parts[number] = at;
	}
	return maps->parts[number];
}
