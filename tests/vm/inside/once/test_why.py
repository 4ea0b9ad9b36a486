# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog why` of guests with real exits: each scene is named, and no other."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from kvmlog.client import Client
from kvmlog.guests.names import GuestNames
from kvmlog.util.errors import VmStatsMissingError
from kvmlog.vmstats.snapshot import Snapshot, Vm
from kvmlog.why.gather.target import Places
from kvmlog.why.gather.watch import watch
from kvmlog.why.verdict import Verdict, judge
from tests.vm.inside import host, slow_guests, sources
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import Bridge, Rpc, kvmlog, until
from tests.vm.inside.qemu import qemu_guest

pytestmark = sources.only(sources.KMOD)

WATCH_S: Final = 2.0
# Where a guest exits at full rate, what counts its exits needs a CPU as well.
NEIGHBOURS: Final = frozenset(("cpu-wait",))
# A CPU whenever it wants one, whatever tests and bridge do: a guest without neighbours.
FIRST: Final = ("nice", "-n", "-20")
TIMER: Final = ("--hlt", "timer", "--halt-us", "100")
_CGROUP: Final = Path("/run/why-cgroup")


def no_collector(*_: object) -> Snapshot:
    """Raises what a reader does without a collector."""
    raise VmStatsMissingError("there are no VM statistics; start the collector (kvmlog vmstats)")


def nobody(_snapshot: Snapshot, _word: str) -> Vm:
    """Never asked."""
    raise AssertionError


Why = Callable[[int], Verdict]


@pytest.fixture(scope="module")
def why(running_bridge: Bridge) -> Iterator[Why]:
    """What there is to say of a process's guest, in this process: without the command's start."""
    places = Places(str(running_bridge.ring), str(running_bridge.switch), no_collector, nobody)
    running_bridge.client.switch(True)

    def ask(pid: int) -> Verdict:
        listed(running_bridge, pid)
        seen: list[Verdict] = []

        def counted() -> bool:
            # On a busy machine the bridge may answer too late, which is a gap and no verdict.
            seen.append(judge(watch(places, str(pid), WATCH_S)))
            return "exits" in seen[-1].looked_at

        until(counted, f"the exits of {pid} to be counted")
        return seen[-1]

    yield ask
    running_bridge.client.switch(False)


def listed(bridge: Bridge, pid: int) -> None:
    """Wait until the bridge knows the guest: its vCPUs have been made."""
    names = GuestNames(str(bridge.ring))

    def known() -> bool:
        bridge.client.guests()
        names.reload()
        return any(one.pid == pid for one in names.guests())

    until(known, f"guest {pid} to be known")


def rules(verdict: Verdict) -> set[str]:
    """The rules that found something."""
    return {one.rule for one in verdict.findings}


@contextlib.contextmanager
def guest(*options: str, before: Sequence[str] = ()) -> Iterator[int]:
    """The test guest, for ever; its pid. before: a command that executes it."""
    process = host.start_guest("--turns", "0", *options, before=before)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.communicate(timeout=host.HANG_S)


def test_a_healthy_guest_that_is_busy(why: Why) -> None:
    """It computes all the time; not a word of anything else."""
    with guest("--kinds", "spin", before=FIRST) as pid:
        verdict = why(pid)
    assert rules(verdict) == set()
    assert verdict.summary.startswith("It is busy:")
    assert verdict.times is not None
    assert verdict.times.guest > 0.7


def test_an_idle_guest(why: Why) -> None:
    """It halts, and its timer wakes it now and then; and one that halts for longer than a watch."""
    for halt_us in ("250000", "4000000"):
        options = ("--kinds", "hlt", "--hlt", "timer", "--halt-us", halt_us)
        with guest(*options, before=FIRST) as pid:
            verdict = why(pid)
        assert rules(verdict) == set()
        assert verdict.summary.startswith("It is idle:")


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("timer-storm", ("--kinds", "timer", *TIMER)),
        ("ipi-storm", ("--kinds", "ipi", "--vcpus", "2", *TIMER)),
        ("msr-storm", ("--kinds", "rdmsr")),
        ("slow-device", ("--kinds", "pio", "--pause-ms", "20")),
        ("exits", ("--kinds", "cpuid")),
        ("paused", ("--kinds", "spin", "--interrupt", "run", "--interrupt-ms", "50")),
    ],
)
def test_a_guest_that_is_kept_from_its_work(why: Why, rule: str, options: tuple[str, ...]) -> None:
    """Its exits, and nothing else."""
    with guest(*options) as pid:
        verdict = why(pid)
    assert rules(verdict) - NEIGHBOURS == {rule}
    assert verdict.findings[0].weight > 0.2


@pytest.mark.parametrize(
    ("rule", "kinds", "place"),
    [
        ("port-io", "pio", "port 0x3f8 (com1)"),
        ("emulated-device", "mmio", "gpa 0xd0000000-0xd0000fff (pci-bar)"),
    ],
)
def test_a_guest_that_polls_a_device_of_qemu(why: Why, rule: str, kinds: str, place: str) -> None:
    """A serial console that is flooded; the memory of a device."""
    with qemu_guest(f"why-{kinds}", Orders(kinds)) as qemu:
        verdict = why(qemu.pid)
    assert rules(verdict) - NEIGHBOURS == {rule}
    (found,) = (one for one in verdict.findings if one.rule == rule)
    assert place in found.headline


def test_a_starved_guest(why: Why) -> None:
    """A hog on the same CPU is named, and who it is."""
    pinned = ("taskset", "-c", str(slow_guests.STARVED_ON))
    hog = subprocess.Popen([*pinned, "/bin/sh", "-c", "while :; do :; done"])
    try:
        process = host.start_guest("--turns", "0", "--kinds", "spin", before=pinned)
        try:
            verdict = why(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=host.HANG_S)
    finally:
        hog.kill()
        hog.wait()
    assert rules(verdict) == {"cpu-wait"}
    (found,) = verdict.findings
    assert f"(pid {hog.pid}) used" in found.details[0]
    assert f"of CPU {slow_guests.STARVED_ON}" in found.details[0]


def test_a_host_that_is_short_of_memory(why: Why) -> None:
    """Tasks of the host wait for memory: here some that may have hardly any."""
    with guest("--kinds", "spin") as pid, thrashing():
        verdict = why(pid)
    assert "host-memory-pressure" in rules(verdict)


@contextlib.contextmanager
def thrashing() -> Iterator[None]:
    """A program whose control group may have less memory than it takes."""
    _CGROUP.mkdir(exist_ok=True)
    host.run("mount", "-t", "cgroup2", "cgroup2", str(_CGROUP))
    group = _CGROUP / "thrash"
    try:
        with contextlib.suppress(OSError):
            (_CGROUP / "cgroup.subtree_control").write_text("+memory")
        group.mkdir(exist_ok=True)
        (group / "memory.high").write_text("8M")
        # It keeps what it reads, until a line ends.
        hungry = f"echo $$ >{group}/cgroup.procs; exec tail /dev/zero"
        hog = subprocess.Popen(["/bin/sh", "-c", hungry])
        try:
            yield
        finally:
            hog.kill()
            hog.wait()
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()
        host.run("umount", str(_CGROUP))


def test_tracing_that_is_off_is_switched_on_for_the_watch(running_bridge: Bridge, rpc: Rpc) -> None:
    """By the command; by the call, which also switches it on, and it goes off by itself."""
    running_bridge.client.switch(False)
    places = ("--ring", running_bridge.ring, "--switch", running_bridge.switch)
    nowhere = ("--vmstats-file", "/run/no-vms.json")
    with guest("--kinds", "pio", "--pause-ms", "20") as pid:
        listed(running_bridge, pid)
        off = kvmlog("why", str(pid), "--for", "1s", *places, *nowhere).stdout
        assert "Not looked at: exits: tracing is off; --trace switches it on" in off
        with Client(rpc.url(), timeout_s=host.HANG_S) as client:
            there = client.why(str(pid), 2.0, trace=True)
        assert "exits" in there.looked_at
        assert rules(there) - NEIGHBOURS == {"slow-device"}
        assert there.pid == pid
        assert "port 0x3f8 (com1)" in there.findings[0].headline
        until(lambda: running_bridge.client.status()["wanted"] == "off", "the lease to end")
