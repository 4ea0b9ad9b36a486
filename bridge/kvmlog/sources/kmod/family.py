# SPDX-License-Identifier: GPL-2.0-or-later
"""The generic netlink family "kvmlog": its messages and its socket (include/uapi/kvmlog/netlink.h).

The attributes' numbers come from the header; this file adds only how each is encoded.
"""

from __future__ import annotations

import itertools
import socket
from typing import Any, Final

from pyroute2.netlink import (
    NETLINK_NO_ENOBUFS,
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    SOL_NETLINK,
    genlmsg,
    nla,
)
from pyroute2.netlink.generic import GenericNetlinkSocket

from kvmlog.native import ffi, lib
from kvmlog.ring.records import GENL_NAME
from kvmlog.sources.base import CpuStatus, SourceCost, SourceStatus, SwitchConfig
from kvmlog.sources.btf import KernelTypes

TIMEOUT_S: Final = 5.0
# About 250 full batches. The module keeps what does not fit and tries again.
RECEIVE_BUFFER_BYTES: Final = 4 << 20
# The status of a host with 2,048 CPUs fits.
_REPLY_BYTES: Final = 1 << 17
_SO_RCVBUFFORCE: Final = 33

_COUNTERS = [name for name, _ in ffi.typeof("struct kvmlog_counters").fields]

_CODECS = {
    "KVMLOG_A_STATE": "uint8",
    "KVMLOG_A_ATTACHED": "uint8",
    "KVMLOG_A_WAITING_FOR": "asciiz",
    "KVMLOG_A_EPOCH": "uint32",
    "KVMLOG_A_ONE_IN": "uint32",
    "KVMLOG_A_ON_MS": "uint32",
    "KVMLOG_A_OFF_MS": "uint32",
    "KVMLOG_A_TGIDS": "cdata",
    "KVMLOG_A_FLUSH_MS": "uint32",
    "KVMLOG_A_COUNTERS": "cdata",
    "KVMLOG_A_RECEIVER": "uint32",
    "KVMLOG_A_SCHEMA": "uint32",
    "KVMLOG_A_RECORD_BYTES": "uint32",
    "KVMLOG_A_ISA": "uint8",
    "KVMLOG_A_VENDOR": "asciiz",
    "KVMLOG_A_MODULE_VERSION": "asciiz",
    "KVMLOG_A_PENDING_SLOTS": "uint32",
    "KVMLOG_A_CPU": "cpu",
    "KVMLOG_A_PROTOTYPE": "prototype",
    "KVMLOG_A_RECORD": "cdata",
    "KVMLOG_A_BATCH": "cdata",
    "KVMLOG_A_RECORDS": "cdata",
    "KVMLOG_A_LEASE_MS": "uint32",
    "KVMLOG_A_COST": "cdata",
    "KVMLOG_A_CAUSE": "uint32",
    "KVMLOG_A_STOPPING": "uint8",
    "KVMLOG_A_NOTES_LOST": "uint64",
    "KVMLOG_A_FIELD": "field",
}
_CPU_CODECS = {
    "KVMLOG_CPU_A_ID": "uint32",
    "KVMLOG_CPU_A_DROPPED": "uint64",
    "KVMLOG_CPU_A_MESSAGES": "uint64",
    "KVMLOG_CPU_A_BYTES": "uint64",
}
_FIELD_CODECS = {
    "KVMLOG_FIELD_A_NAME": "asciiz",
    "KVMLOG_FIELD_A_OFFSET": "uint32",
    "KVMLOG_FIELD_A_BYTES": "uint32",
}
_PROTOTYPE_CODECS = {
    "KVMLOG_PROTO_A_NAME": "asciiz",
    "KVMLOG_PROTO_A_SIGNATURE": "asciiz",
}


def _map(enum: str, codecs: dict[str, str]) -> tuple[tuple[int, str, str], ...]:
    """Return pyroute2's nla_map with the header's numbers; what has no codec is not decoded."""
    numbers = ffi.typeof(f"enum {enum}").relements
    missing = codecs.keys() - numbers.keys()
    if missing:
        raise ImportError(f"enum {enum} has no {sorted(missing)}")
    return tuple((numbers[name], name, codec) for name, codec in codecs.items())


class Message(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """A message of the family."""

    nla_map = _map("kvmlog_attribute", _CODECS)

    # pyroute2 finds it by its name in the map above.
    class cpu(nla):  # type: ignore[misc]  # noqa: N801
        """One KVMLOG_A_CPU."""

        nla_flags = NLA_F_NESTED
        nla_map = _map("kvmlog_cpu_attribute", _CPU_CODECS)

    # pyroute2 finds it by its name in the map above.
    class prototype(nla):  # type: ignore[misc]  # noqa: N801
        """One KVMLOG_A_PROTOTYPE."""

        nla_flags = NLA_F_NESTED
        nla_map = _map("kvmlog_prototype_attribute", _PROTOTYPE_CODECS)

    # pyroute2 finds it by its name in the map above.
    class field(nla):  # type: ignore[misc]  # noqa: N801
        """One KVMLOG_A_FIELD."""

        nla_flags = NLA_F_NESTED
        nla_map = _map("kvmlog_field_attribute", _FIELD_CODECS)


class Kvmlog(GenericNetlinkSocket):  # type: ignore[misc]  # pyroute2 has no types
    """A socket of the family, bound and ready for requests, one at a time.

    Every request, and making the socket, raises NetlinkError with the kernel's errno (ENOENT when
    there is no such family) and its own words, TimeoutError after 5 s of silence, or OSError.
    """

    family_name = GENL_NAME
    message_class: type[Any] = Message
    # A missing family is the caller's to report.
    module_err_level = "debug"

    def __init__(self) -> None:
        super().__init__(ext_ack=True)
        try:
            self.bind(self.family_name, self.message_class)
        except BaseException:
            self.close()
            raise

    def post_init(self) -> None:
        """Set up each new socket; bind() makes another where a port id is taken."""
        super().post_init()
        self.settimeout(TIMEOUT_S)

    @property
    def port_id(self) -> int:
        """The port id under which the kernel knows the socket."""
        return int(self.epid)

    def subscribe(self) -> None:
        """Become the one receiver of batches; from here on the descriptor only receives."""
        self.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        try:
            self.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            # As much of it as net.core.rmem_max allows.
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.request(_message(lib.KVMLOG_CMD_SUBSCRIBE), NLM_F_ACK)
        self.setblocking(False)

    def configure(self, config: SwitchConfig, types: KernelTypes) -> None:
        """Replace the module's configuration; types: the running kernel's."""
        self.request(configure_message(config, types), NLM_F_ACK)

    def status(self) -> SourceStatus:
        """Return what the module reports of itself."""
        return parse_status(self.request(_message(lib.KVMLOG_CMD_GET_STATUS))[0])

    def pending(self) -> bytes:
        """Return the exits whose re-entry has not come, as whole records."""
        replies = self.request(_message(lib.KVMLOG_CMD_GET_PENDING), NLM_F_DUMP)
        records = (reply.get_attr("KVMLOG_A_RECORD") for reply in replies)
        return b"".join(bytes(record) for record in records if record)

    def request(self, message: Any, flags: int = 0) -> tuple[Any, ...]:
        """Send one message; return its replies, with NLM_F_ACK the ack.

        nlm_request() would do, but it repeats for 9 s what is answered with EBUSY.
        """
        sequence = self.addr_pool.alloc()
        try:
            self.put(message, self.prid, NLM_F_REQUEST | flags, msg_seq=sequence)
            return tuple(self.get(_REPLY_BYTES, msg_seq=sequence))
        finally:
            # An answer that comes too late belongs to no request, and is nobody's to read.
            self.backlog.pop(sequence, None)
            self.backlog[0].clear()
            self.addr_pool.free(sequence, ban=0xFF)


def _message(command: int, attributes: list[tuple[str, Any]] | None = None) -> Message:
    message = Message()
    message["cmd"] = command
    message["version"] = lib.KVMLOG_GENL_VERSION
    message["attrs"] = attributes or []
    return message


def configure_message(config: SwitchConfig, types: KernelTypes) -> Message:
    """Return KVMLOG_CMD_CONFIGURE with what differs from the defaults."""
    attributes: list[tuple[str, Any]] = [("KVMLOG_A_STATE", int(config.on))]
    if config.tgids:
        raw = b"".join(tgid.to_bytes(4, "little") for tgid in config.tgids)
        attributes.append(("KVMLOG_A_TGIDS", raw))
    if config.one_in != 1:
        attributes.append(("KVMLOG_A_ONE_IN", config.one_in))
    if config.on_ms or config.off_ms:
        attributes.append(("KVMLOG_A_ON_MS", config.on_ms))
        attributes.append(("KVMLOG_A_OFF_MS", config.off_ms))
    if config.lease_ms:
        attributes.append(("KVMLOG_A_LEASE_MS", config.lease_ms))
    if config.cause != lib.KVMLOG_SWITCH_COMMAND:
        attributes.append(("KVMLOG_A_CAUSE", config.cause))
    for name, signature in types.signatures.items():
        nested = {"attrs": [("KVMLOG_PROTO_A_NAME", name), ("KVMLOG_PROTO_A_SIGNATURE", signature)]}
        attributes.append(("KVMLOG_A_PROTOTYPE", nested))
    for name, place in types.fields.items():
        member = [
            ("KVMLOG_FIELD_A_NAME", name),
            ("KVMLOG_FIELD_A_OFFSET", place.offset),
            ("KVMLOG_FIELD_A_BYTES", place.size),
        ]
        attributes.append(("KVMLOG_A_FIELD", {"attrs": member}))
    return _message(lib.KVMLOG_CMD_CONFIGURE, attributes)


def parse_status(message: Any) -> SourceStatus:
    """Parse a decoded KVMLOG_CMD_GET_STATUS reply."""

    def number(name: str, default: int = 0) -> int:
        value = message.get_attr(name)
        return default if value is None else int(value)

    def text(name: str) -> str | None:
        value = message.get_attr(name)
        return None if value is None else str(value)

    tgids = ffi.from_buffer("unsigned int[]", bytes(message.get_attr("KVMLOG_A_TGIDS") or b""))
    return SourceStatus(
        on=bool(number("KVMLOG_A_STATE")),
        attached=bool(number("KVMLOG_A_ATTACHED")),
        waiting_for=text("KVMLOG_A_WAITING_FOR"),
        epoch=number("KVMLOG_A_EPOCH"),
        one_in=number("KVMLOG_A_ONE_IN", 1),
        on_ms=number("KVMLOG_A_ON_MS"),
        off_ms=number("KVMLOG_A_OFF_MS"),
        tgids=tuple(tgids),
        flush_ms=number("KVMLOG_A_FLUSH_MS"),
        counters=parse_counters(bytes(message.get_attr("KVMLOG_A_COUNTERS") or b"")),
        receiver=message.get_attr("KVMLOG_A_RECEIVER"),
        schema=number("KVMLOG_A_SCHEMA"),
        record_bytes=number("KVMLOG_A_RECORD_BYTES"),
        isa=number("KVMLOG_A_ISA"),
        vendor=text("KVMLOG_A_VENDOR"),
        version=text("KVMLOG_A_MODULE_VERSION") or "",
        pending_slots=number("KVMLOG_A_PENDING_SLOTS"),
        lease_ms=number("KVMLOG_A_LEASE_MS"),
        stopping=bool(number("KVMLOG_A_STOPPING")),
        notes_lost=number("KVMLOG_A_NOTES_LOST"),
        fields=tuple(
            str(entry.get_attr("KVMLOG_FIELD_A_NAME"))
            for entry in message.get_attrs("KVMLOG_A_FIELD")
        ),
        cost=parse_cost(bytes(message.get_attr("KVMLOG_A_COST") or b"")),
        cpus={
            int(cpu.get_attr("KVMLOG_CPU_A_ID")): CpuStatus(
                dropped=int(cpu.get_attr("KVMLOG_CPU_A_DROPPED") or 0),
                messages=int(cpu.get_attr("KVMLOG_CPU_A_MESSAGES") or 0),
                buffer_bytes=int(cpu.get_attr("KVMLOG_CPU_A_BYTES") or 0),
            )
            for cpu in message.get_attrs("KVMLOG_A_CPU")
        },
        prototypes={
            str(entry.get_attr("KVMLOG_PROTO_A_NAME")): str(
                entry.get_attr("KVMLOG_PROTO_A_SIGNATURE")
            )
            for entry in message.get_attrs("KVMLOG_A_PROTOTYPE")
        },
    )


def parse_cost(raw: bytes) -> SourceCost:
    """Parse struct kvmlog_cost; zeros for an older module, which reports none."""
    cost = ffi.new("struct kvmlog_cost *")
    ffi.memmove(cost, raw, min(len(raw), ffi.sizeof(cost[0])))
    return SourceCost(
        cost.timed_ns * lib.KVMLOG_COST_ONE_IN,
        cost.worker_ns,
        timed=cost.timed,
        outliers=cost.outliers,
        p50_ns=_below_ns(list(cost.samples), 0.5),
        p95_ns=_below_ns(list(cost.samples), 0.95),
    )


def _below_ns(samples: list[int], share: float) -> int | None:
    """Return the bucket's upper end in ns that this share of the samples is below; None: none."""
    if not sum(samples):
        return None
    below = itertools.accumulate(samples)
    bucket = next(i for i, count in enumerate(below) if count >= share * sum(samples))
    return int(2**bucket)


def parse_counters(raw: bytes) -> dict[str, int]:
    """Parse struct kvmlog_counters by field name; fields that an older one lacks are 0."""
    counters = ffi.new("struct kvmlog_counters *")
    ffi.memmove(counters, raw, min(len(raw), ffi.sizeof(counters[0])))
    return {name: getattr(counters, name) for name in _COUNTERS}
