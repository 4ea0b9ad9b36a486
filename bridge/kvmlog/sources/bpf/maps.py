# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps that programs and log engine share, as Python uses them (bridge/bpf/shared.h)."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from kvmlog.native import ffi, lib
from kvmlog.sources.base import CpuStatus, SwitchConfig
from kvmlog.util.errors import SourceError

_COUNTERS: Final = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]
_NS_PER_MS: Final = 1_000_000
_BUFFER_BYTES: Final[int] = lib.KVMLOG_BPF_CPU_RECORDS * lib.KVMLOG_RECORD_BYTES


class Maps:
    """fds: descriptors by the map's name, the caller's; cpus: possible CPUs; slots: threads."""

    def __init__(self, fds: dict[str, int], cpus: int, slots: int) -> None:
        self._fds = fds
        self.native: Any = lib.kvmlog_bpf_maps_new(
            fds["kvmlog_control"], fds["kvmlog_cpus"], cpus, fds["kvmlog_slots"], slots
        )
        if self.native == ffi.NULL:
            raise SourceError(
                f"the BPF maps cannot be mapped ({os.strerror(ffi.errno)}); "
                "is there memory left? It is tried again"
            )
        self.native.control.slots = slots

    def close(self) -> None:
        """Unmap them; a second call does nothing. The pump must have left them."""
        if self.native != ffi.NULL:
            lib.kvmlog_bpf_maps_free(self.native)
            self.native = ffi.NULL

    def records(self, fd: int, pump: Any) -> None:
        """Take records from this map from now on, -1: from none; what the one before held goes.

        pump: the native one that looks at them meanwhile, or None.
        """
        if pump is None:
            error = lib.kvmlog_bpf_records(self.native, fd)
        else:
            error = lib.kvmlog_pump_records(pump, fd)
        if error:
            raise SourceError(
                f"the records' map cannot be mapped ({os.strerror(-error)}); "
                "is there memory left? Try again"
            )

    def configure(self, config: SwitchConfig, epoch: int, until_ns: int) -> None:
        """Write the configuration beside the active one, then make it the active one.

        until_ns: CLOCK_MONOTONIC when its lease ends, 0 without one.
        """
        control = self.native.control
        if control.on:
            # A program may still read what the configuration before this one left there.
            lib.kvmlog_bpf_quiesce()
        number = (control.active & 1) ^ 1
        tgids = self._fds["kvmlog_tgids"]
        lib.kvmlog_bpf_drop_tgids(tgids, number)
        for tgid in config.tgids:
            if lib.kvmlog_bpf_add_tgid(tgids, number, tgid):
                raise SourceError(f"process {tgid} cannot be put into the filter; try again")
        fresh = control.configs[number]
        fresh.window_ns = time.monotonic_ns()
        fresh.open_ns = config.on_ms * _NS_PER_MS
        fresh.period_ns = (config.on_ms + config.off_ms) * _NS_PER_MS if config.off_ms else 0
        fresh.until_ns = until_ns
        fresh.epoch = epoch
        fresh.one_in = config.one_in
        fresh.tgids = len(config.tgids)
        control.active = number

    def lease(self, until_ns: int) -> None:
        """Set a new end of the active configuration's lease."""
        control = self.native.control
        control.configs[control.active & 1].until_ns = until_ns

    def begin(self, pump: Any) -> None:
        """Begin, while nothing runs: losses count from 0, and programs will see tracing on.

        pump: the native one that takes the records, or None.
        """
        if pump is not None:
            lib.kvmlog_pump_restart(pump)
        for number in range(self.native.count):
            cpu = self.native.cpus[number]
            if pump is None:
                cpu.lost = 0
            cpu.event_tid = 0
            cpu.on = 1
        self.native.control.on = 1

    def end(self) -> None:
        """Stop the programs: new runs do nothing; return when no earlier one runs any more."""
        for number in range(self.native.count):
            self.native.cpus[number].on = 0
        self.native.control.on = 0
        lib.kvmlog_bpf_quiesce()

    def forget(self) -> None:
        """Clear all slots and guests, while nothing runs."""
        lib.kvmlog_bpf_forget(self.native)
        lib.kvmlog_bpf_clear(self._fds["kvmlog_threads"], ffi.sizeof("__u32"))
        lib.kvmlog_bpf_empty(self._fds["kvmlog_free"])
        lib.kvmlog_bpf_clear(self._fds["kvmlog_guests"], ffi.sizeof("struct kvmlog_bpf_guest_key"))

    def drained(self) -> bool:
        """Return whether the pump has taken every record."""
        cpus = self.native.cpus
        return all(cpus[n].head == cpus[n].tail for n in range(self.native.count))

    def pending(self) -> bytes:
        """Return exits that wait for their re-entry, as whole records."""
        records = ffi.new("struct kvmlog_record[]", self.native.slot_count)
        count = lib.kvmlog_bpf_pending(self.native, records)
        return bytes(ffi.buffer(records, count * lib.KVMLOG_RECORD_BYTES))

    def counters(self) -> dict[str, int]:
        """Return struct kvmlog_counters by field, of what programs did."""
        counters = ffi.new("struct kvmlog_counters *")
        lib.kvmlog_bpf_counters(self.native, counters)
        return {name: int(getattr(counters, name)) for name in _COUNTERS}

    def cpus(self) -> dict[int, CpuStatus]:
        """Return the status of each possible CPU; `messages` counts records here."""
        return {
            number: CpuStatus(
                dropped=self.native.cpus[number].dropped_table
                + self.native.cpus[number].dropped_full,
                messages=self.native.cpus[number].head,
                buffer_bytes=_BUFFER_BYTES if self.native.records_fd >= 0 else 0,
            )
            for number in range(self.native.count)
        }
