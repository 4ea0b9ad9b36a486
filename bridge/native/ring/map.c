// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps a ring file whose geometry the caller has checked. */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault/fault.h"
#include "ring/ring.h"

/* -ERANGE: the file is shorter than its header says. */
int kvmlog_ring_map(struct kvmlog_ring *ring, int fd, __u64 capacity, __u64 record_bytes,
		    int writable)
{
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *map;
	int rc;

	if (!capacity || (capacity & (capacity - 1)) || capacity > KVMLOG_RING_MAX_SLOTS ||
	    !record_bytes || record_bytes > KVMLOG_RING_HEADER_BYTES)
		return -EINVAL;

	ring->fd = fd;
	ring->capacity = capacity;
	ring->record_bytes = record_bytes;
	ring->map_bytes = KVMLOG_RING_HEADER_BYTES + capacity * record_bytes;
	rc = kvmlog_ring_whole(ring);
	if (rc)
		return rc;

	map = mmap(NULL, ring->map_bytes, protection, MAP_SHARED | (writable ? MAP_POPULATE : 0),
		   fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (writable)
		kvmlog_fault_watch(map, ring->map_bytes, fd);
	ring->header = map;
	ring->slots = (__u8 *)map + KVMLOG_RING_HEADER_BYTES;
	return 0;
}

void kvmlog_ring_unmap(struct kvmlog_ring *ring)
{
	if (ring->header) {
		kvmlog_fault_unwatch(ring->header);
		munmap(ring->header, ring->map_bytes);
	}
	ring->header = NULL;
	ring->slots = NULL;
}

/*
 * Whether the file still holds all that is mapped. Nothing in kvmlog cuts a ring (it renames
 * a new one over it); a file that a foreign hand cuts after this is the guard's business.
 */
int kvmlog_ring_whole(const struct kvmlog_ring *ring)
{
	struct stat st;

	if (fstat(ring->fd, &st))
		return -errno;
	return (__u64)st.st_size < ring->map_bytes ? -ERANGE : 0;
}

/* -ERANGE: the file was cut short before or while @run, which reads it (fault/fault.h). */
int kvmlog_ring_guarded(const struct kvmlog_ring *ring, int (*run)(void *argument), void *argument)
{
	int rc = kvmlog_ring_whole(ring);

	return rc ? rc : kvmlog_fault_guard(ring->header, ring->map_bytes, run, argument);
}
