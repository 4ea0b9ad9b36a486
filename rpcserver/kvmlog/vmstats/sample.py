# SPDX-License-Identifier: GPL-2.0-or-later
"""One sample of one domain: what libvirt and the host say of it, in base units.

Figures that nobody can tell are None, never 0 and never -1; counters are those of libvirt and
begin anew where `generation` has grown. Source of each figure: virConnectGetAllDomainStats() (its
key stands beside it), the domain's XML (kvmlog.vmstats.definition), or /proc.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kvmlog.vmstats.definition import Definition
from kvmlog.vmstats.moment import Moment


class State(IntEnum):
    """The state of a domain, numbered as in virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4  # being shut down
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


# A domain in one of them has a process, and counters.
ACTIVE = frozenset(State) - {State.SHUTOFF, State.CRASHED}


@dataclass(frozen=True)
class Vcpu:
    """One virtual CPU that is online."""

    number: int
    state: str | None  # offline, running, blocked (vcpu.N.state)
    time_ns: int | None  # CPU time (vcpu.N.time)
    # On a run queue, as the scheduler counts (vcpu.N.wait); None: it does not (schedstats are off).
    wait_ns: int | None
    delay_ns: int | None  # ready, but without a CPU: steal (vcpu.N.delay); None: not counted either
    halted: bool | None  # vcpu.N.halted
    # Of its thread, /proc/PID/task/TID/stat; only where the domain runs on this host.
    thread_id: int | None = None
    guest_ns: int | None = None  # within the guest
    user_ns: int | None = None  # in the VMM, without guest_ns
    system_ns: int | None = None  # in the kernel


@dataclass(frozen=True)
class Cpu:
    """CPU time of a domain's process."""

    taken: Moment
    time_ns: int | None  # cpu.time
    user_ns: int | None  # cpu.user; includes guest time on hosts with cgroup v2
    system_ns: int | None  # cpu.system
    # Sum over the vCPU threads, only where the domain runs on this host.
    guest_ns: int | None
    vcpus: tuple[Vcpu, ...]


@dataclass(frozen=True)
class Memory:
    """Memory of a domain; what only the guest knows comes from its balloon driver."""

    taken: Moment
    actual_bytes: int | None  # balloon.current: what the guest has now
    maximum_bytes: int | None  # balloon.maximum
    rss_bytes: int | None  # of the domain's process (balloon.rss)
    guest_updated_realtime_ns: int | None  # balloon.last-update, by the host's clock; whole seconds
    # By the guest's driver; None where there is none, or where it has been silent for too long
    # (then Sample.absent tells).
    available_bytes: int | None  # all that the guest's kernel manages (balloon.available)
    unused_bytes: int | None  # touched by nothing (balloon.unused)
    usable_bytes: int | None  # can be had without swapping (balloon.usable)
    disk_caches_bytes: int | None
    swap_in_bytes: int | None
    swap_out_bytes: int | None
    major_faults: int | None
    minor_faults: int | None
    huge_page_allocations: int | None  # balloon.hugetlb_pgalloc
    huge_page_failures: int | None  # balloon.hugetlb_pgfail

    @property
    def used_bytes(self) -> int | None:
        """Return what the guest cannot do without: available - usable, unused without usable."""
        free = self.unused_bytes if self.usable_bytes is None else self.usable_bytes
        if self.available_bytes is None or free is None:
            return None
        return max(0, self.available_bytes - free)


@dataclass(frozen=True)
class Block:
    """One disk, as libvirt counts it."""

    target: str  # vda; unique within a domain
    read_bytes: int | None
    read_requests: int | None
    read_time_ns: int | None  # in requests that completed
    write_bytes: int | None
    write_requests: int | None
    write_time_ns: int | None
    flush_requests: int | None
    flush_time_ns: int | None
    errors: int | None  # block.N.errors, which QEMU does not give
    io_errors: int | None  # events IO_ERROR since the collector began
    capacity_bytes: int | None  # as the guest sees it
    allocation_bytes: int | None  # highest written offset of the image
    physical_bytes: int | None  # size of its container


@dataclass(frozen=True)
class Interface:
    """One network interface; received and transmitted as the guest sees it."""

    mac: str | None  # lower case; None only where the XML has no such interface
    target: str | None  # the host's device: vnet0; None: it has none (vhost-user, SR-IOV)
    alias: str | None  # net0; unique within a domain
    rx_bytes: int | None
    rx_packets: int | None
    rx_errors: int | None
    rx_drops: int | None
    tx_bytes: int | None
    tx_packets: int | None
    tx_errors: int | None
    tx_drops: int | None
    mac_shared: bool = False  # another interface of the domain has the same (a failover pair)

    @property
    def key(self) -> str:
        """Return what is this interface's alone within the domain: MAC, else alias or target."""
        other = self.alias or self.target or ""
        if self.mac is None:
            return other
        return f"{self.mac}/{other}" if self.mac_shared else self.mac


@dataclass(frozen=True)
class Absence:
    """Why figures are not there."""

    group: str  # cpu, memory, blocks, interfaces
    reason: str  # a sentence
    age_s: float | None = None  # of the last ones that were known, at the sample's time


@dataclass(frozen=True)
class Sample:
    """One domain at one time."""

    uuid: str  # lower case, with dashes
    name: str  # printable (guests.sanitize)
    uri: str  # libvirt's connection
    domain_id: int | None  # None: it does not run
    pid: int | None  # of its process; only where it runs on this host
    # Grows whenever its counters begin anew, and never shrinks for a UUID: the second, since 1970,
    # in which this one was first seen.
    generation: int
    state: State
    state_reason: int  # as libvirt numbers them, by state (virDomainRunningReason, ...)
    state_since: Moment | None  # when the state was first seen
    started: Moment | None  # of its process on this host; of others when it was first seen running
    taken: Moment  # when libvirt answered for it last
    timed_out: bool  # it did not answer since: all is as old as `taken`
    definition: Definition
    # None: a domain that does not run has none, or libvirt did not tell (`absent`).
    cpu: Cpu | None
    memory: Memory | None
    blocks: tuple[Block, ...] | None
    interfaces: tuple[Interface, ...] | None
    blocks_taken: Moment | None
    interfaces_taken: Moment | None
    absent: tuple[Absence, ...] = ()

    @property
    def active(self) -> bool:
        """Return whether it has a process."""
        return self.state in ACTIVE
