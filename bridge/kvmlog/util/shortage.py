# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process ran out of, and which limit to raise: descriptors, memory, threads."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from typing import Final

# What the dynamic loader and the interpreter say; neither gives a number.
_UNMAPPED: Final = ("failed to map", "cannot allocate memory", "cannot map")
_NO_THREAD: Final = "can't start new thread"
_MIB: Final = 1 << 20


def shortage(error: BaseException) -> str | None:
    """Return the sentence for an error that came of a limit of this process or machine.

    Also for one that such an error was turned into; None for any other.
    """
    for cause in _chain(error):
        if isinstance(cause, MemoryError):
            return _memory()
        if isinstance(cause, OSError):
            if cause.errno == errno.EMFILE:
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
                return (
                    f"too few file descriptors: this process may have {most} open; raise the limit "
                    "(ulimit -n, or LimitNOFILE= of the unit)"
                )
            if cause.errno == errno.ENFILE:
                return "too many files are open on this machine; raise the sysctl fs.file-max"
            if cause.errno == errno.ENOMEM:
                return _memory()
        if isinstance(cause, ImportError) and any(word in str(cause) for word in _UNMAPPED):
            return _memory()
        if isinstance(cause, RuntimeError) and _NO_THREAD in str(cause):
            most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
            shown = "as many threads as there can be" if most < 0 else f"{most} threads"
            return (
                f"no thread could be started: this user may have {shown}; raise the limit of "
                "threads (ulimit -u, TasksMax= of the unit) or of memory (ulimit -v)"
            )
    return None


def _memory() -> str:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    limit = f"this process may have {most // _MIB} MiB of address space" if most > 0 else ""
    return (
        f"too little memory{f': {limit}' if limit else ''}; raise the limit (ulimit -v, or "
        "LimitAS= and MemoryMax= of the unit) or free some"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those that it came of."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
