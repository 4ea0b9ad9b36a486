# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers about VMs and their host: what both protocols serve, as plain objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from kvmlog.rpcserver.vms.source import Encoder, Poll, PollSource, Waiting
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.serialize import (
    GROUPS,
    collector_object,
    host_object,
    listed_object,
    moment_object,
    vm_object,
)
from kvmlog.vmstats.snapshot import Snapshot

# Memory for a VM or a host of a reply while that is made.
VM_BYTES: Final = 32 * 1024
# Makes an array of a reply from its elements, each encoded.
Join: Final = Callable[[Sequence[bytes]], Any]


class Vms:
    """The questions to one file of VM statistics; thread-safe."""

    def __init__(self, vmstats_path: str, ring_path: str) -> None:
        """ring_path: its bridge lists the guests, whose names the VMs have too."""
        self._source = PollSource(vmstats_path)
        self._ring_path = ring_path

    def poll(self, waiting: Waiting) -> Poll:
        """Return the newest poll; NoCollectorError, UnusableStatisticsError."""
        return self._source.newest(waiting)

    def listed(self, poll: Poll) -> dict[str, Any]:
        """Return all VMs, without their figures."""
        now = Moment.now()
        found = [listed_object(vm, now) for vm in poll.snapshot.vms]
        return {**_origin(poll.snapshot, now), "vms": found}

    def stats(
        self,
        poll: Poll,
        words: Sequence[str],
        groups: Sequence[str],
        encode: Callable[[Any], bytes],
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Return our own samples of some VMs, encoded, and what the reply has besides.

        words: all VMs without any; groups: of GROUPS, all without any. UnknownVmError.
        """
        chosen = tuple(group for group in GROUPS if not groups or group in groups)
        vms = poll.index(self._ring_path).matching(words)
        encoder: Encoder = lambda vm: encode(vm_object(vm, chosen))  # noqa: E731
        encoded = poll.encoded((encode, chosen), encoder, vms)
        return _origin(poll.snapshot, Moment.now()), encoded

    def hosts(self, poll: Poll) -> dict[str, Any]:
        """Return the hosts, as the collector samples them, and what that costs."""
        found = [host_object(host) for host in poll.snapshot.hosts]
        return {**_origin(poll.snapshot, Moment.now()), "hosts": found}


def _origin(snapshot: Snapshot, now: Moment) -> dict[str, Any]:
    """Return what each reply of our own says of its figures; late: None, or a sentence."""
    return {
        "boot_id": snapshot.boot_id,
        "now": moment_object(now),
        "late": lateness(snapshot, now),
        "collector": collector_object(snapshot.collector),
    }


_MOST_KEPT: Final = 4
_lock: Final = threading.Lock()  # covers _kept
_kept: Final[dict[tuple[str, str], Vms]] = {}


def vms_of(vmstats_path: str, ring_path: str) -> Vms:
    """Return the one of this process for these paths."""
    with _lock:
        found = _kept.pop((vmstats_path, ring_path), None) or Vms(vmstats_path, ring_path)
        _kept[(vmstats_path, ring_path)] = found  # the last one used is forgotten last
        if len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
        return found
