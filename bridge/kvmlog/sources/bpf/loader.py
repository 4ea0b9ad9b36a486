# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: programs of a plan, from the cache or the compiler, and maps, in the kernel.

LLVM stays in a child process: it needs 160 MB, and none of it is ever needed again. Where the cache
has the programs it is not needed at all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kvmlog.native import ffi, lib
from kvmlog.sources.bpf.cache import Cache, compiled_for
from kvmlog.sources.bpf.compiled import ERROR, MAPS, Compiled, DamagedError, attached
from kvmlog.sources.bpf.plan import Plan, Program, possible_cpus
from kvmlog.util.errors import SourceError
from kvmlog.util.log import log

COMPILE_LIMIT_S: Final = 120.0  # seconds natively, half a minute in emulation
_LOGGED_LINES: Final = 12
_LOG_BYTES: Final = 1 << 20
# What the verifier says under lockdown, where securityfs may not be mounted to tell.
_LOCKED: Final = re.compile("(cannot use helper|unknown func) bpf_probe_read")
LOCKDOWN: Final = (
    "kernel lockdown (confidentiality) forbids BPF to read the kernel's memory; boot with "
    "lockdown=integrity, or use --source kmod with a signed module"
)
# There while programs are: the greatest of all, one part for each possible CPU.
RECORDS: Final = "kvmlog_records"
# A vCPU may have been run by a thread that has not ended yet.
_SLOTS_PER_VCPU: Final = 2


class Loaded:
    """Maps and programs in the kernel: descriptors, this process's own.

    Maps are there until close(); the programs, and the map of records to which they refer, between
    load() and unload(). max_vcpus: for how many there is room; cpus: possible CPUs.
    """

    def __init__(
        self, plan: Plan, compiled: Compiled, max_vcpus: int, cpus: int | None = None
    ) -> None:
        self.cpus = possible_cpus() if cpus is None else cpus
        self.slots = _SLOTS_PER_VCPU * max_vcpus
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}
        self._plan = plan
        self._compiled = compiled
        self._sizes = _sizes(self.cpus, self.slots, max_vcpus)
        try:
            for name in MAPS:
                if name != RECORDS:
                    self.maps[name] = self._make(name, self._sizes[name][-1])
        except SourceError:
            self.close()
            raise

    def load(self) -> None:
        """Make the map of records and load all programs, unless they are there.

        SourceError with the remedy.
        """
        if self.programs:
            return
        self._load(self._sizes[RECORDS][-1])

    def check(self) -> None:
        """Have the kernel check the programs, of which nothing stays."""
        self._load(1)
        self.unload()

    def unload(self) -> None:
        """Let programs and records go; a second call does nothing."""
        for fd in self.programs.values():
            _close(fd)
        self.programs.clear()
        if RECORDS in self.maps:
            _close(self.maps.pop(RECORDS))

    def close(self) -> None:
        """Close all descriptors; the kernel frees what nobody else holds."""
        self.unload()
        for fd in self.maps.values():
            _close(fd)
        self.maps.clear()

    def _load(self, elements: int) -> None:
        self.maps[RECORDS] = self._make(RECORDS, elements)
        try:
            for program in self._plan.programs:
                code = attached(self._compiled.programs[program.function], self.maps)
                self.programs[program.function] = load(code, program)
        except SourceError:
            self.unload()
            raise

    def _make(self, name: str, elements: int) -> int:
        kind, key_bytes, value_bytes, _ = self._sizes[name]
        # A name in the kernel has 15 characters.
        fd = int(
            lib.kvmlog_bpf_map(name.encode()[:15], kind, key_bytes, value_bytes, elements),
        )
        if fd < 0:
            raise SourceError(
                f"the BPF map {name} of {elements} elements cannot be made ({os.strerror(-fd)}); "
                "is there memory left? It is tried again"
            )
        return fd


def make_loaded(plan: Plan, cache: Cache, max_vcpus: int) -> tuple[Loaded, str]:
    """Bring the plan's maps into the kernel, and have its programs checked there.

    Returns them, and how that was done in words. SourceError with the remedy.
    """

    def compiler(wanted: Plan) -> Compiled:
        log(f"compiling the BPF programs ({wanted.words})")
        return compile_plan(wanted)

    begin = time.monotonic()
    compiled, kept, said = compiled_for(plan, cache, installed_compiler(), compiler)
    for sentence in said:
        log(f"BPF: {sentence}")
    ready = time.monotonic()
    loaded = Loaded(plan, compiled, max_vcpus)
    try:
        loaded.check()
    except SourceError:
        loaded.close()
        raise
    took = f"checked by the kernel in {time.monotonic() - ready:.2f} s"
    if kept:
        return loaded, f"compiled before, by {compiled.compiler}, {took}"
    return loaded, f"compiled in {ready - begin:.1f} s by {compiled.compiler}, {took}"


def installed_compiler() -> str | None:
    """Return "bcc 0.26.0", without loading it; None where there is none."""
    try:
        found = importlib.util.find_spec("bcc")
    except (ImportError, ValueError):
        return None
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        with contextlib.suppress(OSError, ValueError):
            text = Path(folder, "version.py").read_text(encoding="utf-8")
            version = re.search(r"""__version__\s*=\s*["']([^"']+)["']""", text)
            if version is not None:
                return f"bcc {version[1]}"
    return None


def compile_plan(plan: Plan) -> Compiled:
    """Compile the plan's programs, in a child process; SourceError with the remedy."""
    wanted = {
        "macros": plan.macros,
        "functions": [program.function for program in plan.programs],
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "kvmlog.sources.bpf.compiler"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # It finds kvmlog where this process did, which need not be Python's own path.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as child:
        try:
            answer, errors = child.communicate(json.dumps(wanted).encode(), COMPILE_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"compiling the BPF programs took more than {COMPILE_LIMIT_S:.0f} s; "
                "is this machine overloaded? Try again, or use --source kmod"
            ) from None
        finally:
            child.kill()
    try:
        if not answer.startswith(ERROR):
            return Compiled.from_bytes(answer, "")
        sentence = answer[len(ERROR) :].decode(errors="replace")
    except DamagedError:
        sentence = f"the BPF compiler ended with {child.returncode}; the bridge's log says why"
    for line in errors.decode(errors="replace").strip().splitlines()[-_LOGGED_LINES:]:
        log(f"compiler: {line}")
    raise SourceError(sentence)


def load(code: bytes, program: Program) -> int:
    """Load a program; return its descriptor. SourceError, and the verifier's words in the log."""
    words = ffi.new("char[]", _LOG_BYTES)
    fd = lib.kvmlog_bpf_load(
        program.function.encode()[:15],
        program.kind,
        ffi.from_buffer(code),
        len(code),
        program.type_id,
        ffi.NULL if program.module is None else ffi.new("char[]", program.module.encode()),
        words,
        _LOG_BYTES,
    )
    if fd >= 0:
        return int(fd)
    text = ffi.string(words).decode(errors="replace")
    if _LOCKED.search(text):
        raise SourceError(LOCKDOWN)
    for line in text.strip().splitlines()[-_LOGGED_LINES:]:
        log(f"verifier: {line}")
    raise SourceError(
        f"the kernel refuses the BPF program {program.function} ({os.strerror(-fd)}); use "
        "--source kmod, and report what the bridge's log says"
    )


def _sizes(cpus: int, slots: int, guests: int) -> Mapping[str, tuple[int, int, int, int]]:
    """Return kind, bytes of a key, bytes of a value and number of elements, by map."""
    array, table, queue = lib.KVMLOG_BPF_ARRAY, lib.KVMLOG_BPF_HASH, lib.KVMLOG_BPF_QUEUE
    number = ffi.sizeof("__u32")
    size = ffi.sizeof
    return {
        "kvmlog_control": (array, number, size("struct kvmlog_bpf_control"), 1),
        "kvmlog_cpus": (array, number, size("struct kvmlog_bpf_cpu"), cpus),
        "kvmlog_records": (
            array,
            number,
            lib.KVMLOG_RECORD_BYTES,
            cpus * lib.KVMLOG_BPF_CPU_RECORDS,
        ),
        "kvmlog_slots": (array, number, size("struct kvmlog_bpf_slot"), slots),
        "kvmlog_threads": (table, number, number, slots),
        "kvmlog_free": (queue, 0, number, slots),
        "kvmlog_guests": (
            table,
            size("struct kvmlog_bpf_guest_key"),
            size("struct kvmlog_bpf_guest"),
            guests,
        ),
        "kvmlog_tgids": (table, size("struct kvmlog_bpf_tgid"), 1, lib.KVMLOG_BPF_TGIDS),
    }


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)
