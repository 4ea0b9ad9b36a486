# SPDX-License-Identifier: GPL-2.0-or-later
"""BPF programs as a source: compiled and checked when it is opened, loaded while tracing is on.

Descriptors hold everything: when this process ends, however it does, the kernel detaches and frees.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Any, Final

from kvmlog.config.schema.defaults import DEFAULT_BPF_CACHE, DEFAULT_VCPUS
from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES, SCHEMA_VERSION
from kvmlog.sources.base import (
    CpuStatus,
    Source,
    SourceCost,
    SourceGoneError,
    SourceStatus,
    SwitchConfig,
)
from kvmlog.sources.bpf.cache import Cache
from kvmlog.sources.bpf.cost import CostMeter
from kvmlog.sources.bpf.loader import RECORDS, Loaded, make_loaded
from kvmlog.sources.bpf.maps import Maps
from kvmlog.sources.bpf.plan import Plan, Program, make_plan, waiting_for
from kvmlog.sources.bpf.switch_record import switch_record
from kvmlog.util.errors import SourceError
from kvmlog.util.log import log

# A compiler that failed is not asked again at once: it takes a CPU for a second.
RETRY_S: Final = 10.0
MOST_RETRY_S: Final = 120.0
# How long the pump may take for the last records.
DRAIN_S: Final = 3.0
_DRAIN_STEP_S: Final = 0.002
_NS_PER_MS: Final = 1_000_000
_COUNTERS: Final = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]
# The program whose run begins an exit: what the kernel leaves out of it is an exit lost.
_FIRST: Final = ("kvmlog_kvm_exit", "kvmlog_kvm_userspace_exit")
_CAP_SYS_ADMIN: Final = 21


class BpfSource(Source):
    """reason: how an exit's reason is got (plan.REASONS); cache: folder of compiled programs.

    max_vcpus: for how many there is room, all guests together.
    """

    name = "bpf"
    number: int = lib.KVMLOG_SOURCE_BPF

    def __init__(
        self, reason: str = "auto", cache: str = DEFAULT_BPF_CACHE, max_vcpus: int = DEFAULT_VCPUS
    ) -> None:
        self._reason = reason
        self._cache = Cache(cache)
        self._max_vcpus = max_vcpus
        self._open = False
        self._plan: Plan | None = None
        self._stamp: tuple[int, ...] = ()
        self._loaded: Loaded | None = None
        self._how = ""  # it was made
        self._maps: Maps | None = None
        self._meter: CostMeter | None = None
        self._links: list[int] = []
        self._pump: Any = None
        self._config: SwitchConfig | None = None  # None: off; without its lease
        self._until_ns = 0  # CLOCK_MONOTONIC when the lease ends, 0 without one
        self._epoch = 0
        self._own = dict.fromkeys(_COUNTERS, 0)  # what this process did itself
        self._notes_before = 0  # the pump's, when it became ours
        self._missed = 0  # reported in LOSS records
        self._missed_before = 0  # of programs that are not loaded any more
        self._failed: tuple[float, str] | None = None  # not before this time again, and why

    def open(self) -> SourceStatus:
        """Have the programs ready, where KVM is there; where it is not, wait for it."""
        if self._open:
            return self.status()
        _check_capabilities()
        if waiting_for() is None:
            self._prepare()
        self._open = True
        return self._status()

    def switch(self, config: SwitchConfig) -> SourceStatus:
        if config.on:
            # Gone where KVM was loaded since: then nothing is begun that is to be ended at once.
            self.status()
            self._switch_on(config)
        elif self._open:
            self._end_lease()
            self._switch_off(config.cause)
        else:
            raise SourceGoneError("the source bpf is not open")
        return self._status()

    def pump(self, native: Any) -> None:
        self._pump = native
        self._notes_before = self._notes_written()
        if self._maps is not None:
            lib.kvmlog_pump_maps(native, self._maps.native)
        else:
            lib.kvmlog_pump_socket(native, -1, 0)

    def status(self) -> SourceStatus:
        if not self._open:
            raise SourceGoneError("the source bpf is not open")
        # The end of a lease is told first; what else has happened, by the next status.
        if not self._end_lease() and waiting_for() is None and self._stamp != _stamp():
            self._switch_off(lib.KVMLOG_SWITCH_UNLOAD)
            raise SourceGoneError(
                "KVM was loaded; making the BPF programs for it"
                if self._maps is None
                else "KVM was loaded anew; making the BPF programs again"
            )
        if self._config is not None:
            self._report_misses()
        else:
            self._unload()
        return self._status()

    def pending(self) -> bytes:
        return b"" if self._maps is None else self._maps.pending()

    def notes(self) -> list[str]:
        if self._plan is None or self._loaded is None:
            return []
        notes = [self._plan.words, self._how]
        refused = 0 if self._maps is None else self._maps.counters()["dropped_table"]
        if refused:
            notes.append(
                f"{refused} exits had no room in the tables of vCPUs and guests, which are for "
                f"{self._max_vcpus} vCPUs; raise max_vcpus of [bridge], and restart the bridge"
            )
        if self._meter is not None and self._meter.trouble is not None:
            notes.append(self._meter.trouble)
        return notes

    def close(self) -> None:
        self._detach()
        if self._config is not None and self._pump is not None:
            lib.kvmlog_pump_unwatch(self._pump)
        if self._maps is not None:
            self._maps.close()
        if self._loaded is not None:
            self._loaded.close()
        self._open = False
        self._plan = self._loaded = self._maps = self._meter = self._pump = self._config = None
        self._stamp = ()
        self._own = dict.fromkeys(_COUNTERS, 0)
        self._missed = self._missed_before = self._notes_before = 0

    def _prepare(self) -> None:
        if self._failed is not None and time.monotonic() < self._failed[0]:
            raise SourceError(self._failed[1])
        self._failed = None
        begin = time.monotonic()
        try:
            stamp = _stamp()
            plan = make_plan(self._reason)
            loaded, how = make_loaded(plan, self._cache, self._max_vcpus)
            try:
                maps = Maps(loaded.maps, loaded.cpus, loaded.slots)
            except SourceError:
                loaded.close()
                raise
        except SourceGoneError:
            raise
        except (SourceError, OSError) as error:
            sentence = str(error)
            if isinstance(error, OSError):
                sentence = f"the BPF programs cannot be made ({error}); it is tried again"
            took_s = time.monotonic() - begin
            retry_s = min(max(RETRY_S, 10 * took_s), MOST_RETRY_S)
            self._failed = (time.monotonic() + retry_s, sentence)
            raise SourceError(sentence) from None
        self._plan, self._loaded, self._maps, self._stamp = plan, loaded, maps, stamp
        self._how = how
        self._meter = CostMeter(lambda: maps.counters()["seen"])
        log(f"BPF programs: {plan.words}; {how}")

    def _load(self, maps: Maps) -> None:
        """Load programs, and have a map for their records, which are not there while off."""
        assert self._loaded is not None
        if self._loaded.programs:
            return
        self._loaded.load()
        try:
            maps.records(self._loaded.maps[RECORDS], self._pump)
        except SourceError:
            self._loaded.unload()
            raise

    def _unload(self) -> None:
        """Let them go, once the pump has all that they wrote."""
        if self._loaded is None or self._maps is None or not self._loaded.programs:
            return
        if self._pump is not None and not self._maps.drained():
            return
        self._missed_before = self._misses()
        self._maps.records(-1, self._pump)
        self._loaded.unload()

    def _attach(self, maps: Maps) -> None:
        assert self._plan is not None
        assert self._loaded is not None
        maps.begin(self._pump)
        for program in self._plan.programs:
            self._links.append(_attach(program, self._loaded.programs[program.function]))
        if self._meter is not None:
            self._meter.start(list(self._loaded.programs.values()))
        if self._pump is not None:
            lib.kvmlog_pump_wake(self._pump)

    def _detach(self) -> None:
        if self._meter is not None:
            self._meter.stop()
        while self._links:
            with contextlib.suppress(OSError):
                os.close(self._links.pop())

    def _switch_on(self, config: SwitchConfig) -> None:
        _check_limits(config)
        until_ns = 0
        if config.lease_ms:
            until_ns = time.monotonic_ns() + config.lease_ms * _NS_PER_MS
        config = dataclasses.replace(config, tgids=tuple(sorted(config.tgids)), lease_ms=0)
        if config == self._config:
            if self._maps is not None:
                self._maps.lease(until_ns)
            self._until_ns = until_ns
            return
        # Without the KVM that they were made for it waits: status() notices the next one.
        fits = self._maps is not None and self._stamp == _stamp()
        if self._maps is not None:
            if fits and self._config is None:
                self._load(self._maps)
            self._maps.configure(config, self._epoch + 1, until_ns)
        self._epoch += 1
        self._until_ns = until_ns
        if self._config is not None:
            self._config = config
            self._note_switch(True, lib.KVMLOG_SWITCH_COMMAND)
            return
        self._config = config
        self._note_switch(True, lib.KVMLOG_SWITCH_COMMAND)
        if self._maps is not None and fits:
            try:
                self._attach(self._maps)
            except SourceError:
                self._switch_off(lib.KVMLOG_SWITCH_COMMAND)
                raise

    def _switch_off(self, cause: int) -> None:
        if self._config is None:
            return
        if self._maps is not None:
            self._end(self._maps)
            self._report_misses()
        self._note_switch(False, cause)
        self._config = None
        self._unload()

    def _end_lease(self) -> bool:
        """Switch off when the lease is over; return whether it is. Programs do nothing since."""
        over = (
            self._config is not None
            and bool(self._until_ns)
            and time.monotonic_ns() >= self._until_ns
        )
        if over:
            self._switch_off(lib.KVMLOG_SWITCH_LEASE)
        return over

    def _end(self, maps: Maps) -> None:
        """Detach, and bring in what is still under way."""
        self._detach()
        maps.end()
        deadline = time.monotonic() + DRAIN_S
        while self._pump is not None and not maps.drained() and time.monotonic() < deadline:
            lib.kvmlog_pump_wake(self._pump)
            time.sleep(_DRAIN_STEP_S)
        left = maps.pending()
        self._append(left)
        count = len(left) // RECORD_BYTES
        self._own["emitted"] += count
        self._own["pending"] -= count
        maps.forget()

    def _note_switch(self, on: bool, cause: int) -> None:
        assert self._config is not None
        if self._pump is not None and on:
            lib.kvmlog_pump_watch(self._pump, self._epoch)
        ns = self._until_ns if cause == lib.KVMLOG_SWITCH_LEASE else time.monotonic_ns()
        self._append(switch_record(self._config, on, cause, self._epoch, ns))
        if self._pump is not None and not on:
            lib.kvmlog_pump_unwatch(self._pump)

    def _notes_written(self) -> int:
        """Return how many notes the pump wrote in our name."""
        if self._pump is None:
            return 0
        statistics = ffi.new("struct kvmlog_pump_statistics *")
        lib.kvmlog_pump_read(self._pump, statistics)
        return int(statistics.notes)

    def _append(self, records: bytes) -> None:
        if self._pump is None or not records:
            return
        native = ffi.from_buffer("struct kvmlog_record[]", records)
        lib.kvmlog_pump_append(self._pump, native, len(records) // RECORD_BYTES)

    def _misses(self) -> int:
        """Return the exits that the kernel left out so far."""
        if self._loaded is None or not self._loaded.programs:
            return self._missed_before
        first = next(name for name in _FIRST if name in self._loaded.programs)
        missed = max(0, int(lib.kvmlog_bpf_misses(self._loaded.programs[first])))
        return self._missed_before + missed

    def _report_misses(self) -> None:
        missed = self._misses()
        if missed > self._missed and self._pump is not None:
            lib.kvmlog_pump_lost(self._pump, missed - self._missed, missed)
            self._missed = missed

    def _status(self) -> SourceStatus:
        config = self._config or SwitchConfig(on=False)
        counters = dict(self._own)
        counters["notes"] += self._notes_written() - self._notes_before
        cpus: dict[int, CpuStatus] = {}
        probe_ns = 0
        if self._maps is not None:
            missed = self._misses()
            for name, value in self._maps.counters().items():
                counters[name] += value
            for name in ("seen", "dropped", "dropped_table"):
                counters[name] += missed
            cpus = self._maps.cpus()
            if self._meter is not None:
                probe_ns = self._meter.total_ns(counters["seen"] - missed - self._own["seen"])
        return SourceStatus(
            on=self._config is not None,
            attached=bool(self._links),
            waiting_for=waiting_for(),
            epoch=self._epoch,
            one_in=config.one_in,
            on_ms=config.on_ms,
            off_ms=config.off_ms,
            tgids=config.tgids,
            flush_ms=lib.KVMLOG_BPF_POLL_MS,
            counters=counters,
            receiver=os.getpid(),
            schema=SCHEMA_VERSION,
            record_bytes=RECORD_BYTES,
            isa=lib.KVMLOG_ISA_NONE if self._plan is None else self._plan.isa,
            vendor=None if self._plan is None else self._plan.vendor,
            version="",
            pending_slots=0 if self._loaded is None else self._loaded.slots,
            cpus=cpus,
            lease_ms=self._lease_left_ms(),
            cost=SourceCost(probe_ns),
        )

    def _lease_left_ms(self) -> int:
        if self._config is None or not self._until_ns:
            return 0
        return max(1, (self._until_ns - time.monotonic_ns()) // _NS_PER_MS)


def _attach(program: Program, fd: int) -> int:
    """Attach a program; return the link's descriptor, which detaches when closed."""
    if program.kind == lib.KVMLOG_BPF_EVENT:
        link = lib.kvmlog_bpf_attach_event(fd, program.event_id)
    else:
        typed = program.kind == lib.KVMLOG_BPF_TYPED
        name = ffi.NULL if typed else ffi.new("char[]", program.tracepoint.encode())
        link = lib.kvmlog_bpf_attach(fd, name)
    if link < 0:
        raise SourceError(
            f"the BPF program cannot be attached to {program.tracepoint} ({os.strerror(-link)}); "
            "is KVM loaded? Else use --source kmod"
        )
    return int(link)


def _stamp() -> tuple[int, ...]:
    """Return what changes when KVM's modules are reloaded: offsets are of one build."""
    stamps = []
    for name in ("kvm", "kvm_amd", "kvm_intel"):
        with contextlib.suppress(OSError):
            stamps.append(os.stat(Path("/sys/module", name)).st_ino)
    return tuple(stamps)


def _check_limits(config: SwitchConfig) -> None:
    """Raise SourceError beyond the module's limits (netlink.h)."""
    if not 1 <= config.one_in <= lib.KVMLOG_MAX_ONE_IN:
        raise SourceError(f"one in {config.one_in}: give 1 to {lib.KVMLOG_MAX_ONE_IN}")
    if (config.on_ms == 0) != (config.off_ms == 0):
        raise SourceError(
            f"a sampling window of {config.on_ms} ms open, {config.off_ms} ms closed: "
            "give both times, or neither"
        )
    if max(config.on_ms, config.off_ms) > lib.KVMLOG_MAX_WINDOW_MS:
        raise SourceError(
            f"a sampling window of {config.on_ms} ms open, {config.off_ms} ms closed: "
            f"give at most {lib.KVMLOG_MAX_WINDOW_MS} ms"
        )
    if not 0 <= config.lease_ms <= lib.KVMLOG_MAX_LEASE_MS:
        raise SourceError(
            f"a lease of {config.lease_ms} ms: give at most {lib.KVMLOG_MAX_LEASE_MS}, 0 for none"
        )
    if len(config.tgids) > lib.KVMLOG_MAX_TGIDS:
        raise SourceError(f"{len(config.tgids)} processes; give at most {lib.KVMLOG_MAX_TGIDS}")


def _check_capabilities() -> None:
    text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next(line for line in text.splitlines() if line.startswith("CapEff:"))
    if not int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1:
        raise SourceError("loading BPF programs needs CAP_SYS_ADMIN; run the bridge as root")
