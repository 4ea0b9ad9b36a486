# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of the bridge: tracing, its switch, its budget and its flight recorder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.config.keys import (
    RefusedValueError,
    absolute,
    address,
    key,
    optional_absolute,
    power_of_two,
)
from kvmlog.config.schema.defaults import (
    DEFAULT_BPF_CACHE,
    DEFAULT_MIB,
    DEFAULT_PERCENT,
    DEFAULT_RECORDINGS,
    DEFAULT_RING,
    DEFAULT_SLOTS,
    DEFAULT_SOCKET,
    DEFAULT_UDP,
    DEFAULT_VCPUS,
    MAX_MIB,
    PLAIN,
    REASONS,
)
from kvmlog.native import lib

_BRIDGE: Final = ("bridge",)
_BPF: Final = ("bridge", "bpf")
_READERS: Final = ("bridge", "rpc", "history", "metrics")


def _statistics_mib(given: int) -> None:
    low = lib.KVMLOG_STATISTICS_MIN_MIB
    if given and not low <= given <= MAX_MIB:
        raise RefusedValueError(f"give {low} to {MAX_MIB} MiB, or 0 for no statistics")


@dataclass(frozen=True)
class BridgeKeys:
    """The bridge, and the two paths by which others find it."""

    source: str = key(
        "auto",
        "where the records come from: kmod (the kernel module), bpf (BPF programs, which need no "
        "module) or auto (the module where it is loaded or can be loaded, else bpf)",
        option="--source",
        commands=_BRIDGE,
        choices=("auto", "kmod", "bpf"),
    )
    bpf_reason: str = key(
        "auto",
        "where bpf takes an exit's reason from: vcpu (SVM with BTF), event (the tracepoint "
        "kvm_exit; works everywhere, costs 600 instructions more) or auto (whichever fits)",
        option="--bpf-reason",
        commands=_BPF,
        choices=REASONS,
    )
    bpf_cache: str = key(
        DEFAULT_BPF_CACHE,
        "folder of compiled BPF programs, root's own, so that only the first start compiles; "
        "empty: each start compiles",
        option="--bpf-cache",
        commands=_BPF,
        metavar="FOLDER",
        check=optional_absolute,
    )
    max_vcpus: int = key(
        DEFAULT_VCPUS,
        "vCPUs of all guests that can be traced at once: the size of bpf's tables, and the "
        "parameter max_vcpus where the bridge loads the module",
        option="--max-vcpus",
        commands=_BRIDGE,
        low=16,
        high=65536,
    )
    ring: str = key(DEFAULT_RING, "ring file", option="--ring", commands=_READERS, metavar="PATH")
    slots: int = key(
        DEFAULT_SLOTS,
        "capacity of the ring in records, a power of two",
        option="--slots",
        commands=_BRIDGE,
        check=power_of_two(lib.KVMLOG_RING_MIN_SLOTS, lib.KVMLOG_RING_MAX_SLOTS),
    )
    statistics_mib: int = key(
        DEFAULT_MIB,
        "size of the statistics file beside the ring, in MiB; 0: no statistics",
        option="--statistics-mib",
        commands=_BRIDGE,
        metavar="MIB",
        check=_statistics_mib,
    )
    switch: str = key(
        DEFAULT_SOCKET,
        "local socket for commands to the bridge",
        option="--switch",
        commands=_READERS,
        metavar="SOCKET",
    )


@dataclass(frozen=True)
class UdpKeys:
    """The switch's UDP port."""

    listen: str = key(
        DEFAULT_UDP,
        "address to take commands on",
        option="--udp",
        commands=_BRIDGE,
        metavar="HOST:PORT",
        check=address,
        live=True,
    )
    key_file: str = key(
        "",
        "file with the key for signed commands; without it only loopback addresses are allowed",
        option="--udp-key",
        commands=_BRIDGE,
        metavar="FILE",
        live=True,
    )
    plain: str = key(
        PLAIN[0],
        "who may send unsigned commands on loopback: off (nobody), any (every local user; old "
        "senders, which close their socket at once, need it) or owner (sockets of root and of the "
        "group kvmlog that wait for the answer; a local attacker may get around it)",
        option="--udp-plain",
        commands=_BRIDGE,
        choices=PLAIN,
        live=True,
    )


@dataclass(frozen=True)
class BudgetKeys:
    """The cost of tracing."""

    cpu_percent: float = key(
        DEFAULT_PERCENT,
        "share of all CPUs' time that tracing may take, in percent; tracing that costs more is "
        "switched off; 0: no limit",
        option="--budget",
        metavar="PERCENT",
        commands=_BRIDGE,
        low=0,
        high=100,
        live=True,
    )


@dataclass(frozen=True)
class RecorderKeys:
    """The bridge's flight recorder: what surrounds an event, kept in files."""

    freeze_on: tuple[str, ...] = key(
        (),
        "events that a recording is kept of: slower-than 10ms (halts and pauses left out), "
        "internal-error, triple-fault, shutdown or another exit reason; empty: none is kept",
        option="--freeze-on",
        commands=_BRIDGE,
        metavar="EVENT",
    )
    folder: str = key(
        DEFAULT_RECORDINGS,
        "folder of these recordings",
        option="--recordings",
        commands=_BRIDGE,
        metavar="PATH",
        check=absolute,
    )
    before_s: float = key(
        10.0,
        "how much of the time before an event is kept, as far as the ring still has it",
        commands=_BRIDGE,
        low=0,
        high=3_600,
    )
    after_s: float = key(
        2.0,
        "how much of the time after it",
        commands=_BRIDGE,
        low=0.001,
        high=600,
    )
    pause_s: float = key(
        60.0,
        "the least time from the end of one recording to the event of the next",
        commands=_BRIDGE,
        low=1,
        high=86_400,
    )
    files: int = key(
        8,
        "how many recordings are kept; the oldest is removed for a new one",
        commands=_BRIDGE,
        low=1,
        high=1_000,
    )
    file_mib: int = key(
        64,
        "the most MiB that one of them takes",
        commands=_BRIDGE,
        low=1,
        high=65_536,
    )
