// SPDX-License-Identifier: GPL-2.0-or-later
/* Where everything stands in a statistics file of a given size, and its mapping. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault/fault.h"
#include "statistics/map.h"

_Static_assert(sizeof(struct kvmlog_statistics_key) == 24, "key");
_Static_assert(sizeof(struct kvmlog_statistics_sums) == 72, "sums");
_Static_assert(sizeof(struct kvmlog_statistics_reason) == 256, "reason");
_Static_assert(sizeof(struct kvmlog_statistics_block) == 256, "block");
_Static_assert(sizeof(struct kvmlog_statistics_row) == 408, "row");
_Static_assert(sizeof(struct kvmlog_statistics_guest) == 128, "guest");
_Static_assert(sizeof(struct kvmlog_statistics_header) <= KVMLOG_STATISTICS_HEADER_BYTES, "header");

/*
 * Fills in offsets and capacities for a file of @bytes. A guest has 32 KiB, so 2,048
 * of them 64 MiB; of the rest an eighth is for reasons, three eighths for their
 * histograms (each takes as many blocks as octaves are in use: some ten), and half
 * for the rows of vCPUs, details and returns.
 */
int kvmlog_statistics_layout(__u64 bytes, struct kvmlog_statistics_header *layout)
{
	__u64 mib = bytes >> 20;
	__u64 left;

	if (bytes & ((1 << 20) - 1) || mib < KVMLOG_STATISTICS_MIN_MIB ||
	    mib > KVMLOG_STATISTICS_MAX_MIB)
		return -EINVAL;
	layout->file_bytes = bytes;
	layout->guests_capacity = (__u32)(bytes / 32768);
	layout->guests_offset = KVMLOG_STATISTICS_HEADER_BYTES;
	layout->reasons_offset = layout->guests_offset +
				 layout->guests_capacity * sizeof(struct kvmlog_statistics_guest);
	left = bytes - layout->reasons_offset;
	layout->reasons_capacity = (__u32)(left / 8 / sizeof(struct kvmlog_statistics_reason));
	layout->blocks_offset = layout->reasons_offset +
				layout->reasons_capacity * sizeof(struct kvmlog_statistics_reason);
	layout->blocks_capacity = (__u32)(left * 3 / 8 / sizeof(struct kvmlog_statistics_block));
	layout->rows_offset = layout->blocks_offset +
			      layout->blocks_capacity * sizeof(struct kvmlog_statistics_block);
	layout->rows_capacity =
		(__u32)((bytes - layout->rows_offset) / sizeof(struct kvmlog_statistics_row));
	return 0;
}

void kvmlog_statistics_place(struct kvmlog_statistics_map *map, void *base)
{
	__u8 *at = base;

	map->header = base;
	map->guests = (void *)(at + map->layout.guests_offset);
	map->reasons = (void *)(at + map->layout.reasons_offset);
	map->blocks = (void *)(at + map->layout.blocks_offset);
	map->rows = (void *)(at + map->layout.rows_offset);
}

/* Whether the file still holds all that is mapped; see kvmlog_ring_whole(). */
int kvmlog_statistics_whole(const struct kvmlog_statistics_map *map)
{
	struct stat st;

	if (map->fd < 0)
		return 0;
	if (fstat(map->fd, &st))
		return -errno;
	return (__u64)st.st_size < map->layout.file_bytes ? -ERANGE : 0;
}

/* -ERANGE: the file was cut short before or while @run, which reads it (fault/fault.h). */
int kvmlog_statistics_guarded(const struct kvmlog_statistics_map *map, int (*run)(void *argument),
			      void *argument)
{
	int rc = kvmlog_statistics_whole(map);

	return rc ? rc : kvmlog_fault_guard(map->header, map->layout.file_bytes, run, argument);
}

/* What the file says of itself is not believed: it may have changed since it was opened. */
void kvmlog_statistics_restore_layout(struct kvmlog_statistics_header *header,
				      const struct kvmlog_statistics_header *layout)
{
	header->file_bytes = layout->file_bytes;
	header->guests_capacity = layout->guests_capacity;
	header->reasons_capacity = layout->reasons_capacity;
	header->blocks_capacity = layout->blocks_capacity;
	header->rows_capacity = layout->rows_capacity;
}

/* A file of @bytes whose header the caller has checked; NULL with errno set. */
struct kvmlog_statistics_map *kvmlog_statistics_open(int fd, __u64 bytes, int writable)
{
	struct kvmlog_statistics_map *map = calloc(1, sizeof(*map));
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *base;
	int rc;

	if (!map)
		return NULL;
	map->fd = fd;
	rc = kvmlog_statistics_layout(bytes, &map->layout);
	if (!rc)
		rc = kvmlog_statistics_whole(map);
	if (rc) {
		errno = -rc;
		goto err_map;
	}
	base = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		goto err_map;
	if (writable)
		kvmlog_fault_watch(base, bytes, fd);
	kvmlog_statistics_place(map, base);
	return map;

err_map:
	free(map);
	return NULL;
}

/* The same in memory, empty, for a copy or a tally; NULL: no memory. */
struct kvmlog_statistics_map *
kvmlog_statistics_in_memory(const struct kvmlog_statistics_header *layout)
{
	struct kvmlog_statistics_map *map = calloc(1, sizeof(*map));
	void *base;

	if (!map)
		return NULL;
	base = mmap(NULL, layout->file_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED) {
		free(map);
		return NULL;
	}
	/* It is written at once, and thousands of page faults take longer than the copying. */
	madvise(base, layout->file_bytes, MADV_HUGEPAGE);
	map->layout = *layout;
	map->fd = -1;
	kvmlog_statistics_place(map, base);
	return map;
}

void kvmlog_statistics_close(struct kvmlog_statistics_map *map)
{
	if (!map)
		return;
	kvmlog_fault_unwatch(map->header);
	munmap(map->header, map->layout.file_bytes);
	free(map);
}
