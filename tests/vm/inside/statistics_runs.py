# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of several guests of known name, work and trouble, and what each tool reported of them."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.exits.reasons import svm
from tests.vm.inside import host, libvirt, perf, slow_guests
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import Bridge, kvmlog, until
from tests.vm.inside.qemu import qemu_guest
from tests.vm.inside.stat_output import StatOutput, command, stat

CODES: Final = {name: code for code, name in svm.NAMES.items()}
CPUID, HLT, INTERRUPT, IO = (CODES[name] for name in ("cpuid", "hlt", "interrupt", "io"))
WEB, WEB_UUID = "web-1", "0b7a5a1e-4d0c-4c58-8d6e-2f1e6c1a9b01"
DB, DB_UUID = "db-1", "6f9d1c52-8a0f-4d0b-9c3e-7b5d4e3f2a02"
TURNS: Final = 503
PLAIN_TURNS: Final = 53
PAUSE_S: Final = 0.5
ENOUGH: Final = 30  # turns of the device, halts, times that its CPU was wanted by others


@dataclass(frozen=True)
class Run:
    """One run of three guests, and what each tool reported of it."""

    threads: Counter[tuple[int, int]]  # the kernel's count, by thread and reason
    tids: dict[str, tuple[int, ...]]  # of each guest's vCPUs
    pids: dict[str, int]
    by_reason: StatOutput
    by_vcpu: StatOutput
    by_return: StatOutput
    guests: dict[str, dict[str, Any]]  # kvmlog guests, by name
    dumped: list[dict[str, Any]]  # the ring's last exits
    plain: dict[str, Any]  # what the guest that is not QEMU's said
    perf: dict[str, perf.PerfRow]  # of the guest WEB

    def counted(self, guest: str) -> dict[int, Counter[int]]:
        """The kernel's count of a guest, by vCPU and reason."""
        found: dict[int, Counter[int]] = {}
        for vcpu, tid in enumerate(self.tids[guest]):
            found[vcpu] = Counter(
                {reason: count for (one, reason), count in self.threads.items() if one == tid}
            )
        return found


def run_guests(bridge: Bridge) -> Run:
    """Two guests of two vCPUs under way at once, and one that comes and goes.

    WEB, of QEMU, is held for PAUSE_S and never halts until it has done all its turns; DB is
    libvirt's, whose daemon has to run. All their exits come while the kernel counts, perf
    records and tracing is on.
    """
    ring, switch = ("--ring", bridge.ring), ("--switch", bridge.switch)
    bridge.client.send("reset")
    work = Orders("cpuid,pio,mmio,rdmsr", TURNS)
    idle = Orders("cpuid,pio,mmio,hlt,rdmsr", TURNS)
    with (
        contextlib.closing(host.ThreadHistogram()) as threads,
        qemu_guest(WEB, work, uuid=WEB_UUID, vcpus=2, paused=True) as web,
        libvirt.domain(DB, idle, uuid=DB_UUID, vcpus=2, paused=True) as db,
    ):
        assert threads.of(*web.vcpu_tids, *db.vcpu_tids) == Counter()
        with perf.record() as recording:
            command("switch", "on", *switch)
            web.cont()
            until(lambda: bool(threads.of(*web.vcpu_tids)), "an exit of WEB")
            web.stop()
            time.sleep(PAUSE_S)
            web.cont()
            db.resume()
            plain = host.guest(
                "--name", "plain", "--turns", str(PLAIN_TURNS), "--kinds", "pio,mmio,hlt"
            )
            until(lambda: threads.of(*web.vcpu_tids)[HLT] == 2, "all turns of WEB")
            until(lambda: threads.of(*db.vcpu_tids)[HLT] == 2 * (TURNS + 1), "all turns of DB")
            command("switch", "off", *switch)
        listed = command("guests", "--json", *ring, *switch).splitlines()
        dumped = command("dump", "--json", "-n", "8", *ring).splitlines()
        return Run(
            threads.counts(),
            {WEB: web.vcpu_tids, DB: db.vcpu_tids},
            {WEB: web.pid, DB: db.pid, "plain": plain["pid"]},
            StatOutput(kvmlog("stat", "--json", *ring).stdout),
            stat(bridge, "--by", "guest,vcpu"),
            stat(bridge, "--by", "guest,return"),
            {guest["name"]: guest for guest in map(json.loads, listed)},
            [json.loads(line) for line in dumped],
            plain,
            recording.report(web.pid),
        )


@dataclass(frozen=True)
class SlowGuestsRun:
    """Statistics of four guests, each slow for its own reason."""

    pids: dict[str, int]
    told: StatOutput
    by_return: StatOutput
    text: str

    def name(self, slow_guest: str) -> str:
        """Return its guest's name."""
        return self.told.name(self.pids[slow_guest])


def run_slow_guests(bridge: Bridge) -> SlowGuestsRun:
    """Device, halts and pause at the same time; then the one that lacks a CPU, which slows all."""
    bridge.client.send("reset")
    with (
        contextlib.closing(host.ThreadHistogram()) as threads,
        qemu_guest("held", Orders("cpuid"), paused=True) as held,
    ):

        def wait_for(tids: tuple[int, ...], reason: int, over: int = ENOUGH) -> None:
            until(lambda: threads.of(*tids)[reason] > over, f"{over} exits for {reason:#x}")

        bridge.client.switch(on=True)
        began = time.monotonic()
        held.cont()
        wait_for(held.vcpu_tids, CPUID)
        held.stop()
        ran_s = time.monotonic() - began
        with slow_guests.slow_device() as device, slow_guests.halting() as halting:
            wait_for(device.vcpu_tids(), IO)
            wait_for(halting.vcpu_tids(), HLT)
        with slow_guests.starved() as starved:
            wait_for(starved.vcpu_tids(), INTERRUPT)
        # Held for the most part of its time, however slow this machine is.
        time.sleep(4 * ran_s)
        before = threads.of(*held.vcpu_tids)[CPUID]
        held.cont()
        wait_for(held.vcpu_tids, CPUID, before)
        bridge.client.switch(on=False)
    return SlowGuestsRun(
        {
            "device": device.pid,
            "halting": halting.pid,
            "starved": starved.pid,
            "held": held.pid,
        },
        stat(bridge),
        stat(bridge, "--by", "guest,return"),
        command("stat", "--ring", bridge.ring),
    )
