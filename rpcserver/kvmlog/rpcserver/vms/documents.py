# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers about VMs and their hosts: what both protocols serve, as plain objects.

Ages in a document of our own are counted to the poll; how old that is stands beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Final

from kvmlog.rpcserver.vms.cursors import Cursors
from kvmlog.rpcserver.vms.source import Poll, PollSource, Waiting, require_fresh
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.reader import lateness
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import (
    ceilometer,
    cloudstack,
    collector,
    host,
    vdsm_host,
    vmstats,
)
from kvmlog.vmstats.views.errors import UnknownFormatError
from kvmlog.vmstats.views.table import FORMATS
from kvmlog.vmstats.views.units import iso

# Memory for a VM of a reply while that is made.
VM_BYTES: Final = 32 * 1024
GROUPS: Final = tuple(vmstats.GROUPS)
# Our own sample tells its age; of the others none can.
_OWN: Final = "kvmlog"


DIAGNOSTICS: Final = tuple(FORMATS)


class Vms:
    """The questions to one file of VM statistics; thread-safe."""

    def __init__(self, vmstats_path: str, ring_path: str) -> None:
        """ring_path: its bridge lists the guests, whose names the VMs have too."""
        self._source = PollSource(vmstats_path)
        self._ring_path = ring_path
        self._cloudstack: Cursors[cloudstack.Cursor] = Cursors({})
        self._samples: Cursors[ceilometer.Cursor] = Cursors({})

    def poll(self, waiting: Waiting) -> Poll:
        """Return the newest poll; NoCollectorError, UnusableStatisticsError."""
        return self._source.newest(waiting)

    def look(self) -> None:
        """Have the newest poll ready for callers (PollSource.look)."""
        self._source.look()

    def listed(self, poll: Poll) -> dict[str, Any]:
        """Return who the VMs are and what they do, without figures."""
        now = Moment.now()
        return {**_origin(poll, now), "vms": [_listed(vm, now) for vm in poll.snapshot.vms]}

    def stats(
        self,
        poll: Poll,
        words: Sequence[str],
        groups: Sequence[str],
        encode: Callable[[Any], bytes],
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Return our own samples of some VMs, each encoded, and what the reply has besides.

        words: all VMs without any; groups: all of GROUPS without any. UnknownVmError,
        UnknownGroupError.
        """
        chosen = frozenset(groups or GROUPS)

        def encoder(vm: Vm, until: Moment) -> bytes:
            return encode(vmstats.document(vm, until, chosen))

        vms = self._chosen(poll, words)
        return _origin(poll, Moment.now()), poll.encoded((encode, chosen), encoder, vms)

    def one(self, poll: Poll, word: str, groups: Sequence[str]) -> dict[str, Any]:
        """Return our own sample of one VM, with ages as of now."""
        vm = self.find(poll, word)
        return vmstats.document(vm, Moment.now(), groups or None)

    def find(self, poll: Poll, word: str) -> Vm:
        """Return the VM that a word names; UnknownVmError, InvalidRequestError."""
        return poll.index(self._ring_path).one(word)

    def block(self, poll: Poll, words: Sequence[str]) -> tuple[dict[str, Any], bytes]:
        """Return some VMs with their hosts as the collector's file has them, and what is besides.

        words: all VMs without any. UnknownVmError.
        """
        origin = _origin(poll, Moment.now())
        if not words:
            return origin, poll.content
        vms = tuple(self._chosen(poll, words))
        return origin, file.encode(replace(poll.snapshot, vms=vms))

    def _chosen(self, poll: Poll, words: Sequence[str]) -> list[Vm]:
        """Return the VMs that any of the words names, all without words; UnknownVmError."""
        if not words:
            return list(poll.snapshot.vms)
        return poll.index(self._ring_path).matching(words)

    def of_vm(self, poll: Poll, word: str, kind: str) -> dict[str, Any]:
        """Return one VM in a format of DIAGNOSTICS.

        UnknownFormatError, UnknownVmError, NotRunningError, LateCollectorError.
        """
        document = _known(FORMATS, kind).document
        vm = self.find(poll, word)
        if kind != _OWN:
            require_fresh(poll.snapshot)
        found: dict[str, Any] = document(vm, Moment.now())
        return found

    def hosts(self, poll: Poll) -> dict[str, Any]:
        """Return the hosts, in our own form and in VDSM's, and the collector's state."""
        now, hosts = Moment.now(), poll.snapshot.hosts
        return {
            "collector": collector.document(poll.snapshot, now),
            "hosts": [host.document(one, now) for one in hosts],
            "vdsm": [vdsm_host.document(one, now) for one in hosts],
        }

    def cloudstack(self, poll: Poll, caller: Hashable, word: str) -> dict[str, Any]:
        """Return CloudStack's entries: growth since this caller's call before, and all of it."""
        require_fresh(poll.snapshot)
        now, vms = Moment.now(), poll.snapshot.vms
        return {
            "vmStatsMap": self._cloudstack.advance(
                caller, word, lambda cursor: cloudstack.deltas(vms, cursor, now)
            ),
            "accumulated": cloudstack.accumulated(vms, now),
        }

    def samples(self, poll: Poll, caller: Hashable, word: str) -> list[dict[str, Any]]:
        """Return Ceilometer's samples; deltas are since this caller's call before."""
        require_fresh(poll.snapshot)
        now, vms = Moment.now(), poll.snapshot.vms
        return self._samples.advance(
            caller, word, lambda cursor: ceilometer.samples(vms, cursor, now)
        )


def _known(table: dict[str, Any], kind: str) -> Any:
    found = table.get(kind)
    if found is None:
        raise UnknownFormatError(f"{kind!a}: no format; give one of {', '.join(table)}")
    return found


def _origin(poll: Poll, now: Moment) -> dict[str, Any]:
    """Return what each reply of our own says of its figures; late: None, or a sentence."""
    written = poll.snapshot.collector.written
    return {
        "written": iso(written),
        "age_s": max(0, now.monotonic_ns - written.monotonic_ns) / 1e9,
        "late": lateness(poll.snapshot, now),
    }


def _listed(vm: Vm, now: Moment) -> dict[str, Any]:
    sample = vm.sample
    return {
        "uuid": sample.uuid,
        "name": sample.name,
        "uri": sample.uri,
        "state": sample.state.name.lower(),
        "domain_id": sample.domain_id,
        "pid": sample.pid,
        "age_s": vm.age_s(now),
        "timed_out": sample.timed_out,
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


def look_ahead() -> None:
    """Have the newest polls of all files ready that callers have asked for of late."""
    with _lock:
        kept = list(_kept.values())
    for one in kept:
        one.look()
