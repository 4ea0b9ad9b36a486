# SPDX-License-Identifier: GPL-2.0-or-later
"""What was recorded where: the first block of a recording, its clocks, and its last block."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.guests.sanitize import clean
from kvmlog.recording.format import DamagedBlockError
from kvmlog.ring.clocks import ClockPair, Clocks, of_this_process
from kvmlog.ring.reader import boot_id
from kvmlog.ring.records import SCHEMA_VERSION
from kvmlog.util.units import NS_PER_S
from kvmlog.util.version import version

_TEXT_CHARACTERS: Final = 4_096
# As many as a ring has; a recording of several rings may have more.
_PAIRS_MOST: Final = 4_096


@dataclass(frozen=True)
class Header:
    """Machine, source and time of a recording.

    boot_id: 32 hex digits; machine: "x86_64"; source: kmod, bpf, none; isa: vmx, svm, arm64, none
    (of the CPU that recorded); selection: the filters, as they were typed, "": all records;
    command: what was run and recorded, "": none; event: what the recording was kept for (a flight
    recorder's trigger), "": all was recorded.
    """

    kvmlog_version: str
    schema_version: int
    host: str
    boot_id: str
    kernel: str
    machine: str
    source: str
    isa: str
    started_realtime_ns: int
    started_monotonic_ns: int
    utc_offset_s: int
    zone: str
    selection: str = ""
    command: str = ""
    event: str = ""


@dataclass(frozen=True)
class End:
    """Totals of a recording that ended in order.

    overwritten: of lost_records, those that the ring overwrote before they were read; reason: why
    it ended, in words.
    """

    records: int
    lost_records: int
    overwritten: int
    ended_realtime_ns: int
    ended_monotonic_ns: int
    reason: str


def of_this_host(
    source: str,
    isa: str,
    *,
    since_ns: int | None = None,
    selection: str = "",
    command: str = "",
    event: str = "",
) -> Header:
    """Return the header of a recording on this host that begins at a time, None: now."""
    pair = of_this_process().pairs[0]
    monotonic_ns = time.monotonic_ns() if since_ns is None else since_ns
    realtime_ns = monotonic_ns + pair.realtime_offset_ns
    names = os.uname()
    return Header(
        kvmlog_version=version(),
        schema_version=SCHEMA_VERSION,
        host=names.nodename,
        boot_id=boot_id().hex(),
        kernel=names.release,
        machine=platform.machine(),
        source=source,
        isa=isa,
        started_realtime_ns=realtime_ns,
        started_monotonic_ns=monotonic_ns,
        utc_offset_s=pair.utc_offset_s,
        zone=time.localtime(realtime_ns // NS_PER_S).tm_zone,
        selection=selection,
        command=command,
        event=event,
    )


def isa_of_this_host() -> str:
    """Return vmx, svm or arm64, by the modules of KVM; "none" where there is none."""
    for module, isa in (("kvm_amd", "svm"), ("kvm_intel", "vmx")):
        if os.path.isdir(f"/sys/module/{module}"):
            return isa
    return "arm64" if platform.machine() == "aarch64" else "none"


def header_of(content: Any) -> Header:
    """Return the header that a block says; DamagedBlockError."""
    found: Header = _dataclass_of(Header, content)
    return found


def end_of(content: Any) -> End:
    """Return the totals that a block says; DamagedBlockError."""
    found: End = _dataclass_of(End, content)
    return found


def clocks_of(content: Any) -> Clocks:
    """Return the clocks that a block says; DamagedBlockError."""
    if not isinstance(content, list) or not 1 <= len(content) <= _PAIRS_MOST:
        raise DamagedBlockError("clocks that are none")
    if not all(isinstance(one, dict) for one in content):
        raise DamagedBlockError("a clock that is none")
    pairs = [ClockPair(*(_number(one.get(name)) for name in ClockPair._fields)) for one in content]
    return Clocks(sorted(pairs))


def _dataclass_of(kind: Any, content: Any) -> Any:
    """Return a dataclass of texts and numbers; fields that a later version adds are left out."""
    if not isinstance(content, dict):
        raise DamagedBlockError("a header that is none")
    fields = {}
    for field in dataclasses.fields(kind):
        if field.name not in content and field.default is not dataclasses.MISSING:
            continue
        value = content.get(field.name)
        fields[field.name] = _number(value) if field.type == "int" else _text(value)
    return kind(**fields)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
        raise DamagedBlockError("a number that is none")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DamagedBlockError("a text that is none")
    return clean(value, _TEXT_CHARACTERS)
