# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of /etc/kvmlog/kvmlog.toml: to add one, add a field to its section.

The check of the file, the attributes of Config, the options of the services,
the default file and the tables of docs/operations.md (compared by a test) all come from these.
"""

from __future__ import annotations

from typing import Final

from kvmlog.config.keys import Key, keys_of
from kvmlog.config.schema.defaults import (
    DEFAULT_AUDIT,
    DEFAULT_BPF_CACHE,
    DEFAULT_FLEET,
    DEFAULT_HISTORY,
    DEFAULT_HISTORY_SOCKET,
    DEFAULT_JSON,
    DEFAULT_LISTEN,
    DEFAULT_METRICS,
    DEFAULT_MIB,
    DEFAULT_PERCENT,
    DEFAULT_RECORDINGS,
    DEFAULT_RING,
    DEFAULT_SLOTS,
    DEFAULT_SOCKET,
    DEFAULT_UDP,
    DEFAULT_USER,
    DEFAULT_VCPUS,
    DEFAULT_VMSTATS,
    MAX_MIB,
    PLAIN,
    REASONS,
)
from kvmlog.config.schema.serving import FleetKeys, MetricsKeys, RpcKeys
from kvmlog.config.schema.tracing import BridgeKeys, BudgetKeys, RecorderKeys, UdpKeys
from kvmlog.config.schema.vms import HistoryKeys, LimitsKeys, NotifyKeys, VmStatsKeys

__all__ = [
    "DEFAULT_AUDIT",
    "DEFAULT_BPF_CACHE",
    "DEFAULT_FLEET",
    "DEFAULT_HISTORY",
    "DEFAULT_HISTORY_SOCKET",
    "DEFAULT_JSON",
    "DEFAULT_LISTEN",
    "DEFAULT_METRICS",
    "DEFAULT_MIB",
    "DEFAULT_PERCENT",
    "DEFAULT_RECORDINGS",
    "DEFAULT_RING",
    "DEFAULT_SLOTS",
    "DEFAULT_SOCKET",
    "DEFAULT_UDP",
    "DEFAULT_USER",
    "DEFAULT_VCPUS",
    "DEFAULT_VMSTATS",
    "KEYS",
    "MAX_MIB",
    "PLAIN",
    "REASONS",
    "SECTIONS",
    "BridgeKeys",
    "BudgetKeys",
    "FleetKeys",
    "HistoryKeys",
    "LimitsKeys",
    "MetricsKeys",
    "NotifyKeys",
    "RecorderKeys",
    "RpcKeys",
    "UdpKeys",
    "VmStatsKeys",
]

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
