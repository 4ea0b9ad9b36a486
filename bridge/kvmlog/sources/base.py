# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of a source of records, as the log engine uses it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Final

from kvmlog.native import lib
from kvmlog.ring.records import enum_names
from kvmlog.util.errors import SourceError

_ISAS = enum_names("kvmlog_isa", "KVMLOG_ISA_")


class SourceGoneError(SourceError):
    """The source is absent, or gone: the engine waits until it returns."""


# In a note of a source in whose KVM only returns to user space can be seen.
NO_EXITS: Final = "no exits are traced in this KVM"


@dataclass(frozen=True)
class SwitchConfig:
    """The whole configuration of a source, as KVMLOG_CMD_CONFIGURE carries it (netlink.h)."""

    on: bool
    tgids: tuple[int, ...] = ()  # trace only these processes; empty: all
    one_in: int = 1
    on_ms: int = 0
    off_ms: int = 0
    lease_ms: int = 0  # off by itself after this long; 0: not
    cause: int = lib.KVMLOG_SWITCH_COMMAND  # of being off, as the SWITCH record has it


@dataclass(frozen=True)
class CpuStatus:
    """One CPU's buffers: `messages` since switched on, `dropped` since the source was loaded."""

    dropped: int = 0
    messages: int = 0
    buffer_bytes: int = 0


@dataclass(frozen=True)
class SourceCost:
    """CPU time in ns that the source has taken by its own measurement, since it was loaded."""

    probe_ns: int = 0
    worker_ns: int = 0
    timed: int = 0  # probes that were measured one by one; 0: a source that does not
    outliers: int = 0  # of them, those in which the CPU was taken away: not in probe_ns
    # Half of them, and 95 in 100, took less than this many ns; powers of two.
    p50_ns: int | None = None
    p95_ns: int | None = None


@dataclass(frozen=True)
class SourceStatus:
    """A source's report of itself."""

    on: bool
    attached: bool
    waiting_for: str | None
    epoch: int
    one_in: int
    on_ms: int
    off_ms: int
    tgids: tuple[int, ...]
    flush_ms: int
    counters: dict[str, int]  # fields of struct kvmlog_counters, since the source was loaded
    receiver: int | None  # netlink port id
    schema: int
    record_bytes: int
    isa: int  # enum kvmlog_isa
    vendor: str | None
    version: str
    pending_slots: int
    cpus: dict[int, CpuStatus] = field(default_factory=dict)
    lease_ms: int = 0  # what is left of the lease; 0: none
    cost: SourceCost = SourceCost()
    prototypes: dict[str, str] = field(default_factory=dict)  # name: expected signature
    fields: tuple[str, ...] = ()  # members whose place it expects, "kvm_vcpu.arch.regs"
    stopping: bool = False  # off, and still delivering what a slow receiver has not taken
    notes_lost: int = 0  # records of other types than EXIT, for want of room, since it was loaded


def describe_status(status: SourceStatus) -> dict[str, Any]:
    """Return it in plain values, for the status answer."""
    cpus = status.cpus.values()
    return {
        "version": status.version,
        "on": status.on,
        "attached": status.attached,
        "waiting_for": status.waiting_for,
        "config_epoch": status.epoch,
        "one_in": status.one_in,
        "on_ms": status.on_ms,
        "off_ms": status.off_ms,
        "lease_ms": status.lease_ms,
        "tgids": len(status.tgids),
        "flush_ms": status.flush_ms,
        "isa": _ISAS.get(status.isa, str(status.isa)),
        "vendor": status.vendor,
        "pending_slots": status.pending_slots,
        "counters": status.counters,
        "notes_lost": status.notes_lost,
        "probes_timed": {
            "count": status.cost.timed,
            "outliers": status.cost.outliers,
            "p50_ns": status.cost.p50_ns,
            "p95_ns": status.cost.p95_ns,
        },
        "cpus": len(status.cpus),
        "buffer_bytes": sum(cpu.buffer_bytes for cpu in cpus),
    }


class Source(ABC):
    """A source of records. All methods raise SourceError, SourceGoneError when it is not there."""

    name: str
    number: int  # enum kvmlog_source

    @abstractmethod
    def open(self) -> SourceStatus:
        """Become the source's one receiver; an open source is not opened again."""

    @abstractmethod
    def switch(self, config: SwitchConfig) -> SourceStatus:
        """Replace the configuration, having checked that it fits the kernel; return the new status.

        The same configuration again changes nothing but the lease, which begins anew, and is no
        error; the check is made again.
        """

    @abstractmethod
    def pump(self, native: Any) -> None:
        """Set, in a native pump that does not run, where the batches come (struct kvmlog_pump)."""

    @abstractmethod
    def status(self) -> SourceStatus:
        """Ask the source."""

    @abstractmethod
    def pending(self) -> bytes:
        """Return exits whose re-entry has not come: whole records, KVMLOG_F_NO_REENTRY set."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Return remarks for the operator, such as a check that could not be made."""

    @abstractmethod
    def close(self) -> None:
        """Stop being the receiver, which switches tracing off; a second call does nothing."""
