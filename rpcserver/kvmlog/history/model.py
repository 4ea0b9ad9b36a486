# SPDX-License-Identifier: GPL-2.0-or-later
"""What the history holds, in base units: ns, bytes, counts. None: nobody knows.

How a thing became known is told (Source), and no moment is made up: where a VM was already there
when the history began to look, its life's beginning is the first look, and `witnessed` is False.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kvmlog.history.moment import Stamp

NS_PER_S: Final = 1_000_000_000
# A service whose last heartbeat is older is down (Nova's service_down_time).
DOWN_S: Final = 60


class Source(StrEnum):
    """How a thing became known."""

    EVENT = "event"  # an event of libvirt's told it, when it happened
    SAMPLE = "sample"  # two polls differ: it happened at some time between them
    EXITS = "exits"  # exits of the VM, as the bridge counts them


class Binary(StrEnum):
    """The services of a host, named as in Nova's lists."""

    BRIDGE = "kvmlog-bridge"
    SOURCE = "kvmlog-source"  # kernel module or BPF programs, as the bridge is connected to them
    SWITCH = "kvmlog-switch"  # the bridge's socket for commands
    RPC = "kvmlog-rpc"
    VMSTATS = "kvmlog-vmstats"
    HISTORY = "kvmlog-history"
    METRICS = "kvmlog-metrics"


@dataclass(frozen=True)
class Service:
    """One service of this host. One that has never been seen is not in the list."""

    uuid: str  # made up when it was first seen, and kept
    binary: Binary
    host: str
    zone: str
    enabled: bool
    disabled_reason: str | None  # None where it is enabled
    forced_down: bool
    last_seen: Stamp  # its last heartbeat
    report_count: int  # heartbeats so far
    updated: Stamp  # its last heartbeat, or the last time that somebody changed it
    detail: str | None  # what it says of itself, a sentence: why the source is not connected

    def is_up(self, now: Stamp) -> bool:
        """Return whether its heartbeat is DOWN_S old or less, and nobody has forced it down."""
        return not self.forced_down and self.last_seen.until(now) <= DOWN_S * NS_PER_S


@dataclass(frozen=True)
class Owner:
    """Who a VM belongs to: Nova's metadata in its definition."""

    project_id: str | None
    project_name: str | None
    user_id: str | None
    user_name: str | None


@dataclass(frozen=True)
class Size:
    """What a VM is given: Nova's flavor, without one its definition."""

    vcpus: int
    memory_bytes: int
    # Root and ephemeral disk of the flavor; without one the capacity of its disks, which libvirt
    # tells of VMs that run.
    disk_bytes: int | None
    flavor_id: str | None
    flavor_name: str | None


@dataclass(frozen=True)
class Span:
    """A part of a life in which owner and size were the same."""

    began: Stamp
    ended: Stamp | None  # None: it goes on
    owner: Owner | None  # None: a definition without Nova's metadata
    size: Size

    def within(self, start_ns: int, stop_ns: int, now: Stamp) -> int:
        """Return how many ns of a window (ns since 1970) it covers, by the clock as it is now.

        Its beginning may have been told by a clock that was set since (Stamp.as_seen_from).
        """
        ended = self.ended or now
        seen_from = now if now.boot_id == ended.boot_id else ended
        first = max(start_ns, self.began.as_seen_from(seen_from))
        return max(0, min(stop_ns, ended.as_seen_from(seen_from)) - first)


@dataclass(frozen=True)
class Run:
    """A time in which a VM had a process, paused or not."""

    number: int
    began: Stamp
    witnessed: bool  # its beginning; of a process on this host the kernel knows it anyway
    ended: Stamp | None
    # Its end was between two looks (the process died while nobody looked): `ended` is the second.
    end_source: Source | None


@dataclass(frozen=True)
class Life:
    """A VM's existence on this host: from its definition to the end of that, running or not.

    A transient domain exists as long as it runs.
    """

    number: int
    uuid: str
    name: str  # the last one
    uri: str
    began: Stamp
    witnessed: bool  # False: it was there when the history looked first ("observed since")
    ended: Stamp | None
    end_source: Source | None
    state: int | None  # virDomainState, the last one; None: not known yet
    spans: tuple[Span, ...]  # oldest first, without gaps
    runs: tuple[Run, ...]  # oldest first

    @property
    def owner(self) -> Owner | None:
        """Return the last owner."""
        return self.spans[-1].owner

    @property
    def size(self) -> Size:
        """Return the last size."""
        return self.spans[-1].size

    def uptime_ns(self, now: Stamp) -> int:
        """Return how long it has existed, or did."""
        return self.began.until(self.ended or now)


@dataclass(frozen=True)
class ActionEvent:
    """One step of an action."""

    event: str  # libvirt_domain_started
    start: Stamp | None  # None: only its end was observed
    finish: Stamp | None
    result: str | None  # Success, Error; None: nobody knows
    details: str | None


@dataclass(frozen=True)
class Action:
    """Something that was done to a VM, or that it did: named as Nova's instance actions."""

    number: int
    uuid: str
    name: str
    project_id: str | None
    action: str  # start, stop, reboot, pause, ...
    request_id: str  # req-UUID: made up here, for no engine's request is known
    start: Stamp | None  # None: only its end was observed
    observed: Stamp  # when its first sign was
    updated: Stamp  # when its last sign was
    source: Source
    message: str | None  # what failed; None: nothing, or nobody knows
    events: tuple[ActionEvent, ...]  # in their order


class FaultKind(StrEnum):
    """What went wrong."""

    CRASHED = "crashed"  # the guest panicked, as it told by a pvpanic device
    IO_ERROR = "io-error"
    WATCHDOG = "watchdog"
    QEMU_DIED = "qemu-died"
    INTERNAL_ERROR = "kvm-internal-error"
    FAILED_ENTRY = "failed-entry"
    TRIPLE_FAULT = "triple-fault"


@dataclass(frozen=True)
class Fault:
    """One fault of a VM. Several of the same kind that come together are one, with a count."""

    number: int
    uuid: str
    name: str
    project_id: str | None
    kind: FaultKind
    created: Stamp
    message: str  # at most 255 characters
    details: Mapping[str, Any]  # by kind: reason and device; exit reason and vCPU
    count: int
    source: Source


@dataclass(frozen=True)
class StateChange:
    """A VM's state before and after."""

    number: int
    uuid: str
    name: str
    at: Stamp
    before: int | None  # virDomainState; None: it was not known before
    after: int | None  # None: it is gone
    reason: int | None  # by state, as libvirt numbers it (virDomainPausedReason, ...)
    source: Source


class ChangeKind(StrEnum):
    """What an entry of the journal is about."""

    STATE = "state"
    ACTION = "action"
    FAULT = "fault"
    LIFE = "life"  # began, ended, resized, renamed
    SERVICE = "service"  # enabled, disabled, up, down, forced down
    CONNECTION = "connection"  # to libvirt: lost, there again
    GAP = "gap"  # events that nobody saw


@dataclass(frozen=True)
class Change:
    """An entry of the journal: what notifications are made of. It stands by itself."""

    sequence: int  # from 1, without gaps as long as none are deleted for their age
    at: Stamp
    kind: ChangeKind
    uuid: str | None  # the VM's
    name: str | None
    body: Mapping[str, Any]  # by kind: docs/history.md


@dataclass(frozen=True)
class Status:
    """The history itself."""

    host: str
    host_uuid: str  # made up when the file was made: the hypervisor's id
    version: str  # of the kvmlog that writes it
    observed_since: Stamp  # when the file was begun
    written: Stamp  # by the process that writes it, each ten seconds at least
    oldest_sequence: int  # of the journal
    newest_sequence: int
    lost_events: int  # of libvirt's, so far: told by the collector, or found by a gap
    lost_records: int  # of exits in which faults were looked for
    warning: str | None  # what is wrong with it now, a sentence: the disk is full
