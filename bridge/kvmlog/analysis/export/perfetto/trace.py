# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording as a Perfetto trace. Its time is CLOCK_MONOTONIC; snapshots tell the time of day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BuiltinClock,
    TracePacket,
    TrackEvent,
)

from kvmlog.analysis.export.perfetto.stream import SEQUENCE, TraceStream
from kvmlog.analysis.export.perfetto.tracks import GuestKey, Tracks
from kvmlog.recording.header import Header
from kvmlog.ring.clocks import Clocks
from kvmlog.util.units import NS_PER_S

_CATEGORY: Final = "kvm"
_RATE_NS: Final = NS_PER_S // 10
# Columns of texts that are arguments of an exit, under these names.
_WORDS: Final = (
    ("detail_words", "detail"),
    ("info_words", "info"),
    ("user_reason_name", "return"),
    ("reason_flags", "reason flags"),
    ("flag_names", "flags"),
    ("handled_by", "handled by"),
)
# Columns of numbers, left out where they are 0.
_NUMBERS: Final = ("vmm_ns", "wait_ns", "idle_ns", "paused_ns", "user_exits")
_BITS: Final = 2**64 - 1


def write_trace(
    batches: Iterable[Any], stream: BinaryIO, header: Header, clocks: Clocks, first_ns: int
) -> None:
    """Write the trace of a recording; first_ns: the time of its first record."""
    trace = _Trace(TraceStream(stream), header, clocks, first_ns)
    for batch in batches:
        trace.add(batch)
    trace.finish()


class _Trace:
    def __init__(self, stream: TraceStream, header: Header, clocks: Clocks, first_ns: int) -> None:
        self._stream = stream
        self._tracks = Tracks(stream)
        self._ends: dict[int, int] = {}  # of the last slice of a track
        self._rates: Counter[tuple[GuestKey, int]] = Counter()
        self._lost = 0
        self._heads: dict[tuple[int, ...], bytes] = {}
        self._tails: dict[int, bytes] = {}
        self._begin(header, clocks, first_ns)

    def add(self, batch: Any) -> None:
        """Add the exits and the other records of a batch."""
        texts = {name: batch.column(name).dictionary.to_pylist() for name, _ in _WORDS}
        reasons = batch.column("reason_name").dictionary.to_pylist()
        for row in _exit_rows(batch):
            guest = GuestKey(*row["guest_key"])
            track = self._tracks.vcpu(guest, row["vcpu"], row["tid"])
            self._rates[guest, row["monotonic_ns"] // _RATE_NS] += 1
            key = (track, row["reason_code"], *row["codes"])
            head = self._heads.get(key)
            if head is None:
                words = [
                    (label, texts[name][code])
                    for (name, label), code in zip(_WORDS, row["codes"], strict=True)
                    if code >= 0
                ]
                # A return to the VMM where KVM shows no exits.
                name = reasons[row["reason_code"]] if row["reason_code"] >= 0 else "return"
                head = self._heads[key] = self._head(track, name, words)
            self._slice(track, row, head)
        for row in _note_rows(batch):
            self._note(row)

    def finish(self) -> None:
        """Add what is known at the end only, and write everything."""
        for guest in dict.fromkeys(guest for guest, _ in self._rates):
            track = self._tracks.counter("exits per s", "exits/s", guest)
            of_guest = {at: count for (one, at), count in self._rates.items() if one == guest}
            for at in sorted(of_guest):
                self._count(track, at * _RATE_NS, of_guest[at] * NS_PER_S // _RATE_NS)
                if at + 1 not in of_guest:
                    self._count(track, (at + 1) * _RATE_NS, 0)
        self._stream.finish()

    def _begin(self, header: Header, clocks: Clocks, first_ns: int) -> None:
        first = TracePacket(
            trusted_packet_sequence_id=SEQUENCE,
            sequence_flags=TracePacket.SEQ_INCREMENTAL_STATE_CLEARED,
        )
        first.trace_packet_defaults.timestamp_clock_id = BuiltinClock.BUILTIN_CLOCK_MONOTONIC
        # The first snapshot comes first, so that the defaults' clock is known.
        for pair in clocks.pairs:
            at_ns = max(pair.from_ns, first_ns) if pair is clocks.pairs[0] else pair.from_ns
            packet = TracePacket(trusted_packet_sequence_id=SEQUENCE)
            snapshot = packet.clock_snapshot
            snapshot.primary_trace_clock = BuiltinClock.BUILTIN_CLOCK_MONOTONIC
            snapshot.clocks.add(clock_id=BuiltinClock.BUILTIN_CLOCK_MONOTONIC, timestamp=at_ns)
            snapshot.clocks.add(
                clock_id=BuiltinClock.BUILTIN_CLOCK_REALTIME,
                timestamp=max(0, at_ns + pair.realtime_offset_ns),
            )
            self._stream.packet(packet)
        self._stream.packet(first)
        about = TracePacket(trusted_packet_sequence_id=SEQUENCE)
        about.system_info.utsname.sysname = "Linux"
        about.system_info.utsname.release = header.kernel
        about.system_info.utsname.machine = header.machine
        about.system_info.machine_name = header.host
        about.system_info.timezone_off_mins = clocks.pair(first_ns).utc_offset_s // 60
        self._stream.packet(about)

    def _head(self, track: int, name: str, words: list[tuple[str, str]]) -> bytes:
        event = TrackEvent(
            type=TrackEvent.TYPE_SLICE_BEGIN,
            track_uuid=track,
            name_iid=self._stream.iid("event_names", name),
            category_iids=[self._stream.iid("event_categories", _CATEGORY)],
            debug_annotations=[self._stream.annotation(*one) for one in words],
        )
        encoded: bytes = event.SerializeToString()
        return encoded

    def _slice(self, track: int, row: dict[str, Any], head: bytes) -> None:
        numbers = [self._stream.numbered(name, row[name]) for name in _NUMBERS if row[name]]
        if row["rip"] is not None:
            numbers.append(self._stream.numbered("rip", row["rip"] & _BITS, "pointer_value"))
        # Of one vCPU, an exit does not begin before the last one ended, whatever a file says.
        begin_ns = max(row["monotonic_ns"], self._ends.get(track, 0))
        end_ns = max(begin_ns, row["monotonic_ns"] + (row["total_ns"] or 0))
        self._ends[track] = end_ns
        self._stream.event(begin_ns, head, b"".join(numbers))
        tail = self._tails.get(track)
        if tail is None:
            end = TrackEvent(type=TrackEvent.TYPE_SLICE_END, track_uuid=track)
            tail = self._tails[track] = end.SerializeToString()
        self._stream.event(end_ns, tail)

    def _note(self, row: dict[str, Any]) -> None:
        event = TrackEvent(
            type=TrackEvent.TYPE_INSTANT,
            track_uuid=self._tracks.notes(),
            name_iid=self._stream.iid("event_names", row["type"]),
            debug_annotations=[self._stream.annotation("words", row["words"])],
        )
        self._stream.event(row["monotonic_ns"], event.SerializeToString())
        if row["lost"] is not None:
            self._lost += row["lost"]
            track = self._tracks.counter("records lost", "records")
            self._count(track, row["monotonic_ns"], self._lost)

    def _count(self, track: int, ns: int, value: int) -> None:
        event = TrackEvent(type=TrackEvent.TYPE_COUNTER, track_uuid=track, counter_value=value)
        self._stream.event(ns, event.SerializeToString())


def _exit_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the exits of a batch, texts as their numbers in the dictionaries, -1 for none."""
    batch = batch.filter(pc.equal(batch.column("type").cast(pa.string()), "exit"))
    names = [*batch.column("guest_name").dictionary.to_pylist(), None]
    plain = ("monotonic_ns", "vcpu", "tid", "total_ns", "rip", *_NUMBERS)
    values = {name: batch.column(name).to_pylist() for name in plain}
    codes = list(zip(*(_codes(batch.column(name)) for name, _ in _WORDS), strict=True))
    reasons = _codes(batch.column("reason_name"))
    guests = zip(
        _codes(batch.column("guest_name")),
        batch.column("guest_pid").fill_null(0).to_pylist(),
        batch.column("guest").to_pylist(),
        strict=True,
    )
    for at, (name, pid, number) in enumerate(guests):
        row = {key: value[at] for key, value in values.items()}
        row["guest_key"] = (names[name], pid, number)
        row["codes"], row["reason_code"] = codes[at], reasons[at]
        yield row


def _note_rows(batch: Any) -> Iterator[dict[str, Any]]:
    notes = batch.filter(batch.column("words").is_valid())
    yield from notes.select(["type", "monotonic_ns", "lost", "words"]).to_pylist()


def _codes(column: Any) -> list[int]:
    found: list[int] = column.indices.fill_null(-1).to_pylist()
    return found
