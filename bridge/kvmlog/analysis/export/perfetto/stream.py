# SPDX-License-Identifier: GPL-2.0-or-later
"""A Perfetto trace as it is written: packets, names that are sent once, compressed bundles.

Messages are Perfetto's own classes; what differs between a million exits, their times and a few
numbers, is put between the encoded rest by hand, which is ten times faster.
"""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    DebugAnnotation,
    InternedData,
    Trace,
    TracePacket,
    TrackEvent,
)

SEQUENCE: Final = 1
_BUNDLE_BYTES: Final = 1 << 20
_ZLIB_LEVEL: Final = 6
_BYTES: Final = 2  # wire types of protobuf: a length and so many bytes; a varint is 0


def varint(value: int) -> bytes:
    """Return a number of up to 64 bits as protobuf writes it."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(message: Any, field: str, wire: int = 0) -> bytes:
    """Return what stands before a field."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire)


_PACKET: Final = tag(Trace, "packet", _BYTES)
_TIMESTAMP: Final = tag(TracePacket, "timestamp")
_EVENT: Final = tag(TracePacket, "track_event", _BYTES)
_ANNOTATION: Final = tag(TrackEvent, "debug_annotations", _BYTES)
_NAME: Final = tag(DebugAnnotation, "name_iid")
_VALUES: Final = {
    "uint_value": tag(DebugAnnotation, "uint_value"),
    "pointer_value": tag(DebugAnnotation, "pointer_value"),
}
_OF_SEQUENCE: Final = TracePacket(
    trusted_packet_sequence_id=SEQUENCE, sequence_flags=TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
).SerializeToString()


class TraceStream:
    """A trace that is written packet by packet; finish() writes what waits."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._names: dict[tuple[str, str], int] = {}
        self._fresh = InternedData()

    def packet(self, packet: Any) -> None:
        """Write a packet of any kind."""
        self._tell_names()
        self._add(packet.SerializeToString())

    def event(self, ns: int, encoded: bytes, numbers: bytes = b"") -> None:
        """Write a track event of this time: encoded, and further numbers of numbered()."""
        self._tell_names()
        size = varint(len(encoded) + len(numbers))
        self._add(b"".join((_TIMESTAMP, varint(ns), _OF_SEQUENCE, _EVENT, size, encoded, numbers)))

    def iid(self, kind: str, text: str) -> int:
        """Return the number of a text of a field of InternedData, which is sent when it is new."""
        found = self._names.get((kind, text))
        if found is None:
            found = self._names[kind, text] = len(self._names) + 1
            entry = getattr(self._fresh, kind).add(iid=found)
            if kind == "debug_annotation_string_values":
                entry.str = text.encode("utf-8", "replace")
            else:
                entry.name = text
        return found

    def annotation(self, name: str, text: str) -> Any:
        """Return an argument of an event."""
        return DebugAnnotation(
            name_iid=self.iid("debug_annotation_names", name),
            string_value_iid=self.iid("debug_annotation_string_values", text),
        )

    def numbered(self, name: str, value: int, kind: str = "uint_value") -> bytes:
        """Return an argument of an event, encoded; kind: or pointer_value, shown as hexadecimal."""
        iid = varint(self.iid("debug_annotation_names", name))
        body = b"".join((_NAME, iid, _VALUES[kind], varint(value)))
        return b"".join((_ANNOTATION, varint(len(body)), body))

    def finish(self) -> None:
        """Write what waits."""
        self._tell_names()
        self._bundle()

    def _tell_names(self) -> None:
        if not self._fresh.ByteSize():
            return
        packet = TracePacket(
            trusted_packet_sequence_id=SEQUENCE,
            sequence_flags=TracePacket.SEQ_NEEDS_INCREMENTAL_STATE,
            interned_data=self._fresh,
        )
        self._fresh = InternedData()
        self._add(packet.SerializeToString())

    def _add(self, encoded: bytes) -> None:
        framed = b"".join((_PACKET, varint(len(encoded)), encoded))
        self._waiting.append(framed)
        self._bytes += len(framed)
        if self._bytes >= _BUNDLE_BYTES:
            self._bundle()

    def _bundle(self) -> None:
        if self._waiting:
            packed = zlib.compress(b"".join(self._waiting), _ZLIB_LEVEL)
            packet = TracePacket(compressed_packets=packed).SerializeToString()
            self._stream.write(b"".join((_PACKET, varint(len(packet)), packet)))
            self._waiting, self._bytes = [], 0
