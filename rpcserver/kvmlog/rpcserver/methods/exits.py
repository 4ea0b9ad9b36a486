# SPDX-License-Identifier: GPL-2.0-or-later
"""vmExits: the exits of each VM that runs, as counters and rates for engines."""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from kvmlog.guests.names import GuestNames
from kvmlog.ring.reader import RingInfo, host_clocks
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.readers import open_statistics, ring_reader
from kvmlog.rpcserver.methods.shared_snapshot import SHARED
from kvmlog.rpcserver.vms import exits
from kvmlog.rpcserver.vms.documents import vms_of
from kvmlog.rpcserver.vms.errors import NoCollectorError, UnusableStatisticsError
from kvmlog.stat.names import StatisticsNames
from kvmlog.util.errors import RingError
from kvmlog.util.units import NS_PER_S, iso_time
from kvmlog.vmstats.snapshot import Vm

# Memory for a VM of a reply while that is made: a line for each of its reasons.
_VM_BYTES: Final = 32 * 1024
_earlier: Final = exits.Earlier()


def of_vms(call: Call) -> dict[str, Any]:
    """Serve vmExits."""
    with open_statistics(call) as reader:
        snapshot = SHARED.recent(reader)
    ring = _ring(call.ring_path)
    call.work.reserve(len(snapshot.guests) * _VM_BYTES)
    clocks = host_clocks(call.ring_path)
    since, until = (
        clocks.of(ns)
        for ns in (snapshot.since_realtime_ns, clocks.at(snapshot.folded_ns).realtime_ns)
    )
    alive = ring is not None and ring.writer_alive
    now = exits.counted(snapshot)
    return {
        "since": iso_time(since.realtime_ns, since.utc_offset_s),
        "until": iso_time(until.realtime_ns, until.utc_offset_s),
        "age_s": max(0, time.monotonic_ns() - snapshot.folded_ns) / NS_PER_S,
        "tracing": alive and ring is not None and ring.switched_on,
        "hosts": [exits.host(snapshot, ring, socket.gethostname())],
        "vms": exits.documents(
            snapshot,
            StatisticsNames(GuestNames(call.ring_path)),
            _of_libvirt(call),
            writer_alive=alive,
            now=now,
            before=_earlier.before(now),
        ),
    }


def _ring(path: str) -> RingInfo | None:
    try:
        with ring_reader(path) as ring:
            return ring.info()
    except RingError:
        return None


def _of_libvirt(call: Call) -> tuple[Vm, ...]:
    """Return the VMs that the collector knows; none without one."""
    try:
        return vms_of(call.vmstats_path, call.ring_path).poll(call.work.waiting).snapshot.vms
    except (NoCollectorError, UnusableStatisticsError):
        return ()
