# SPDX-License-Identifier: GPL-2.0-or-later
"""The child process that holds LLVM: compiles, loads, hands the descriptors over, ends.

    python -m kvmlog.sources.bpf.compiler FD     a Plan as JSON on stdin, the answer to socket FD

The answer is one JSON object with the descriptors of maps and programs beside it (SCM_RIGHTS), in
the order of its lists `maps` and `programs`; or {"error": sentence}. What clang says goes to
stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.sources.bpf.headers import VARIABLE, find_headers, header_tree
from kvmlog.sources.bpf.program_text import include_flags, program_text
from kvmlog.util.errors import SourceError

MAPS: Final = (
    "kvmlog_control",
    "kvmlog_cpus",
    "kvmlog_records",
    "kvmlog_slots",
    "kvmlog_threads",
    "kvmlog_free",
    "kvmlog_guests",
    "kvmlog_tgids",
)
_LOG_BYTES: Final = 1 << 20
# What the verifier says under lockdown, where securityfs may not be mounted to tell.
_LOCKED: Final = re.compile("(cannot use helper|unknown func) bpf_probe_read")
LOCKDOWN: Final = (
    "kernel lockdown (confidentiality) forbids BPF to read the kernel's memory; boot with "
    "lockdown=integrity, or use --source kmod with a signed module"
)


def compile_text(macros: dict[str, int], tree: Path | None) -> Any:
    """Compile the text; return bcc's module, with its maps made."""
    try:
        from bcc import BPF
    except ImportError as error:
        raise SourceError(
            f"bcc cannot be imported ({error}); install python3-bpfcc, and give a virtual "
            "environment the system's packages (python3 -m venv --system-site-packages)"
        ) from None
    if tree is not None:
        os.environ[VARIABLE] = str(tree)
    else:
        os.environ.pop(VARIABLE, None)
    flags = [f"-D{name}={value}" for name, value in macros.items()] + include_flags()
    flags.append("-Wno-ignored-attributes")  # of the kernel's headers
    try:
        return BPF(text=program_text(), cflags=flags)
    except Exception as error:  # noqa: BLE001 - bcc raises bare ones
        raise SourceError(f"the BPF programs cannot be compiled: {error}") from None


def load(code: bytes, program: dict[str, Any]) -> int:
    """Load a program; return its descriptor. SourceError, and the verifier's words on stderr."""
    log = ffi.new("char[]", _LOG_BYTES)
    module = program["module"]
    fd = lib.kvmlog_bpf_load(
        program["function"].encode()[:15],
        program["kind"],
        ffi.from_buffer(code),
        len(code),
        program["type_id"],
        ffi.NULL if module is None else ffi.new("char[]", module.encode()),
        log,
        _LOG_BYTES,
    )
    if fd >= 0:
        return int(fd)
    words = ffi.string(log).decode(errors="replace")
    if _LOCKED.search(words):
        raise SourceError(LOCKDOWN)
    print(words, file=sys.stderr)
    raise SourceError(
        f"the kernel refuses the BPF program {program['function']} ({os.strerror(-fd)}); use "
        "--source kmod, and report what the bridge's log says"
    )


def compile_and_load(plan: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Return the answer and the descriptors that go with it."""
    begin = time.monotonic()
    headers = find_headers()
    with header_tree(headers) as tree:
        module = compile_text(plan["macros"], tree)
    compiled = time.monotonic()
    fds = [module[name].map_fd for name in MAPS]
    fds += [load(module.dump_func(p["function"].encode()), p) for p in plan["programs"]]
    answer = {
        "maps": list(MAPS),
        "programs": [program["function"] for program in plan["programs"]],
        "headers": headers.words,
        "compile_s": compiled - begin,
        "load_s": time.monotonic() - compiled,
    }
    return answer, fds


def main() -> int:
    """0 when an answer was sent, an error too."""
    # Nobody wants it any more when the bridge is killed (PR_SET_PDEATHSIG, linux/prctl.h).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    plan = json.load(sys.stdin)
    fds: list[int] = []
    try:
        answer, fds = compile_and_load(plan)
    except SourceError as error:
        answer = {"error": str(error)}
    with socket.socket(fileno=int(sys.argv[1])) as link:
        socket.send_fds(link, [json.dumps(answer).encode()], fds)
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # bcc takes its time to take itself apart.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
