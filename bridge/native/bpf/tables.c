// SPDX-License-Identifier: GPL-2.0-or-later
/* Queues and hash tables of the programs, which are not mapped: system calls change them. */
#include <errno.h>
#include <bpf/bpf.h>

#include "api.h"

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
