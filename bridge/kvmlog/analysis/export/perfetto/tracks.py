# SPDX-License-Identifier: GPL-2.0-or-later
"""The tracks of a trace: a process per guest, a thread per vCPU, counters, and one for notes."""

from __future__ import annotations

from typing import Final, NamedTuple

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket, TrackDescriptor

from kvmlog.analysis.export.perfetto.stream import SEQUENCE, TraceStream

# Processes of guests whose process is not known: above all that Linux gives.
_UNKNOWN_PID: Final = 1 << 30
_MOST_PID: Final = 2**31 - 1


class GuestKey(NamedTuple):
    """A guest of a trace; name None: not known, pid is 0 then."""

    name: str | None
    pid: int
    number: int


class Tracks:
    """Tracks, described when they are first needed."""

    def __init__(self, stream: TraceStream) -> None:
        self._stream = stream
        self._uuids: dict[tuple[object, ...], int] = {}

    def guest(self, guest: GuestKey) -> int:
        """Return the track of a guest's process."""
        pid = guest.pid if guest.name is not None else _UNKNOWN_PID + guest.number % _UNKNOWN_PID
        # Two VMs of one process are one group.
        key = ("guest", pid)
        if key not in self._uuids:
            track = TrackDescriptor(uuid=self._new(key))
            track.process.pid = min(pid, _MOST_PID)
            track.process.process_name = guest.name or f"guest {guest.number}"
            self._describe(track)
        return self._uuids[key]

    def vcpu(self, guest: GuestKey, vcpu: int | None, tid: int) -> int:
        """Return the track of a vCPU; tid: of the thread that ran it first."""
        key = ("vcpu", guest, vcpu)
        if key not in self._uuids:
            process = self.guest(guest)
            track = TrackDescriptor(uuid=self._new(key), parent_uuid=process)
            track.name = "returns to the VMM" if vcpu is None else f"vCPU {vcpu}"
            pid = guest.pid if guest.name is not None else _UNKNOWN_PID + guest.number
            track.thread.pid = min(pid, _MOST_PID)
            track.thread.tid = min(tid, _MOST_PID)
            track.thread.thread_name = track.name
            self._describe(track)
        return self._uuids[key]

    def counter(self, name: str, unit: str, guest: GuestKey | None = None) -> int:
        """Return a counter's track, of a guest or of the host."""
        key = ("counter", name, guest)
        if key not in self._uuids:
            track = TrackDescriptor(uuid=self._new(key), name=name)
            if guest is not None:
                track.parent_uuid = self.guest(guest)
            track.counter.unit_name = unit
            self._describe(track)
        return self._uuids[key]

    def notes(self) -> int:
        """Return the track of what is no exit: losses, switches, clocks, host CPUs."""
        key = ("notes",)
        if key not in self._uuids:
            self._describe(TrackDescriptor(uuid=self._new(key), name="kvmlog"))
        return self._uuids[key]

    def _new(self, key: tuple[object, ...]) -> int:
        return self._uuids.setdefault(key, len(self._uuids) + 1)

    def _describe(self, track: TrackDescriptor) -> None:
        self._stream.packet(
            TracePacket(trusted_packet_sequence_id=SEQUENCE, track_descriptor=track)
        )
