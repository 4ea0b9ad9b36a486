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
