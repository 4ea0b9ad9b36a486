# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys about VMs: their statistics, history, notifications, and limits of their owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kvmlog.config.keys import absolute, key
from kvmlog.config.schema.defaults import (
    DEFAULT_AUDIT,
    DEFAULT_HISTORY,
    DEFAULT_HISTORY_SOCKET,
    DEFAULT_VMSTATS,
)

_RPC: Final = ("rpc",)
_VMSTATS: Final = ("vmstats",)
_HISTORY: Final = ("history",)
_OF_HISTORY: Final = ("history", "rpc", "notify")
_NOTIFY: Final = ("notify",)


def _owners(given: tuple[str, ...]) -> None:
    # Here, since commands that only want a default need none of it.
    from kvmlog.config import owner_limits

    owner_limits.parse(given)


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
