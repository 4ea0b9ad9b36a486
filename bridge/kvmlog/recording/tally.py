# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of a recording's records, counted by the C code that counts exits in the bridge."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from kvmlog.guests.model import Guest
from kvmlog.native import ffi, lib
from kvmlog.recording.format import RecordingError
from kvmlog.recording.header import Header
from kvmlog.ring.records import RECORD_BYTES, enum_names
from kvmlog.ring.statistics.reader import Snapshot
from kvmlog.util.errors import os_error
from kvmlog.util.units import NS_PER_S

# Room for 8,192 guests; memory that is not written is never taken.
_BYTES: Final = 256 << 20
_SOURCES: Final = {name: n for n, name in enum_names("kvmlog_source", "KVMLOG_SOURCE_").items()}
_ISAS: Final = {name: n for n, name in enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}


def snapshot(
    path: str, header: Header, guests: Iterable[Guest], blocks: Iterable[bytes], last_ns: int
) -> Snapshot:
    """Return the statistics of all records in the blocks, complete up to last_ns.

    guests: who has which number before the first record.
    """
    error = ffi.new("int *")
    tally = lib.kvmlog_tally_new(_BYTES, error)
    if tally == ffi.NULL:
        failure = os_error(-error[0])
        raise RecordingError(f"{path}: cannot be counted ({failure.strerror})") from failure
    try:
        for note in _announcements(header, guests):
            lib.kvmlog_tally_take(tally, note, 1)
        for records in blocks:
            native = ffi.from_buffer("struct kvmlog_record[]", records)
            lib.kvmlog_tally_take(tally, native, len(records) // RECORD_BYTES)
    except BaseException:
        lib.kvmlog_tally_free(tally)
        raise
    about = ffi.new("struct kvmlog_statistics_header *")
    about.statistics_id = _identity(header)
    about.boot_id = bytes.fromhex(header.boot_id)
    about.since_realtime_ns = max(0, header.started_realtime_ns)
    about.since_ns = max(0, header.started_monotonic_ns)
    about.folded_ns = last_ns
    return Snapshot(path, lib.kvmlog_tally_finish(tally, about), 0)


def _announcements(header: Header, guests: Iterable[Guest]) -> Iterator[Any]:
    """Yield GUEST records of the guests that were announced before the recording began."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    began_ns = header.started_monotonic_ns
    announced = sorted(
        (ns, number, guest)
        for guest in guests
        for number, ns in guest.numbers
        if ns < began_ns and number < 2**32
    )
    for ns, number, guest in announced:
        note = ffi.new("struct kvmlog_record_guest *")
        note.type = lib.KVMLOG_RECORD_GUEST
        note.isa = _ISAS.get(header.isa, 0)
        note.source = _SOURCES.get(header.source, 0)
        note.ns = ns
        # As exact as /proc tells it: a later announcement of the same process is more so.
        note.start_boottime_ns = min(guest.start_ticks * (NS_PER_S // ticks_per_s), 2**64 - 1)
        note.comm = guest.comm.encode("ascii", "replace")[: lib.KVMLOG_COMM_BYTES - 1]
        note.tgid = guest.pid & 0xFFFFFFFF
        note.guest = number
        note.vcpu, note.cpu = lib.KVMLOG_NO_VCPU, lib.KVMLOG_NO_CPU
        yield ffi.cast("struct kvmlog_record *", note)


def _identity(header: Header) -> bytes:
    """Return an id of 16 bytes that no other recording has."""
    return hashlib.blake2b(repr(header).encode(), digest_size=16).digest()
