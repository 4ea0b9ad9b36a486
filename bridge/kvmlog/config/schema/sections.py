# SPDX-License-Identifier: GPL-2.0-or-later
"""All sections of the file, and all their keys."""

from __future__ import annotations

from typing import Final

from kvmlog.config.keys import Key, keys_of
from kvmlog.config.schema.serving import FleetKeys, MetricsKeys, RpcKeys
from kvmlog.config.schema.tracing import BridgeKeys, BudgetKeys, RecorderKeys, UdpKeys
from kvmlog.config.schema.vms import HistoryKeys, LimitsKeys, NotifyKeys, VmStatsKeys

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
