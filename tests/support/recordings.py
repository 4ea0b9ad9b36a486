# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of guests that never ran: plausible exits, the same ones for the same seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvmlog.guests.model import Guest
from kvmlog.native import lib
from kvmlog.recording.header import Header
from kvmlog.recording.writer import RecordingWriter
from kvmlog.ring.clocks import ClockPair, Clocks
from kvmlog.ring.records import SCHEMA_VERSION
from tests.support.records import guest_bytes
from tests.support.statistics_feed import RECORD, Records

BOOT_ID = bytes(range(16))
STARTED_NS = 1_000 * 10**9  # CLOCK_MONOTONIC
STARTED_REALTIME_NS = 1_764_500_000 * 10**9  # 2025-11-30
UTC_OFFSET_S = 3_600
CLOCKS = Clocks([ClockPair(0, STARTED_REALTIME_NS - STARTED_NS, UTC_OFFSET_S)])
# Reason by ISA; share of the exits; typical times in ns in KVM and in the VMM; KVM_EXIT_*.
SVM = (
    (0x78, 0.30, 20_000, 0, 0),  # HLT, whose halt is added
    (0x60, 0.25, 1_200, 0, 0),  # INTR
    (0x400, 0.15, 2_500, 0, 0),  # NPF
    (0x7C, 0.12, 1_500, 0, 0),  # MSR
    (0x7B, 0.10, 3_000, 9_000, 2),  # IOIO, handled by the VMM
    (0x72, 0.05, 1_100, 0, 0),  # CPUID
    (0x400, 0.03, 3_500, 15_000, 6),  # NPF on a device: MMIO
)
VMX = (
    (12, 0.30, 20_000, 0, 0),
    (1, 0.25, 1_200, 0, 0),
    (48, 0.15, 2_500, 0, 0),
    (32, 0.12, 1_500, 0, 0),
    (30, 0.10, 3_000, 9_000, 2),
    (10, 0.05, 1_100, 0, 0),
    (49, 0.03, 3_500, 15_000, 6),
)
TABLES = {"svm": (lib.KVMLOG_ISA_SVM, SVM), "vmx": (lib.KVMLOG_ISA_VMX, VMX)}
HALTS = (0x78, 12)
PORTS = (0x3F8, 0x60, 0x64, 0xCF8, 0xCFC, 0x608)
MSRS = (0x6E0, 0x10, 0xC0000080, 0x830, 0x4B564D00)
DEVICES = (0xFEE000B0, 0xFEBD0000, 0xFED000F0, 0xB00FA000)


def header(**fields: Any) -> Header:
    """A header of a host that is not this one."""
    values: dict[str, Any] = {
        "kvmlog_version": "0.1.0",
        "schema_version": SCHEMA_VERSION,
        "host": "host1",
        "boot_id": BOOT_ID.hex(),
        "kernel": "6.1.0-57-amd64",
        "machine": "x86_64",
        "source": "kmod",
        "isa": "svm",
        "started_realtime_ns": STARTED_REALTIME_NS,
        "started_monotonic_ns": STARTED_NS,
        "utc_offset_s": UTC_OFFSET_S,
        "zone": "CET",
        **fields,
    }
    return Header(**values)


def guest(number: int, name: str = "", **fields: Any) -> Guest:
    """A running guest, announced as `number` when the recording began."""
    values: dict[str, Any] = {
        "pid": 4000 + number,
        "start_ticks": 90_000 + number,
        "comm": "qemu-system-x86",
        "kind": "qemu",
        "name": name or f"web{number}",
        "named": True,
        "uuid": f"{number:08x}-1111-4222-8333-444455556666",
        "numbers": ((number, STARTED_NS + number),),
        "first_seen_realtime_ns": STARTED_REALTIME_NS,
        **fields,
    }
    return Guest(**values)


def announcements(guests: Sequence[Guest]) -> bytes:
    """The GUEST records of these guests."""
    return b"".join(
        guest_bytes(
            one.comm.encode(),
            guest=number,
            tgid=one.pid,
            tid=one.pid,
            start_boottime_ns=one.start_ticks * 10**7,
            ns=ns,
        )
        for one in guests
        for number, ns in one.numbers
    )


def exits(
    count: int,
    *,
    guests: int = 2,
    vcpus: int = 2,
    isa: str = "svm",
    per_s: int = 100_000,
    started_ns: int = STARTED_NS + 1_000,
    seed: int = 1,
) -> Records:
    """So many EXIT records of guests 1, 2, ... in time order, some `per_s` each second."""
    random = np.random.default_rng(seed)
    number, table = TABLES[isa]
    kinds = random.choice(len(table), count, p=[one[1] for one in table])
    columns = [np.array(column) for column in zip(*table, strict=True)]
    records = np.zeros(count, RECORD)
    records["type"] = lib.KVMLOG_RECORD_EXIT
    records["isa"] = number
    records["source"] = lib.KVMLOG_SOURCE_KMOD
    records["config_epoch"] = 1
    gaps = random.exponential(10**9 / per_s, count).astype(np.uint64) + 1
    records["exit_ns"] = started_ns + np.cumsum(gaps)
    who = random.integers(0, guests * vcpus, count)
    records["guest"] = 1 + who // vcpus
    records["vcpu"] = who % vcpus
    records["cpu"] = who % 8
    records["tid"] = 5_000 + who
    records["reason"] = columns[0][kinds]
    kvm_ns = _around(random, columns[2][kinds])
    records["user_ns"] = _around(random, columns[3][kinds])
    halts = np.isin(records["reason"], HALTS)
    records["halt_ns"] = np.where(halts, _around(random, np.full(count, 400_000)), 0)
    records["total_ns"] = kvm_ns + records["user_ns"] + records["halt_ns"]
    returned = columns[4][kinds] > 0
    records["user_exits"] = returned
    records["user_reason"] = columns[4][kinds]
    flags = np.full(count, lib.KVMLOG_F_RIP_VALID | lib.KVMLOG_F_INFO_VALID)
    flags |= np.where(returned, lib.KVMLOG_F_USER_REASON, 0)
    flags |= np.where(halts, lib.KVMLOG_F_HALT_SLEPT, 0)
    records["rip"] = 0xFFFFFFFF81000000 + random.zipf(1.5, count).clip(max=2**20) * 16
    for reasons, details in (
        ((0x7B, 30), PORTS),
        ((0x7C, 32), MSRS),
        ((0x400, 48, 49), DEVICES),
    ):
        chosen = np.isin(records["reason"], reasons)
        detail = random.choice(np.array(details, np.uint64), count)
        records["detail"] = np.where(chosen, detail, records["detail"])
        flags |= np.where(chosen, lib.KVMLOG_F_DETAIL_VALID, 0)
    records["flags"] = flags
    return records


def write(
    path: str | os.PathLike[str],
    records: Records | bytes,
    *,
    guests: Sequence[Guest] | None = None,
    clocks: Clocks = CLOCKS,
    about: Header | None = None,
    lost_records: int = 0,
    ended: bool = True,
) -> Path:
    """A recording of these records, with the announcements of its guests before them."""
    raw = records if isinstance(records, bytes) else np.ascontiguousarray(records).tobytes()
    known = [guest(1), guest(2)] if guests is None else guests
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with RecordingWriter(fd, about or header(), clocks) as writer:
            writer.set_guests(known)
            writer.append(announcements(known))
            writer.append(raw)
            writer.lose(lost_records)
            writer.flush()
            if ended:
                writer.end("the time is over")
    finally:
        os.close(fd)
    return Path(path)


def synthetic(path: str | os.PathLike[str], count: int, **fields: Any) -> Path:
    """A recording of `count` exits of made-up guests; fields: of exits()."""
    guests = [guest(number) for number in range(1, 1 + fields.get("guests", 2))]
    about = header(isa=fields.get("isa", "svm"))
    return write(path, exits(count, **fields), guests=guests, about=about)


def _around(random: np.random.Generator, typical: NDArray[Any]) -> NDArray[Any]:
    """Durations around typical ones, skewed as real ones are."""
    times: NDArray[Any] = typical * random.lognormal(0, 0.4, len(typical))
    return times.astype(np.uint64)
