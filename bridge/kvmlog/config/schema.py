# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of /etc/kvmlog/kvmlog.toml: to add one, add a field here.

The check of the file, the attributes of Config, the options of the services,
the default file and the tables of docs/operations.md (compared by a test) all come from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from kvmlog.config.keys import (
    Key,
    RefusedValueError,
    absolute,
    address,
    key,
    keys_of,
    optional_absolute,
    optional_address,
    optional_url,
    power_of_two,
)
from kvmlog.native import lib

DEFAULT_RING: Final = "/run/kvmlog/ring"
DEFAULT_SLOTS: Final[int] = lib.KVMLOG_RING_DEFAULT_SLOTS
DEFAULT_MIB: Final[int] = lib.KVMLOG_STATISTICS_DEFAULT_MIB
MAX_MIB: Final[int] = lib.KVMLOG_STATISTICS_MAX_MIB
DEFAULT_SOCKET: Final = "/run/kvmlog/switch"
DEFAULT_BPF_CACHE: Final = "/var/cache/kvmlog"
DEFAULT_VCPUS: Final = 4096  # the module's own default, too
DEFAULT_UDP: Final = "127.0.0.1:50000"
DEFAULT_PERCENT: Final = 2.0
DEFAULT_LISTEN: Final = "127.0.0.1:50080"
DEFAULT_JSON: Final = "127.0.0.1:50081"
DEFAULT_METRICS: Final = "127.0.0.1:50082"
DEFAULT_FLEET: Final = "127.0.0.1:50083"
DEFAULT_USER: Final = "kvmlog-rpc"
DEFAULT_RECORDINGS: Final = "/var/lib/kvmlog/recordings"
DEFAULT_VMSTATS: Final = "/run/kvmlog-vmstats/vms.json"
DEFAULT_HISTORY: Final = "/var/lib/kvmlog-history/history.db"
DEFAULT_HISTORY_SOCKET: Final = "/run/kvmlog-history/socket"
DEFAULT_AUDIT: Final = "/var/lib/kvmlog-notify/audit.json"

# Where the BPF programs take an exit's reason from.
REASONS: Final = ("auto", "vcpu", "event")
# Who may send unsigned commands on loopback.
PLAIN: Final = ("off", "owner", "any")

_BRIDGE: Final = ("bridge",)
_BPF: Final = ("bridge", "bpf")
_RPC: Final = ("rpc",)
_READERS: Final = ("bridge", "rpc", "history", "metrics")
_NOTIFY: Final = ("notify",)
_VMSTATS: Final = ("vmstats",)
_HISTORY: Final = ("history",)
_OF_HISTORY: Final = ("history", "rpc", "notify")
_METRICS: Final = ("metrics",)
_FLEET: Final = ("fleet",)


def _optional_path(given: str) -> None:
    if given:
        absolute(given)


def _statistics_mib(given: int) -> None:
    low = lib.KVMLOG_STATISTICS_MIN_MIB
    if given and not low <= given <= MAX_MIB:
        raise RefusedValueError(f"give {low} to {MAX_MIB} MiB, or 0 for no statistics")


def _owners(given: tuple[str, ...]) -> None:
    # Here, since commands that only want a default need none of it.
    from kvmlog.config import owner_limits

    owner_limits.parse(given)


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
class RpcKeys:
    """The XML-RPC server."""

    listen: str = key(
        DEFAULT_LISTEN,
        "address to listen on; port 0: any free port",
        option="--listen",
        commands=_RPC,
        metavar="HOST:PORT",
        check=address,
    )
    json_listen: str = key(
        "",
        f"address to serve VM statistics on as JSON: {DEFAULT_JSON} or another; port 0: any free "
        "port; without it there is no such port",
        option="--json-listen",
        commands=_RPC,
        metavar="HOST:PORT",
        check=optional_address,
    )
    user: str = key(
        DEFAULT_USER,
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_RPC,
        metavar="NAME",
    )
    tls_cert: str = key(
        "",
        "TLS certificate with its chain, PEM",
        option="--tls-cert",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    tls_key: str = key(
        "",
        "private key of the certificate, PEM",
        option="--tls-key",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    tls_ca: str = key(
        "",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        option="--tls-ca",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    switch_names: tuple[str, ...] = key(
        (),
        "names in client certificates that may switch; the others may only read; empty: all may",
        option="--switch-name",
        commands=_RPC,
        metavar="NAME",
        live=True,
    )
    token_file: str = key(
        "",
        "file with the tokens of clients (kvmlog rpc --new-token)",
        option="--token-file",
        commands=_RPC,
        metavar="FILE",
        live=True,
    )
    requests_per_s: int = key(
        200,
        "requests per second of one caller, with bursts of five times as many; 0: no limit",
        option="--requests-per-s",
        commands=_RPC,
        low=0,
        high=1_000_000,
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


@dataclass(frozen=True)
class VmStatsKeys:
    """The collector of VMs' CPU, memory, disk and network statistics."""

    file: str = key(
        DEFAULT_VMSTATS,
        "file that the collector writes and all others read",
        option="--vmstats-file",
        commands=("vmstats", "rpc", "history", "metrics"),
        metavar="PATH",
    )
    uris: tuple[str, ...] = key(
        ("qemu:///system",),
        "libvirt connections to collect from: qemu:///system, qemu+ssh://, qemu+tls://, "
        "test:///default",
        option="--uri",
        commands=_VMSTATS,
        metavar="URI",
    )
    interval_s: float = key(
        10.0,
        "seconds between two polls",
        option="--interval",
        commands=_VMSTATS,
        low=1,
        high=3_600,
        metavar="SECONDS",
    )
    history_s: float = key(
        600.0,
        "seconds that a rate may reach back, where a VM did not answer in between",
        option="--history",
        commands=_VMSTATS,
        low=10,
        high=86_400,
        metavar="SECONDS",
    )
    balloon_period_s: int = key(
        0,
        "period of the balloons' statistics, set in domains that have none (takes a read-write "
        "connection); 0: none is set",
        option="--balloon-period",
        commands=_VMSTATS,
        low=0,
        high=3_600,
        metavar="SECONDS",
    )
    budget_percent: float = key(
        5.0,
        "share of one CPU that the collector and libvirtd's work for it may take together, in "
        "percent; where it is more, polls become rarer; 0: no limit",
        option="--budget",
        commands=_VMSTATS,
        low=0,
        high=100,
        metavar="PERCENT",
    )
    images: str = key(
        "/var/lib/libvirt/images",
        "folder of the VMs' images, whose file system is the host's disk in engines' views",
        option="--images",
        commands=_VMSTATS,
        metavar="PATH",
        check=absolute,
    )
    user: str = key(
        "kvmlog-vmstats",
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_VMSTATS,
        metavar="NAME",
    )


@dataclass(frozen=True)
class HistoryKeys:
    """The history: services, lives of VMs, actions, faults."""

    file: str = key(
        DEFAULT_HISTORY,
        "SQLite file that kvmlog history writes and all others read",
        option="--history-file",
        commands=_OF_HISTORY,
        metavar="PATH",
    )
    socket: str = key(
        DEFAULT_HISTORY_SOCKET,
        "local socket for heartbeats of services, and for what is set of them",
        option="--history-socket",
        commands=(*_OF_HISTORY, "metrics"),
        metavar="SOCKET",
    )
    keep_days: int = key(
        400,
        "how long actions, faults and ended lives are kept, in days",
        option="--keep-days",
        commands=_HISTORY,
        low=1,
        high=36_500,
        metavar="DAYS",
        live=True,
    )
    max_mib: int = key(
        256,
        "size of the file, in MiB, above which the oldest entries go whatever their age",
        option="--max-mib",
        commands=_HISTORY,
        low=1,
        high=65_536,
        metavar="MIB",
        live=True,
    )
    zone: str = key(
        "nova",
        "availability zone of the services, as engines are told",
        option="--zone",
        commands=_HISTORY,
        metavar="NAME",
    )
    user: str = key(
        "kvmlog-history",
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_HISTORY,
        metavar="NAME",
    )


@dataclass(frozen=True)
class NotifyKeys:
    """Notifications of state changes, faults and what VMs there are."""

    webhook: str = key(
        "",
        "URL that gets each notification by POST, as a CloudEvent; empty: none",
        option="--webhook",
        commands=_NOTIFY,
        metavar="URL",
    )
    webhook_header_file: str = key(
        "",
        "file with a header that the webhook is sent, a secret: Authorization: Bearer ...",
        option="--webhook-header-file",
        commands=_NOTIFY,
        metavar="FILE",
    )
    amqp: str = key(
        "",
        "broker that gets them as from oslo.messaging, without a password: amqp://USER@HOST/VHOST; "
        "empty: none",
        option="--amqp",
        commands=_NOTIFY,
        metavar="URL",
    )
    amqp_password_file: str = key(
        "",
        "file with the password of the broker's user",
        option="--amqp-password-file",
        commands=_NOTIFY,
        metavar="FILE",
    )
    tls_ca: str = key(
        "",
        "certificates that sign those of webhook and broker; empty: the system's",
        option="--tls-ca",
        commands=_NOTIFY,
        metavar="FILE",
    )
    exists: str = key(
        "never",
        "after which period of UTC instance.exists of each VM is sent",
        option="--exists",
        commands=_NOTIFY,
        choices=("never", "hour", "day", "month", "year"),
    )
    audit_file: str = key(
        DEFAULT_AUDIT,
        "file that keeps which periods were told",
        option="--audit-file",
        commands=_NOTIFY,
        metavar="PATH",
    )
    user: str = key(
        "kvmlog-notify",
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_NOTIFY,
        metavar="NAME",
    )


@dataclass(frozen=True)
class LimitsKeys:
    """Limits of VMs' owners, as engines are told them; nothing here refuses a VM."""

    owners: tuple[str, ...] = key(
        (),
        'limits of owners (Nova\'s project ids, "*": of any other), such as '
        '"c1a2b3d4e5f60718293a4b5c6d7e8f90 cores=20 ram_mib=51200 instances=10"',
        commands=("rpc", "fleet"),
        check=_owners,
        live=True,
    )
    cpu_ratio: float = key(
        4.0,
        "virtual CPUs for each CPU of the host: without limits of the owner's own the host's "
        "capacity times this, less what is reserved, is the limit; 0: there is none",
        commands=_RPC,
        low=0,
        high=1_000,
        live=True,
    )
    ram_ratio: float = key(
        1.0,
        "the same for memory",
        commands=_RPC,
        low=0,
        high=1_000,
        live=True,
    )
    reserved_cpus: int = key(
        0,
        "virtual CPUs that are not for VMs",
        commands=_RPC,
        low=0,
        high=1_000_000,
        live=True,
    )
    reserved_ram_mib: int = key(
        512,
        "memory that is not for VMs, MiB",
        commands=_RPC,
        low=0,
        high=2**31 - 1,
        live=True,
    )


@dataclass(frozen=True)
class MetricsKeys:
    """Metrics for Prometheus, and pushed as OTLP."""

    # Names of certificates that may switch, as rpc has them: here nothing is switched.
    switch_names: ClassVar[tuple[str, ...]] = ()

    listen: str = key(
        DEFAULT_METRICS,
        "address to serve /metrics on; port 0: any free port; empty: none",
        option="--listen",
        commands=_METRICS,
        metavar="HOST:PORT",
        check=optional_address,
    )
    user: str = key(
        "kvmlog-metrics",
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_METRICS,
        metavar="NAME",
    )
    tls_cert: str = key(
        "",
        "TLS certificate with its chain, PEM",
        option="--tls-cert",
        commands=_METRICS,
        metavar="FILE",
        live=True,
    )
    tls_key: str = key(
        "",
        "private key of the certificate, PEM",
        option="--tls-key",
        commands=_METRICS,
        metavar="FILE",
        live=True,
    )
    tls_ca: str = key(
        "",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        option="--tls-ca",
        commands=_METRICS,
        metavar="FILE",
        live=True,
    )
    token_file: str = key(
        "",
        "file with the tokens of clients (kvmlog metrics --new-token)",
        option="--token-file",
        commands=_METRICS,
        metavar="FILE",
        live=True,
    )
    series_most: int = key(
        100_000,
        "series of VMs at most, half of them of exits, half of what VMs use; VMs that find no "
        "room are left out whole, and counted",
        option="--series-most",
        commands=_METRICS,
        low=100,
        high=10_000_000,
    )
    otlp_url: str = key(
        "",
        "where to push the same metrics as OTLP over HTTP: https://HOST:4318/v1/metrics; empty: "
        "nowhere (takes opentelemetry-exporter-otlp-proto-http)",
        option="--otlp-url",
        commands=_METRICS,
        metavar="URL",
        check=optional_url,
    )
    otlp_interval_s: float = key(
        60.0,
        "seconds between two pushes",
        option="--otlp-interval",
        commands=_METRICS,
        low=1,
        high=3_600,
        metavar="SECONDS",
    )
    otlp_ca: str = key(
        "",
        "CAs to verify the receiver with, PEM; empty: the system's",
        option="--otlp-ca",
        commands=_METRICS,
        metavar="FILE",
    )
    otlp_headers_file: str = key(
        "",
        "file with the headers of pushes, NAME: VALUE on lines of their own (Authorization)",
        option="--otlp-headers",
        commands=_METRICS,
        metavar="FILE",
    )


@dataclass(frozen=True)
class FleetKeys:
    """The server of many hosts' merged answers, on a machine that reaches all of them."""

    # Names of certificates that may switch, as rpc has them: here nothing is switched.
    switch_names: ClassVar[tuple[str, ...]] = ()

    hosts: str = key(
        "",
        "list of the hosts, one HOST[:PORT] of its kvmlog rpc a line; empty: there is no fleet",
        option="--hosts",
        commands=_FLEET,
        metavar="FILE",
        live=True,
        check=_optional_path,
    )
    listen: str = key(
        DEFAULT_FLEET,
        "address to serve on; port 0: any free port",
        option="--listen",
        commands=_FLEET,
        metavar="HOST:PORT",
        check=address,
    )
    user: str = key(
        DEFAULT_USER,
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_FLEET,
        metavar="NAME",
    )
    tls_cert: str = key(
        "",
        "TLS certificate with its chain, PEM",
        option="--tls-cert",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    tls_key: str = key(
        "",
        "private key of the certificate, PEM",
        option="--tls-key",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    tls_ca: str = key(
        "",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        option="--tls-ca",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    token_file: str = key(
        "",
        "file with the tokens of clients (kvmlog fleet serve --new-token)",
        option="--token-file",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    requests_per_s: float = key(
        20.0,
        "requests of one caller at most; 0: no limit",
        option="--requests-per-s",
        commands=_FLEET,
        metavar="N",
        low=0,
        high=1_000_000,
    )
    parallel: int = key(
        32,
        "hosts that are asked at a time",
        option="--parallel",
        commands=_FLEET,
        metavar="N",
        low=1,
        high=1_024,
        live=True,
    )
    timeout_s: float = key(
        10.0,
        "seconds that a host may take for connection and reply",
        option="--timeout",
        commands=_FLEET,
        metavar="S",
        low=0.1,
        high=3_600,
        live=True,
    )
    fresh_s: float = key(
        15.0,
        "seconds for which answers of the hosts serve all callers; 0: hosts are asked each time",
        option="--fresh",
        commands=_FLEET,
        metavar="S",
        low=0,
        high=3_600,
        live=True,
    )
    metrics_port: int = key(
        50082,
        "port of kvmlog metrics on the hosts, for Prometheus (/targets)",
        option="--metrics-port",
        commands=_FLEET,
        metavar="N",
        low=1,
        high=65_535,
        live=True,
    )
    host_token_file: str = key(
        "",
        "file that holds only the token to show to the hosts",
        option="--host-token-file",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    host_tls_ca: str = key(
        "",
        "CA to verify the hosts with, PEM (without: the system's)",
        option="--host-tls-ca",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    host_tls_cert: str = key(
        "",
        "certificate to show to the hosts, PEM",
        option="--host-tls-cert",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )
    host_tls_key: str = key(
        "",
        "private key of that certificate, PEM",
        option="--host-tls-key",
        commands=_FLEET,
        metavar="FILE",
        live=True,
    )


# The names are those of Config's attributes.
SECTIONS: Final[dict[str, type]] = {
    "bridge": BridgeKeys,
    "udp": UdpKeys,
    "rpc": RpcKeys,
    "budget": BudgetKeys,
    "recorder": RecorderKeys,
    "vmstats": VmStatsKeys,
    "history": HistoryKeys,
    "notify": NotifyKeys,
    "limits": LimitsKeys,
    "metrics": MetricsKeys,
    "fleet": FleetKeys,
}
KEYS: Final[dict[str, Key]] = {
    one.full: one for section, kind in SECTIONS.items() for one in keys_of(section, kind)
}
