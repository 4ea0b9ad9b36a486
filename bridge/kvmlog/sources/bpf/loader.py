# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: has the child process compile and load a plan, and takes over the descriptors.

LLVM stays in the child: it needs 160 MB, and none of it is ever needed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.sources.bpf.plan import Plan
from kvmlog.util.errors import SourceError
from kvmlog.util.log import log

COMPILE_LIMIT_S: Final = 120.0  # seconds natively, half a minute in emulation
_ANSWER_BYTES: Final = 1 << 16
_MOST_FDS: Final = 64
_LOGGED_LINES: Final = 12


@dataclass
class Loaded:
    """Open descriptors, this process's own; close() gives them back."""

    maps: dict[str, int]
    programs: dict[str, int]
    headers: str
    compile_s: float
    load_s: float

    def close(self) -> None:
        """Close the descriptors; the kernel frees what nobody else holds."""
        for fd in (*self.maps.values(), *self.programs.values()):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.maps.clear()
        self.programs.clear()


def compile_plan(plan: Plan) -> Loaded:
    """Load maps and programs of the plan into the kernel; SourceError with the remedy."""
    request = {
        "macros": plan.macros,
        "programs": [dataclasses.asdict(program) for program in plan.programs],
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "kvmlog.sources.bpf.compiler", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                # It finds kvmlog where this process did, which need not be Python's own path.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        try:
            _, errors = child.communicate(json.dumps(request).encode(), COMPILE_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"compiling the BPF programs took more than {COMPILE_LIMIT_S:.0f} s; "
                "is this machine overloaded? Try again, or use --source kmod"
            ) from None
        finally:
            child.kill()
            child.wait()
        ours.setblocking(False)
        try:
            data, fds, _, _ = socket.recv_fds(ours, _ANSWER_BYTES, _MOST_FDS)
        except BlockingIOError:
            data, fds = b"", []
    for fd in fds:
        os.set_inheritable(fd, False)
    return _parse(data, fds, child.returncode, errors.decode(errors="replace"))


def _parse(data: bytes, fds: list[int], status: int, errors: str) -> Loaded:
    sentence = f"the BPF compiler ended with {status}; the bridge's log says why"
    answer: dict[str, Any] = json.loads(data) if data else {"error": sentence}
    if "error" in answer:
        for fd in fds:
            os.close(fd)
        for line in errors.strip().splitlines()[-_LOGGED_LINES:]:
            log(f"compiler: {line}")
        raise SourceError(answer["error"])
    count = len(answer["maps"])
    return Loaded(
        dict(zip(answer["maps"], fds[:count], strict=True)),
        dict(zip(answer["programs"], fds[count:], strict=True)),
        answer["headers"],
        answer["compile_s"],
        answer["load_s"],
    )
