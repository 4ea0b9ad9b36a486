# SPDX-License-Identifier: GPL-2.0-or-later
"""The child process that holds LLVM: compiles, answers, ends.

    python -m kvmlog.sources.bpf.compiler     {"macros": ..., "functions": [...]} on stdin

The answer goes to stdout: compiled programs as a file has them, under an empty key, or a line
"error: " with a sentence. What clang says goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Any, Final

from kvmlog.sources.bpf.compiled import ERROR, MAPS, Compiled, detached
from kvmlog.sources.bpf.program_text import (
    COMPILER_FLAGS,
    include_flags,
    kernel_folder,
    program_text,
)
from kvmlog.util.errors import SourceError

# bcc takes the kernel's headers from there.
_VARIABLE: Final = "BCC_KERNEL_SOURCE"


def compile_text(macros: dict[str, int]) -> Any:
    """Compile the text; return bcc's module, with maps that nobody uses."""
    try:
        from bcc import BPF
    except ImportError as error:
        raise SourceError(
            f"bcc cannot be imported ({error}); install python3-bpfcc (and give a virtual "
            "environment the system's packages: python3 -m venv --system-site-packages), or put "
            "here what kvmlog bpf build makes on a host like this one"
        ) from None
    os.environ[_VARIABLE] = str(kernel_folder())
    flags = [f"-D{name}={value}" for name, value in macros.items()] + include_flags()
    try:
        return BPF(text=program_text(), cflags=[*flags, *COMPILER_FLAGS])
    except Exception as error:  # noqa: BLE001 - bcc raises bare ones
        raise SourceError(f"the BPF programs cannot be compiled: {error}") from None


def compile_programs(macros: dict[str, int], functions: list[str]) -> Compiled:
    """Return these functions of the text, compiled with these macros."""
    module = compile_text(macros)
    from bcc import __version__

    fds = {name: int(module[name].map_fd) for name in MAPS}
    return Compiled(
        {name: detached(module.dump_func(name.encode()), fds) for name in functions},
        f"bcc {__version__}",
    )


def main() -> int:
    """0 when an answer was written, an error too."""
    # Nobody wants it any more when the bridge is killed (PR_SET_PDEATHSIG, linux/prctl.h).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    wanted = json.load(sys.stdin)
    # Only the answer goes to stdout, whatever libraries print.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        data = compile_programs(wanted["macros"], wanted["functions"]).to_bytes("")
    except SourceError as error:
        data = ERROR + str(error).encode()
    with open(answer, "wb") as out:
        out.write(data)
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # bcc takes its time to take itself apart.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
