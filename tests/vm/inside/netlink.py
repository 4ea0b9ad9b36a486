# SPDX-License-Identifier: GPL-2.0-or-later
"""The module's protocol spoken by hand, from include/uapi/kvmlog/netlink.h alone.

Deliberately not the bridge's own client: what the header promises is what is tested. All sizes
are in bytes; errors of the kernel are RefusedError, with its errno and its extended ack.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kvmlog.native import ffi, lib
from kvmlog.ring.records import RECORD_BYTES, AnyRecord, Record, iter_records
from tests.vm.inside import ring_bytes
from tests.vm.inside.received import CounterSum, ReceivedRecords

NETLINK_GENERIC: Final = 16
SOL_NETLINK: Final = 270
NETLINK_NO_ENOBUFS: Final = 5
NETLINK_EXT_ACK: Final = 11
SO_RCVBUFFORCE: Final = 33
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST_ACK: Final = 1 | 4
NLM_F_DUMP: Final = 0x300
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
GENL_ID_CTRL: Final = 16


class RefusedError(Exception):
    """The kernel answered with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{errno.errorcode.get(code, code)}: {text}")
        self.code = code
        self.text = text


def attribute(number: int, value: bytes) -> bytes:
    """One netlink attribute, padded to 4 bytes."""
    length = 4 + len(value)
    return struct.pack("=HH", length, number) + value + bytes(-length % 4)


def u32(number: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(number, struct.pack("=I", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, value) of each attribute in `data`."""
    offset = 0
    while offset + 4 <= len(data):
        length, number = struct.unpack_from("=HH", data, offset)
        yield number & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def prototype(name: str, signature: str) -> bytes:
    """One KVMLOG_A_PROTOTYPE."""
    nested = attribute(lib.KVMLOG_PROTO_A_NAME, name.encode() + b"\0")
    nested += attribute(lib.KVMLOG_PROTO_A_SIGNATURE, signature.encode() + b"\0")
    return attribute(lib.KVMLOG_A_PROTOTYPE | 0x8000, nested)


def member(name: str, offset: int, size: int) -> bytes:
    """One KVMLOG_A_FIELD."""
    nested = attribute(lib.KVMLOG_FIELD_A_NAME, name.encode() + b"\0")
    nested += u32(lib.KVMLOG_FIELD_A_OFFSET, offset) + u32(lib.KVMLOG_FIELD_A_BYTES, size)
    return attribute(lib.KVMLOG_A_FIELD | 0x8000, nested)


def _error(data: bytes) -> RefusedError | None:
    """The content of an NLMSG_ERROR; None when it is an ack."""
    flags = struct.unpack_from("=H", data, 6)[0]
    code = -struct.unpack_from("=i", data, 16)[0]
    if code == 0:
        return None
    text = ""
    if flags & NLM_F_ACK_TLVS:
        quoted = 16 if flags & NLM_F_CAPPED else struct.unpack_from("=I", data, 20)[0]
        for number, value in attributes(data[20 + ((quoted + 3) & ~3) :]):
            if number == 1:
                text = value.rstrip(b"\0").decode()
    return RefusedError(code, text)


class Connection:
    """One generic netlink socket."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.socket.settimeout(20)

    def close(self) -> None:
        """Closes it."""
        self.socket.close()

    def request(self, family: int, command: int, payload: bytes = b"", flags: int = 0) -> None:
        """Sends one command."""
        kind = NLM_F_REQUEST_ACK | flags
        header = struct.pack("=IHHII", 20 + len(payload), family, kind, 1, 0)
        version = lib.KVMLOG_GENL_VERSION if family != GENL_ID_CTRL else 2
        self.socket.send(header + struct.pack("=BBH", command, version, 0) + payload)

    def replies(self, dump: bool = False) -> list[bytes]:
        """The attributes of each reply until the ack (of a dump: its end); or RefusedError."""
        found: list[bytes] = []
        while True:
            data = self.socket.recv(1 << 17)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                message, data = data[:length], data[(length + 3) & ~3 :]
                if kind == NLMSG_ERROR:
                    refused = _error(message)
                    if refused is not None:
                        raise refused
                    return found
                if kind == NLMSG_DONE:
                    return found
                found.append(message[20:])


def family_id(link: Connection) -> int:
    """Number of the family; RefusedError with ENOENT when the module is not loaded."""
    link.request(GENL_ID_CTRL, 3, attribute(2, b"kvmlog\0"))
    for number, value in attributes(link.replies()[0]):
        if number == 1:
            return int(struct.unpack("=H", value)[0])
    raise AssertionError("the controller gave no family id")


@dataclass
class Status(CounterSum):
    """The reply to KVMLOG_CMD_GET_STATUS; what is absent is None or empty."""

    values: dict[int, bytes]
    cpus: list[dict[int, int]] = field(default_factory=list)
    prototypes: dict[str, str] = field(default_factory=dict)
    fields: dict[str, tuple[int, int]] = field(default_factory=dict)  # offset and size in bytes

    def number(self, attribute_number: int) -> int | None:
        """An unsigned attribute."""
        raw = self.values.get(attribute_number)
        return None if raw is None else int.from_bytes(raw, "little")

    def text(self, attribute_number: int) -> str | None:
        """A string attribute."""
        raw = self.values.get(attribute_number)
        return None if raw is None else raw.rstrip(b"\0").decode()

    @property
    def on(self) -> bool:
        return self.number(lib.KVMLOG_A_STATE) == 1

    @property
    def stopping(self) -> bool:
        return self.number(lib.KVMLOG_A_STOPPING) == 1

    @property
    def notes_lost(self) -> int | None:
        return self.number(lib.KVMLOG_A_NOTES_LOST)

    @property
    def attached(self) -> bool:
        return self.number(lib.KVMLOG_A_ATTACHED) == 1

    @property
    def window_ms(self) -> tuple[int | None, int | None]:
        return self.number(lib.KVMLOG_A_ON_MS), self.number(lib.KVMLOG_A_OFF_MS)

    @property
    def counters(self) -> dict[str, int]:
        """struct kvmlog_counters by field name."""
        struct_type = ffi.new("struct kvmlog_counters *")
        ffi.memmove(struct_type, self.values[lib.KVMLOG_A_COUNTERS], ffi.sizeof(struct_type[0]))
        return {name: getattr(struct_type, name) for name, _ in ffi.typeof(struct_type[0]).fields}


class Control:
    """Commands to the module."""

    def __init__(self) -> None:
        self.link = Connection()
        self.family = family_id(self.link)

    def close(self) -> None:
        self.link.close()

    def status(self) -> Status:
        """KVMLOG_CMD_GET_STATUS."""
        self.link.request(self.family, lib.KVMLOG_CMD_GET_STATUS)
        status = Status({})
        for number, value in attributes(self.link.replies()[0]):
            if number == lib.KVMLOG_A_CPU:
                pairs = attributes(value)
                status.cpus.append({n: int.from_bytes(v, "little") for n, v in pairs})
            elif number == lib.KVMLOG_A_PROTOTYPE:
                texts = dict(attributes(value))
                name, signature = (
                    texts[n].rstrip(b"\0").decode()
                    for n in (lib.KVMLOG_PROTO_A_NAME, lib.KVMLOG_PROTO_A_SIGNATURE)
                )
                status.prototypes[name] = signature
            elif number == lib.KVMLOG_A_FIELD:
                parts = dict(attributes(value))
                name = parts[lib.KVMLOG_FIELD_A_NAME].rstrip(b"\0").decode()
                offset, size = (
                    int.from_bytes(parts[n], "little")
                    for n in (lib.KVMLOG_FIELD_A_OFFSET, lib.KVMLOG_FIELD_A_BYTES)
                )
                status.fields[name] = (offset, size)
            else:
                status.values[number] = value
        return status

    def configure(self, on: bool, *more: bytes) -> None:
        """KVMLOG_CMD_CONFIGURE; RefusedError when it was."""
        payload = attribute(lib.KVMLOG_A_STATE, bytes([on])) + b"".join(more)
        self.link.request(self.family, lib.KVMLOG_CMD_CONFIGURE, payload)
        self.link.replies()

    def switch_on(
        self,
        tgids: Iterable[int] = (),
        one_in: int | None = None,
        window_ms: tuple[int, int] | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Switches on with this configuration."""
        more = []
        packed = b"".join(struct.pack("=I", tgid) for tgid in tgids)
        if packed:
            more.append(attribute(lib.KVMLOG_A_TGIDS, packed))
        if one_in is not None:
            more.append(u32(lib.KVMLOG_A_ONE_IN, one_in))
        if window_ms is not None:
            more.append(u32(lib.KVMLOG_A_ON_MS, window_ms[0]))
            more.append(u32(lib.KVMLOG_A_OFF_MS, window_ms[1]))
        if lease_ms:
            more.append(u32(lib.KVMLOG_A_LEASE_MS, lease_ms))
        self.configure(True, *more)

    def switch_off(self) -> None:
        """Switches off; returns when the module has handed everything over, or has given up."""
        self.configure(False)
        self.wait_until_stopped()

    def wait_until_stopped(self) -> None:
        """Waits for the end of what a slow receiver is given."""
        deadline = time.monotonic() + 30
        while self.status().stopping:
            assert time.monotonic() < deadline, "the module does not end switching off"
            time.sleep(0.01)

    def pending(self) -> list[Record]:
        """KVMLOG_CMD_GET_PENDING."""
        self.link.request(self.family, lib.KVMLOG_CMD_GET_PENDING, flags=NLM_F_DUMP)
        found = []
        for reply in self.link.replies(dump=True):
            for number, value in attributes(reply):
                if number == lib.KVMLOG_A_RECORD:
                    (record,) = iter_records(value)
                    assert isinstance(record, Record)
                    found.append(record)
        return found


class Receiver(ReceivedRecords):
    """A subscribed socket that checks each batch against the header's promises."""

    def __init__(self, family: int, buffer_bytes: int = 16 << 20) -> None:
        self.family = family
        self.link = Connection()
        self.link.socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self.link.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
        self.records: list[AnyRecord] = []
        self.batches = 0
        self.largest_batch = 0
        self.dropped: dict[int, int] = {}
        self.next_sequence: dict[int, int] = {}

    def subscribe(self) -> Receiver:
        """Becomes the receiver; RefusedError when there is one."""
        self.link.request(self.family, lib.KVMLOG_CMD_SUBSCRIBE)
        self.link.replies()
        return self

    def close(self) -> None:
        self.link.close()

    def drain(self, quiet_s: float = 0.3) -> None:
        """Takes batches until none came for `quiet_s` (several flush intervals)."""
        while select.select([self.link.socket], [], [], quiet_s)[0]:
            self._take(self.link.socket.recv(1 << 17))

    def take_for(self, duration_s: float) -> None:
        """Takes batches for this long, however many come."""
        deadline = time.monotonic() + duration_s
        while (left_s := deadline - time.monotonic()) > 0:
            if select.select([self.link.socket], [], [], left_s)[0]:
                self._take(self.link.socket.recv(1 << 17))

    def take_one(self) -> None:
        """Takes the next batch."""
        self._take(self.link.socket.recv(1 << 17))

    def _take(self, data: bytes) -> None:
        length, kind, _, _, sender = struct.unpack_from("=IHHII", data)
        assert (kind, sender, len(data)) == (self.family, 0, length)
        assert data[16] == lib.KVMLOG_CMD_BATCH
        batch = ffi.new("struct kvmlog_batch *")
        ffi.memmove(batch, data[24:56], 32)
        records = data[lib.KVMLOG_BATCH_OFFSET :]
        assert batch.record_bytes == RECORD_BYTES
        assert len(records) == batch.count * RECORD_BYTES
        assert batch.count <= lib.KVMLOG_BATCH_RECORDS
        if batch.sequence == 0:  # switched on anew
            self.next_sequence[batch.cpu] = self.dropped[batch.cpu] = 0
        assert batch.sequence == self.next_sequence.get(batch.cpu, 0), "a message is missing"
        # Without records it reports losses.
        assert batch.dropped >= self.dropped.get(batch.cpu, 0) + (batch.count == 0)
        self.next_sequence[batch.cpu] = batch.sequence + 1
        self.dropped[batch.cpu] = batch.dropped
        self.batches += 1
        self.largest_batch = max(self.largest_batch, batch.count)
        assert batch.exits == self._keep(records)

    def _keep(self, records: bytes) -> int:
        """Keep a batch's records; return how many of them are exits."""
        taken = list(iter_records(records))
        self.records.extend(taken)
        return sum(isinstance(record, Record) for record in taken)


class CountingReceiver(Receiver):
    """A receiver that keeps no record, but how many exits there were of each reason."""

    def __init__(self, family: int) -> None:
        super().__init__(family)
        self.counted: Counter[int] = Counter()

    def _keep(self, records: bytes) -> int:
        counted = ring_bytes.reasons(records)
        self.counted += counted
        return counted.total()
