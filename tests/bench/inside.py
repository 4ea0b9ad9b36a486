# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in a one-CPU VM whose clock counts instructions: one set-up after the other.

    python -m tests.bench.inside [SETUP...]

Each set-up is measured by two runs of the test guest of different lengths; the difference, divided
by the difference in exits, is free of what starting and ending costs. One CPU executes all of it:
guest, host kernel, module, worker, log engine. Prints one JSON object per set-up.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

from kvmlog.config.schema.defaults import DEFAULT_SOCKET
from kvmlog.control.client import SwitchClient
from kvmlog.ring.reader import RingReader
from kvmlog.util.errors import KvmlogError
from tests.vm.inside import host

SHORT_TURNS = 1009
LONG_TURNS = 11003
PAIRS = 5
EXITS_PER_TURN = 2  # cpuid, and an OUT that returns to user space
RUN = Path("/run/kvmlog")
EVENTS = host.TRACING / "events/kvm"


# In memory: while the CPU waits for a disk, the counting clock runs on by itself.
GUEST_COPY = Path("/tmp/kvmlog-guest")


def guest_ns(turns: int) -> int:
    """Time, that is instructions, from the first KVM_RUN of a guest to the end of its last."""
    report = json.loads(
        host.run(str(GUEST_COPY), "--json", "--turns", str(turns), "--kinds", "cpuid,pio")
    )
    return int(report["elapsed_ns"])


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    """No tracer, no module."""
    yield


@contextlib.contextmanager
def module_off() -> Iterator[None]:
    """The module loaded, tracing off."""
    host.run("insmod", str(host.MODULE))
    try:
        yield
    finally:
        host.run("rmmod", "kvmlog")


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Waits for a minute of the VM's time."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise SystemExit(f"bench: waited in vain for {what}")


def _answers(client: SwitchClient) -> bool:
    try:
        client.status()
    except KvmlogError:
        return False
    return True


@contextlib.contextmanager
def bridge_on(*options: str) -> Iterator[None]:
    """Everything: a source, the log engine, the ring."""
    command = [sys.executable, "-m", "kvmlog.cli.main", "bridge", "--budget", "0", *options]
    bridge = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    client = SwitchClient(DEFAULT_SOCKET, timeout_s=60)
    try:
        wait_for("the bridge", lambda: _answers(client))
        client.switch(True)
        yield
        client.switch(False)
    finally:
        bridge.terminate()
        bridge.wait()


@contextlib.contextmanager
def kmod_on(*options: str) -> Iterator[None]:
    """The kernel module, netlink, log engine, ring."""
    with module_off(), bridge_on("--source", "kmod", *options):
        yield


def bpf_on(reason: str, *options: str) -> AbstractContextManager[None]:
    """BPF programs, their maps, log engine, ring."""
    return bridge_on("--source", "bpf", "--bpf-reason", reason, *options)


@contextlib.contextmanager
def ftrace(*events: str) -> Iterator[None]:
    """The kernel's own event tracing, into its ring buffer, nobody reading."""
    for event in events:
        (EVENTS / event / "enable").write_text("1")
    try:
        yield
    finally:
        for event in events:
            (EVENTS / event / "enable").write_text("0")
        (host.TRACING / "trace").write_text("")


@contextlib.contextmanager
def perf_kvm_stat() -> Iterator[None]:
    """perf kvm stat record, writing to a file in memory."""
    perf = subprocess.Popen(
        ["perf", "kvm", "stat", "record", "-a", "-o", "/tmp/perf.data.guest"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(5)
    try:
        yield
    finally:
        perf.terminate()
        perf.wait()
        Path("/tmp/perf.data.guest").unlink(missing_ok=True)


SETUPS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "nothing": nothing,
    "module loaded, off": module_off,
    "kvmlog kmod on, all-in": kmod_on,
    "kvmlog kmod on, no statistics": lambda: kmod_on("--statistics-mib", "0"),
    "kvmlog bpf on, all-in": lambda: bpf_on("vcpu"),
    "kvmlog bpf on, no statistics": lambda: bpf_on("vcpu", "--statistics-mib", "0"),
    "kvmlog bpf on, by event": lambda: bpf_on("event"),
    "ftrace kvm_exit": lambda: ftrace("kvm_exit"),
    "ftrace kvm_exit + kvm_entry": lambda: ftrace("kvm_exit", "kvm_entry"),
    "perf kvm stat record": perf_kvm_stat,
}

# What these say of their own cost is set beside what measure() finds.
COMPARED = ("kvmlog kmod on, all-in", "kvmlog bpf on, all-in", "kvmlog bpf on, by event")


def told_cost() -> dict[str, int]:
    """Return the cost that the bridge has measured since tracing was switched on, in ns.

    Of its own time only that of the pump: its looks once a second, a million instructions each,
    would drown the few runs of a guest.
    """
    time.sleep(2)
    status = SwitchClient(DEFAULT_SOCKET, timeout_s=60).status()
    since_on: dict[str, int] = status["budget"]["since_on"]
    tasks = Path(f"/proc/{status['pid']}/task").iterdir()
    others = [task for task in tasks if task.name != str(status["pid"])]
    # The same clock as the process's, by thread (Documentation/scheduler/sched-stats.rst).
    pump_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in others)
    return {**since_on, "pump_ns": pump_ns}


def compare(name: str) -> dict[str, object]:
    """One set-up's own measurement of its cost per exit, by parts, in the same way as measure()."""
    sums = dict.fromkeys(("probe_ns", "worker_ns", "pump_ns", "exits"), 0)
    with SETUPS[name]():
        guest_ns(SHORT_TURNS)
        before = told_cost()
        for sign, turns in [(-1, SHORT_TURNS), (1, LONG_TURNS)] * PAIRS:
            guest_ns(turns)
            after = told_cost()
            for part in sums:
                sums[part] += sign * (after[part] - before[part])
            before = after
    exits = sums.pop("exits")
    return {"setup": name, "exits": exits} | {part: ns / exits for part, ns in sums.items()}


def measure(name: str) -> dict[str, object]:
    """Instructions per exit of one set-up."""
    result: dict[str, object] = {"setup": name}
    with SETUPS[name]():
        guest_ns(SHORT_TURNS)  # warm: code faulted in, workers there
        exits = (LONG_TURNS - SHORT_TURNS) * EXITS_PER_TURN
        pairs = [(guest_ns(SHORT_TURNS), guest_ns(LONG_TURNS)) for _ in range(PAIRS)]
        slopes = [(long_ns - short_ns) / exits for short_ns, long_ns in pairs]
        result["per_exit"] = median(slopes)
        result["spread"] = max(slopes) - min(slopes)
        if name.startswith("kvmlog"):
            time.sleep(1)
            result["engine_rss_kib"] = _bridge_rss_kib()
    if name.startswith("kvmlog"):
        with RingReader(RUN / "ring") as ring:
            info = ring.info()
            result["head"] = info.head
            result["counters"] = info.counters
            result["lost"] = info.lost_records
    return result


def _bridge_rss_kib() -> int:
    """Resident memory of the bridge."""
    pid = SwitchClient(DEFAULT_SOCKET).status()["pid"]
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def main() -> int:
    """Measures what the command line names, or all."""
    names = sys.argv[1:] or list(SETUPS)
    shutil.copy(host.GUEST, GUEST_COPY)
    for name in names:
        if name.startswith("perf") and not shutil.which("perf"):
            continue
        print(json.dumps(measure(name)), flush=True)
    for name in names:
        if name in COMPARED:
            print(json.dumps({"compared": compare(name)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
