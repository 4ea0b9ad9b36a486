// SPDX-License-Identifier: GPL-2.0-or-later
/* The process's handler of SIGBUS, and what it needs to know of the mappings. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault/fault.h"

enum {
	/* Two for a bridge, two more while it moves to new files; tests have some at once. */
	KVMLOG_WATCHED = 32,
	KVMLOG_SENTENCE_BYTES = 512,
};

struct watched {
	const void *start; /* NULL: free */
	__u64 bytes;
	char sentence[KVMLOG_SENTENCE_BYTES];
};

struct guard {
	const void *start;
	__u64 bytes;
	struct guard *outer;
	sigjmp_buf back;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* covers changes of watched[] */
static struct watched watched[KVMLOG_WATCHED];
static struct sigaction before;
/* Static storage for each thread: a handler must not be the first to ask for it. */
static __thread struct guard *innermost __attribute__((tls_model("initial-exec")));

static int is_within(const void *at, const void *start, __u64 bytes)
{
	return start && at >= start && (const char *)at < (const char *)start + bytes;
}

/* The default action, which ends the process. */
static void give_up(int number, int faults_again)
{
	struct sigaction action = { 0 };

	action.sa_handler = SIG_DFL;
	sigaction(number, &action, NULL);
	if (!faults_again)
		raise(number);
}

/*
 * Not one of ours: whoever handled it before, or the default. A fault comes again at once; a
 * signal that somebody sent does not, and has to be raised again.
 */
static void pass_on(int number, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(number, info, context);
	else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
		before.sa_handler(number);
	else if (before.sa_handler == SIG_DFL || info->si_code > 0)
		give_up(number, info->si_code > 0);
}

static void handle(int number, siginfo_t *info, void *context)
{
	struct guard *guard = innermost;

	/* Sent by somebody (SI_USER) it has no address. */
	if (info->si_code > 0) {
		if (guard && is_within(info->si_addr, guard->start, guard->bytes))
			siglongjmp(guard->back, 1);
		for (int i = 0; i < KVMLOG_WATCHED; i++) {
			const void *start = __atomic_load_n(&watched[i].start, __ATOMIC_ACQUIRE);
			const char *sentence = watched[i].sentence;

			if (!is_within(info->si_addr, start, watched[i].bytes))
				continue;
			/* Whether or not anybody reads it. */
			(void)!write(STDERR_FILENO, sentence, strlen(sentence));
			_exit(KVMLOG_EXIT_FILE_CUT);
		}
	}
	pass_on(number, info, context);
}

static void install(void)
{
	struct sigaction action = { 0 };

	action.sa_sigaction = handle;
	/* Not blocked meanwhile: siglongjmp() need not restore the mask, which is a system call. */
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
	sigaction(SIGBUS, &action, &before);
}

int kvmlog_fault_guard(const void *start, __u64 bytes, int (*run)(void *argument), void *argument)
{
	struct guard guard = { .start = start, .bytes = bytes, .outer = innermost };
	int rc;

	pthread_once(&once, install);
	if (sigsetjmp(guard.back, 0)) {
		innermost = guard.outer;
		return -ERANGE;
	}
	innermost = &guard;
	rc = run(argument);
	innermost = guard.outer;
	return rc;
}

static void describe(struct watched *entry, int fd)
{
	char link[32], path[256];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = '\0';
	/* Files are made under another name. */
	if (length > 4 && !strcmp(path + length - 4, ".new"))
		path[length - 4] = '\0';
	snprintf(entry->sentence, sizeof(entry->sentence),
		 "kvmlog bridge: %s: was cut short by somebody else while it was written; ending: "
		 "start the bridge again (its service does), which makes a new one\n",
		 length < 0 ? "a file of the ring" : path);
}

void kvmlog_fault_watch(const void *start, __u64 bytes, int fd)
{
	pthread_once(&once, install);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < KVMLOG_WATCHED; i++) {
		if (watched[i].start)
			continue;
		watched[i].bytes = bytes;
		describe(&watched[i], fd);
		__atomic_store_n(&watched[i].start, start, __ATOMIC_RELEASE);
		break;
	}
	pthread_mutex_unlock(&lock);
}

void kvmlog_fault_unwatch(const void *start)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < KVMLOG_WATCHED; i++)
		if (watched[i].start == start)
			__atomic_store_n(&watched[i].start, NULL, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}
