# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of /etc/kvmlog/kvmlog.toml: adding one is adding a field here.

From these come the check of the file, the attributes of Config, the options of `kvmlog bridge` and
`kvmlog rpc`, the default file, and the table in docs/operations.md (a test compares).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.bridge.bpf.plan import REASONS
from kvmlog.bridge.budget import DEFAULT_PERCENT
from kvmlog.bridge.config.keys import Key, RefusedValueError, address, key, keys_of, power_of_two
from kvmlog.bridge.control import DEFAULT_SOCKET
from kvmlog.bridge.ring import DEFAULT_RING
from kvmlog.bridge.statistics_file import DEFAULT_MIB, MAX_MIB
from kvmlog.bridge.udp import DEFAULT_UDP, PLAIN
from kvmlog.bridge.writer import DEFAULT_SLOTS
from kvmlog.native import lib

DEFAULT_LISTEN: Final = "127.0.0.1:50080"
DEFAULT_USER: Final = "kvmlog-rpc"

_BRIDGE: Final = ("bridge",)
_RPC: Final = ("rpc",)
_BOTH: Final = ("bridge", "rpc")


def _statistics_mib(given: int) -> None:
    low = lib.KVMLOG_STATISTICS_MIN_MIB
    if given and not low <= given <= MAX_MIB:
        raise RefusedValueError(f"give {low} to {MAX_MIB}, or 0 for no statistics")


@dataclass(frozen=True)
class BridgeKeys:
    """The bridge, and the two places in which others find it."""

    source: str = key(
        "auto",
        "where the records come from: the kernel module, BPF programs that need no module, "
        "or auto, the module where it is loaded or can be, else bpf",
        option="--source",
        commands=_BRIDGE,
        choices=("auto", "kmod", "bpf"),
    )
    bpf_reason: str = key(
        "auto",
        "how bpf learns an exit's reason: from the vCPU (SVM with BTF), from the event kvm_exit "
        "(works everywhere, costs 600 instructions more), or auto, whichever fits",
        option="--bpf-reason",
        commands=_BRIDGE,
        choices=REASONS,
    )
    ring: str = key(DEFAULT_RING, "ring file", option="--ring", commands=_BOTH, metavar="PATH")
    slots: int = key(
        DEFAULT_SLOTS,
        "records that the ring holds, a power of two",
        option="--slots",
        commands=_BRIDGE,
        check=power_of_two(lib.KVMLOG_RING_MIN_SLOTS, lib.KVMLOG_RING_MAX_SLOTS),
    )
    statistics_mib: int = key(
        DEFAULT_MIB,
        "size of the statistics, a file beside the ring; 0: none",
        option="--statistics-mib",
        commands=_BRIDGE,
        metavar="MIB",
        check=_statistics_mib,
    )
    switch: str = key(
        DEFAULT_SOCKET,
        "the bridge's local socket for commands",
        option="--switch",
        commands=_BOTH,
        metavar="SOCKET",
    )


@dataclass(frozen=True)
class UdpKeys:
    """The switch's UDP port."""

    listen: str = key(
        DEFAULT_UDP,
        "address for commands",
        option="--udp",
        commands=_BRIDGE,
        metavar="HOST:PORT",
        check=address,
        live=True,
    )
    key_file: str = key(
        "",
        "key for signed commands, without which only loopback is listened on",
        option="--udp-key",
        commands=_BRIDGE,
        metavar="FILE",
        live=True,
    )
    plain: str = key(
        PLAIN[0],
        "who may send plain commands, on loopback: owner, sockets of root and of the group "
        "kvmlog; any, every local user; off, nobody",
        option="--udp-plain",
        commands=_BRIDGE,
        choices=PLAIN,
        live=True,
    )


@dataclass(frozen=True)
class RpcKeys:
    """The XML-RPC server."""

    listen: str = key(
        DEFAULT_LISTEN,
        "address to serve on; port 0 chooses one",
        option="--listen",
        commands=_RPC,
        metavar="HOST:PORT",
        check=address,
    )
    user: str = key(
        DEFAULT_USER,
        'whom it becomes when it is started as root; "root" stays root',
        option="--user",
        commands=_RPC,
        metavar="NAME",
    )
    tls_cert: str = key(
        "",
        "certificate for TLS, PEM, with those that lead to its CA",
        option="--tls-cert",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    tls_key: str = key(
        "",
        "the certificate's key, PEM",
        option="--tls-key",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    tls_ca: str = key(
        "",
        "CAs whose certificates clients may show, PEM; without token_file every client has to",
        option="--tls-ca",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    switch_names: tuple[str, ...] = key(
        (),
        "names in client certificates that may switch, the others may read; empty: all may",
        option="--switch-name",
        commands=_RPC,
        metavar="NAME",
        live=True,
    )
    token_file: str = key(
        "",
        "tokens that clients may show (kvmlog rpc --new-token)",
        option="--token-file",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    requests_per_s: int = key(
        200,
        "requests that one peer may make a second, and five times as many at once; 0: no limit",
        option="--requests-per-s",
        commands=_RPC,
        low=0,
        high=1_000_000,
    )


@dataclass(frozen=True)
class BudgetKeys:
    """What tracing may cost."""

    cpu_percent: float = key(
        DEFAULT_PERCENT,
        "share of all CPUs' time that tracing may take, in percent; above it, it is switched "
        "off; 0: no limit",
        option="--budget",
        metavar="PERCENT",
        commands=_BRIDGE,
        low=0,
        high=100,
        live=True,
    )


# The names are those of Config's attributes.
SECTIONS: Final[dict[str, type]] = {
    "bridge": BridgeKeys,
    "udp": UdpKeys,
    "rpc": RpcKeys,
    "budget": BudgetKeys,
}
KEYS: Final[dict[str, Key]] = {
    one.full: one for section, kind in SECTIONS.items() for one in keys_of(section, kind)
}
