# SPDX-License-Identifier: GPL-2.0-or-later
"""Defaults and choices of keys that other code names, too."""

from __future__ import annotations

from typing import Final

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
