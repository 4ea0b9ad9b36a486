# SPDX-License-Identifier: GPL-2.0-or-later
"""The VM's kernel and the guests in it, as the tests use them."""

from __future__ import annotations

import functools
import json
import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.scale import REPEATS

PROJECT = Path(__file__).resolve().parents[3]
GUEST = PROJECT / "build/guest/kvmlog-guest"
NESTED_GUEST = GUEST.with_name("kvmlog-nested")
TRACING = Path("/sys/kernel/tracing")
MODULE_DIRECTORY = PROJECT / "build/kmod" / os.uname().release
MODULE = MODULE_DIRECTORY / "kvmlog.ko"
EMIT_TEST_MODULE = MODULE_DIRECTORY / "kvmlog_emit_test.ko"
REFUSE_TEST_MODULE = MODULE_DIRECTORY / "kvmlog_refuse_test.ko"
# Generous: reached only when something hangs.
HANG_S = 600


def run(*command: str, check: bool = True) -> str:
    """Runs a command; returns what it printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if check:
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def repeats(count: int) -> int:
    """Return how often to repeat a race: `count` times, in `make soak` a hundred times as often."""
    return count * REPEATS


def loaded(module: str) -> bool:
    """The module is loaded."""
    return Path("/sys/module", module, "initstate").exists()


def guest(*options: str) -> dict[str, Any]:
    """Runs the test guest to its end; returns its report."""
    report: dict[str, Any] = json.loads(run(str(GUEST), "--json", *options))
    return report


def start_guest(*options: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Starts the test guest and leaves it running; before: a command that executes it."""
    return subprocess.Popen(
        [*before, str(GUEST), "--json", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class _Trigger:
    """A hist trigger on kvm:kvm_exit; others may be armed beside it.

    Its keys have to tell CPUs apart, or threads. When two CPUs bring in the same new row at once,
    and the one that is making it is held up (as an emulated CPU is, whose turn is over), the other
    one's exit is counted as "Dropped" in no row (__tracing_map_insert() in
    kernel/trace/tracing_map.c). With rows of their own they never meet.
    """

    def __init__(self, keys: str) -> None:
        self.event = TRACING / "events/kvm/kvm_exit"
        self.trigger = f"hist:keys={keys}:size=4096"
        (self.event / "trigger").write_text(self.trigger + "\n")

    def rows(self, *keys: str) -> dict[tuple[int, ...], int]:
        """Exits by the values of these keys, which have to be the trigger's."""
        text = (self.event / "hist").read_text()
        assert not re.search(r"Dropped: [1-9]", text)
        values = r",\s*".join(rf"{key}:\s*(\d+)" for key in keys)
        found = re.findall(rf"\{{ {values}\s*\}}\s*hitcount:\s*(\d+)", text)
        return {tuple(int(value) for value in row[:-1]): int(row[-1]) for row in found}

    def close(self) -> None:
        """Takes the trigger away."""
        (self.event / "trigger").write_text("!" + self.trigger + "\n")


class Histogram(_Trigger):
    """The kernel's own count of exits by reason."""

    def __init__(self) -> None:
        super().__init__("common_cpu,exit_reason")

    def counts(self) -> Counter[int]:
        """Exits by reason since it was armed."""
        total: Counter[int] = Counter()
        for (_, reason), count in self.rows("common_cpu", "exit_reason").items():
            total[reason] += count
        return total


class ThreadHistogram(_Trigger):
    """The kernel's own count of exits by thread and reason."""

    def __init__(self) -> None:
        super().__init__("common_pid,exit_reason")  # common_pid: the thread's id

    def counts(self) -> Counter[tuple[int, int]]:
        """Exits by (thread id, reason) since it was armed."""
        rows = self.rows("common_pid", "exit_reason")
        return Counter({(tid, reason): count for (tid, reason), count in rows.items()})

    def of(self, *tids: int) -> Counter[int]:
        """Exits of these threads together, by reason."""
        total: Counter[int] = Counter()
        for (tid, reason), count in self.counts().items():
            if tid in tids:
                total[reason] += count
        return total


def kernel_log() -> str:
    """Return the whole kernel log."""
    return run("dmesg")


def symbol_addresses(*names: str) -> dict[str, int]:
    """Addresses of kernel or module symbols, from /proc/kallsyms."""
    wanted = "|".join(re.escape(name) for name in names)
    symbols = Path("/proc/kallsyms").read_text()
    found = re.findall(rf"^([0-9a-f]+) \w ({wanted})\b(?!\.)", symbols, re.MULTILINE)
    addresses = {name: int(address, 16) for address, name in found}
    missing = set(names) - addresses.keys()
    assert not missing, f"{missing} not in /proc/kallsyms"
    return addresses


def symbol_address(name: str) -> int:
    """Address of one of them."""
    return symbol_addresses(name)[name]


def read_kernel(address: int, size: int) -> bytes:
    """Kernel memory through /proc/kcore."""
    with open("/proc/kcore", "rb") as core:
        header = core.read(64)
        (offset,) = struct.unpack_from("<Q", header, 32)
        entry_bytes, entries = struct.unpack_from("<HH", header, 54)
        core.seek(offset)
        table = core.read(entry_bytes * entries)
        for i in range(entries):
            kind, _, at, start, _, length = struct.unpack_from("<IIQQQQ", table, i * entry_bytes)
            if kind == 1 and start <= address and address + size <= start + length:
                core.seek(at + address - start)
                return core.read(size)
    raise AssertionError(f"{address:#x} is not in /proc/kcore")


@functools.cache
def _tracepoints(names: tuple[str, ...], _kvm_loaded_as: int) -> dict[str, int]:
    """Return their addresses, cached.

    Reading /proc/kallsyms takes a third of a second in emulation.
    """
    return symbol_addresses(*(f"__tracepoint_{name}" for name in names))


def probe_counts(*tracepoints: str) -> dict[str, int]:
    """Return how often each tracepoint is enabled: its static key's count, whoever attached.

    struct tracepoint begins with `const char *name; struct static_key key`, and that with an
    atomic_t count (linux/tracepoint-defs.h, linux/jump_label_types.h).
    """
    # The directory is made anew, and kvm may lie elsewhere, when kvm is loaded again.
    addresses = _tracepoints(tracepoints, os.stat("/sys/module/kvm").st_ino)
    counts = {}
    for name in tracepoints:
        raw = read_kernel(addresses[f"__tracepoint_{name}"] + 8, 4)
        counts[name] = int(struct.unpack("<i", raw)[0])
    return counts


def probes_on(tracepoint: str) -> int:
    """The same of one."""
    return probe_counts(tracepoint)[tracepoint]
