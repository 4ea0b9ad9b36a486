# SPDX-License-Identifier: GPL-2.0-or-later
"""What was seen of one VM over some seconds, in base units: ns, bytes, counts.

None: not known; an empty tuple: known, and none of it. Each part has an interval of its own, since
the collector polls when it does and the bridge counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Activity(StrEnum):
    """What a guest's exits are for, whatever the processor calls them."""

    HALT = "halt"
    TIMER = "timer"  # programming its own timer, or the timer's end
    IPI = "ipi"  # one vCPU interrupts another
    APIC = "apic"  # other registers of the interrupt controller
    MSR = "msr"  # model-specific registers that are neither
    PORT = "port"
    MMIO = "mmio"  # memory of an emulated device
    MEMORY = "memory"  # pages of the guest that the host has to provide
    INTERRUPT = "interrupt"  # of the host
    SPIN = "spin"  # waiting for a lock: PAUSE
    NESTED = "nested"  # of a guest within the guest
    OTHER = "other"


@dataclass(frozen=True)
class Group:
    """Exits with one reason and one detail; kvm_ns to paused_ns are the parts of total_ns."""

    activity: Activity
    isa: str  # vmx, svm, arm64
    reason: int
    name: str  # of the reason
    detail: str  # in words: "port 0x3f8 (com1)"; "": none
    count: int
    total_ns: int
    kvm_ns: int  # in the host's kernel
    vmm_ns: int  # in QEMU
    wait_ns: int  # ready, but without a CPU
    idle_ns: int  # halted
    paused_ns: int  # held by the VMM


@dataclass(frozen=True)
class Return:
    """Returns from KVM to the VMM for one cause."""

    name: str  # KVM_EXIT_IO
    count: int


@dataclass(frozen=True)
class Stuck:
    """A vCPU in one exit, neither halted nor paused, when the watch ended."""

    vcpu: int
    name: str  # of the reason
    detail: str
    since_ns: int  # how long
    in_vmm: bool  # else: in the kernel


@dataclass(frozen=True)
class Exits:
    """All exits of the VM in the interval."""

    over_ns: int
    vcpus: int | None  # that made any; None: not known
    groups: tuple[Group, ...]
    returns: tuple[Return, ...]
    stuck: tuple[Stuck, ...] = ()
    halted_ns: int = 0  # of halts that had not ended, within the interval
    held_ns: int = 0  # of pauses that had not ended, within the interval

    @property
    def count(self) -> int:
        """Return how many there were."""
        return sum(group.count for group in self.groups)

    def sum_ns(self, part: str) -> int:
        """Return a part of the time of all groups: "vmm_ns"."""
        return sum(getattr(group, part) for group in self.groups)


@dataclass(frozen=True)
class VcpuTime:
    """One vCPU's thread, as the host's scheduler counts."""

    number: int
    on_cpu_ns: int
    wait_ns: int | None  # ready, but without a CPU


@dataclass(frozen=True)
class Rival:
    """What else used a CPU that a waiting vCPU may run on."""

    pid: int
    comm: str
    cpu: int
    cpu_ns: int


@dataclass(frozen=True)
class CpuTime:
    """CPU time of the VM's vCPUs."""

    over_ns: int
    vcpus: tuple[VcpuTime, ...]
    throttled_ns: int | None = None  # held back by a quota of its control groups
    rival: Rival | None = None
    host_cpus: int | None = None  # that it may run on


@dataclass(frozen=True)
class Operations:
    """Requests of one kind to one disk; limits: of libvirt (iotune), None: none, or not known."""

    kind: str  # read, write, flush
    requests_per_s: float
    bytes_per_s: float | None
    latency_ns: float | None  # per request; None: there was none
    limit_requests_per_s: int | None = None
    limit_bytes_per_s: int | None = None


@dataclass(frozen=True)
class Disk:
    """One disk."""

    target: str
    source: str | None
    operations: tuple[Operations, ...]
    errors: int  # I/O errors that libvirt reported in the interval
    total_limit_requests_per_s: int | None = None  # of reads and writes together
    total_limit_bytes_per_s: int | None = None


@dataclass(frozen=True)
class Nic:
    """One direction of one interface, as the guest sees it."""

    name: str
    way: str  # receive, transmit
    packets_per_s: float
    drops_per_s: float
    errors_per_s: float


@dataclass(frozen=True)
class Memory:
    """Memory of the guest; what only its balloon driver knows may be unknown."""

    current_bytes: int | None  # what the balloon leaves it
    maximum_bytes: int | None
    available_bytes: int | None
    usable_bytes: int | None
    swap_in_bytes_per_s: float | None
    swap_out_bytes_per_s: float | None
    # Of its process on the host.
    host_major_faults_per_s: float | None = None
    host_swapped_bytes: int | None = None
    rss_bytes: int | None = None


@dataclass(frozen=True)
class Host:
    """The host over the interval; pressure: percent of the time (psi.rst), by resource and kind."""

    over_ns: int
    cpus: int | None
    load1: float | None
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    swap_used_bytes: int | None
    pressure: dict[str, float] = field(default_factory=dict)  # "memory some": 12.5
    ksmd_percent: float | None = None  # of one CPU
    ksm_sharing_bytes: int | None = None


@dataclass(frozen=True)
class Run:
    """The state of the VM at the end of the watch, as libvirt has it."""

    state: str  # running, paused, ...
    reason: str | None  # in words: "an I/O error"
    since_s: float | None
    hung: bool = False  # its QEMU does not answer libvirt


@dataclass(frozen=True)
class Gap:
    """What could not be looked at, why, and what would help."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """All that was seen of one VM."""

    name: str
    uuid: str | None
    pid: int | None
    over_ns: int
    vcpus: int | None
    run: Run | None = None
    exits: Exits | None = None
    cpu: CpuTime | None = None
    disks: tuple[Disk, ...] | None = None
    nics: tuple[Nic, ...] | None = None
    memory: Memory | None = None
    host: Host | None = None
    gaps: tuple[Gap, ...] = ()
