# SPDX-License-Identifier: GPL-2.0-or-later
"""Records that the kernel module writes itself, and for BPF programs the log engine: SWITCH, CLOCK
and CPU (record.h), as the bytes of their C structs."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, Final

from kvmlog.bridge._native import ffi, lib
from kvmlog.bridge.source import SwitchConfig

# Clocks are read one after the other: what differs by less is no step.
CLOCK_STEP_NS: Final = 1_000_000
_READINGS: Final = 5
_ONLINE: Final = Path("/sys/devices/system/cpu/online")


def _record(struct: str, kind: int, epoch: int, **fields: Any) -> bytes:
    record = ffi.new(
        f"struct {struct} *",
        {
            "type": kind,
            "source": lib.KVMLOG_SOURCE_BPF,
            "ns": time.monotonic_ns(),
            "config_epoch": epoch,
            "vcpu": lib.KVMLOG_NO_VCPU,
            "cpu": lib.KVMLOG_NO_CPU,
            **fields,
        },
    )
    return bytes(ffi.buffer(record))


def switch_note(config: SwitchConfig, on: bool, cause: int, epoch: int) -> bytes:
    """cause: enum kvmlog_switch_cause."""
    return _record(
        "kvmlog_record_switch",
        lib.KVMLOG_RECORD_SWITCH,
        epoch,
        on=on,
        cause=cause,
        one_in=config.one_in,
        on_ms=config.on_ms,
        off_ms=config.off_ms,
        filter_tgids=len(config.tgids),
        tid=os.getpid(),
    )


def _offsets() -> tuple[int, int]:
    """How far CLOCK_REALTIME and CLOCK_BOOTTIME are ahead of CLOCK_MONOTONIC, in ns.

    Of several readings that with the least time around it.
    """
    readings = []
    for _ in range(_READINGS):
        before = time.monotonic_ns()
        real, boot = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        after = time.monotonic_ns()
        readings.append((after - before, real - before, boot - before))
    _, real_ns, boot_ns = min(readings)
    return real_ns, boot_ns


class Clocks:
    """The clocks against CLOCK_MONOTONIC since switched on."""

    def __init__(self) -> None:
        self._real_ns, self._boot_ns = _offsets()

    def anchor(self, epoch: int) -> bytes:
        """Where the clocks stand."""
        return self._note(lib.KVMLOG_CLOCK_ANCHOR, 0, epoch)

    def check(self, epoch: int) -> list[bytes]:
        """What has happened to them since the last look: a sleep of the host, a step."""
        real_ns, boot_ns = _offsets()
        notes = []
        slept_ns = boot_ns - self._boot_ns
        if abs(slept_ns) >= CLOCK_STEP_NS:
            self._boot_ns += slept_ns
            self._real_ns += slept_ns
            notes.append(self._note(lib.KVMLOG_CLOCK_SUSPEND, slept_ns, epoch))
        stepped_ns = real_ns - self._real_ns
        if abs(stepped_ns) >= CLOCK_STEP_NS:
            self._real_ns += stepped_ns
            notes.append(self._note(lib.KVMLOG_CLOCK_STEP, stepped_ns, epoch))
        return notes

    def _note(self, event: int, delta_ns: int, epoch: int) -> bytes:
        now_ns = time.monotonic_ns()
        return _record(
            "kvmlog_record_clock",
            lib.KVMLOG_RECORD_CLOCK,
            epoch,
            ns=now_ns,
            event=event,
            delta_ns=delta_ns,
            realtime_ns=now_ns + self._real_ns,
            boottime_ns=now_ns + self._boot_ns,
        )


class OnlineCpus:
    """Which CPUs are online since switched on."""

    def __init__(self) -> None:
        self._online = _online()

    def check(self, epoch: int) -> list[bytes]:
        """CPUs that came or went since the last look."""
        online = _online()
        changed = sorted(self._online ^ online)
        self._online = online
        return [
            _record(
                "kvmlog_record_cpu", lib.KVMLOG_RECORD_CPU, epoch, online=cpu in online, cpu=cpu
            )
            for cpu in changed
        ]


def _online() -> set[int]:
    """cpu/online: "0-2,5"."""
    text = _ONLINE.read_text(encoding="ascii")
    online: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        online.update(range(int(first), int(last or first) + 1))
    return online
