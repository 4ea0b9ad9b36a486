// SPDX-License-Identifier: GPL-2.0-or-later
/* Making maps, loading compiled programs into the kernel, attaching and asking them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <bpf/bpf.h>

#include "api.h"

enum {
	/* Where the kernel offers no barrier: far longer than a program runs. */
	KVMLOG_BPF_QUIESCE_MS = 100,
	KVMLOG_BPF_PERF_OPEN_CLOEXEC = 8,
};

/* Makes a map: its descriptor, or -errno. @kind: enum kvmlog_bpf_map_kind. */
int kvmlog_bpf_map(const char *name, int kind, __u32 key_bytes, __u32 value_bytes, __u32 elements)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	enum bpf_map_type type = BPF_MAP_TYPE_HASH;
	int fd;

	if (kind == KVMLOG_BPF_ARRAY) {
		type = BPF_MAP_TYPE_ARRAY;
		options.map_flags = BPF_F_MMAPABLE;
	}
	if (kind == KVMLOG_BPF_QUEUE)
		type = BPF_MAP_TYPE_QUEUE;
	fd = bpf_map_create(type, name, key_bytes, value_bytes, elements, &options);
	return fd < 0 ? -errno : fd;
}

/* A descriptor for the BTF of a loaded module ("kvm"). -ENOENT: it has none. */
static int module_btf_fd(const char *module)
{
	__u32 id = 0;

	while (!bpf_btf_get_next_id(id, &id)) {
		char name[64] = "";
		struct bpf_btf_info info = { .name = (__u64)(unsigned long)name,
					     .name_len = sizeof(name) };
		__u32 bytes = sizeof(info);
		int fd = bpf_btf_get_fd_by_id(id);

		if (fd < 0)
			continue; /* it went meanwhile */
		if (!bpf_obj_get_info_by_fd(fd, &info, &bytes) && info.kernel_btf &&
		    !strcmp(name, module))
			return fd;
		close(fd);
	}
	return -errno; /* ENOENT at the end of the list */
}

/*
 * Loads a program: its descriptor, or -errno with the verifier's words in @log.
 * @kind: enum kvmlog_bpf_kind. @type_id: of its tracepoint, for KVMLOG_BPF_TYPED; in
 * the BTF of @module, NULL for the kernel's own.
 */
int kvmlog_bpf_load(const char *name, int kind, const void *instructions, __u64 bytes,
		    __u32 type_id, const char *module, char *log, __u64 log_bytes)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options);
	enum bpf_prog_type type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	int btf_fd = -1;
	int error, fd;

	if (kind == KVMLOG_BPF_EVENT)
		type = BPF_PROG_TYPE_TRACEPOINT;
	if (kind == KVMLOG_BPF_TYPED) {
		type = BPF_PROG_TYPE_TRACING;
		options.expected_attach_type = BPF_TRACE_RAW_TP;
		options.attach_btf_id = type_id;
		if (module) {
			btf_fd = module_btf_fd(module);
			if (btf_fd < 0)
				return btf_fd;
			options.attach_btf_obj_fd = (__u32)btf_fd;
		}
	}
	fd = bpf_prog_load(type, name, "GPL", instructions, bytes / sizeof(struct bpf_insn),
			   &options);
	error = fd < 0 ? -errno : 0;
	if (fd < 0 && log) {
		/* Again, for the reason in words. */
		options.log_buf = log;
		options.log_size = (__u32)log_bytes;
		options.log_level = 1;
		fd = bpf_prog_load(type, name, "GPL", instructions, bytes / sizeof(struct bpf_insn),
				   &options);
	}
	fd = fd < 0 ? error : fd;
	if (btf_fd >= 0)
		close(btf_fd);
	return fd;
}

/* Attaches to a tracepoint (@name NULL: the one it was loaded for). Closing it detaches. */
int kvmlog_bpf_attach(int program, const char *name)
{
	int fd = bpf_raw_tracepoint_open(name, program);

	return fd < 0 ? -errno : fd;
}

/*
 * Attaches to the event of that id in tracefs. One event is enough for all CPUs: a
 * program stands before the events' own list. Closing it detaches.
 */
int kvmlog_bpf_attach_event(int program, __u64 id)
{
	struct perf_event_attr attribute = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attribute),
		.config = id,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attribute, -1, 0, -1,
			      KVMLOG_BPF_PERF_OPEN_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

/* How often the kernel left the program out because it was running on that CPU already. */
__s64 kvmlog_bpf_misses(int program)
{
	struct bpf_prog_info info = { 0 };
	__u32 bytes = sizeof(info);

	return bpf_obj_get_info_by_fd(program, &info, &bytes) ? -errno
							      : (__s64)info.recursion_misses;
}

/* While the descriptor is open the kernel counts the run times of all programs. */
int kvmlog_bpf_enable_stats(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

/* CPU time of a program so far, as far as the kernel was counting it. */
int kvmlog_bpf_run_time(int program, __u64 *ns)
{
	struct bpf_prog_info info = { 0 };
	__u32 bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &bytes))
		return -errno;
	*ns = info.run_time_ns;
	return 0;
}

/* Returns when no program runs any more that was running when this was called. */
void kvmlog_bpf_quiesce(void)
{
	struct timespec pause = { .tv_nsec = KVMLOG_BPF_QUIESCE_MS * 1000000L };

	/*
	 * A grace period of RCU, under which programs run. With one CPU online the call returns at
	 * once, though programs can be preempted.
	 */
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 &&
	    !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return;
	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}
