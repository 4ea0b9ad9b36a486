# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of a busy host that never ran: a vCPU has one exit at a time, some are slow."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kvmlog.guests.model import Guest
from kvmlog.native import lib
from kvmlog.recording import format as blocks
from kvmlog.recording.header import End
from kvmlog.recording.writer import RecordingWriter
from tests.support import recordings
from tests.support.recordings import CLOCKS, STARTED_NS, STARTED_REALTIME_NS
from tests.support.records import clock_bytes, loss_bytes, switch_bytes
from tests.support.statistics_feed import Records

NAMES = ("web1", "web2", "build-7", "db-main", "cache")
_SLOW_NS = 14_000_000
_LEAST_GAP_NS = 300


def guests(number: int) -> list[Guest]:
    """So many guests, by the names of NAMES."""
    return [recordings.guest(n + 1, name=NAMES[n % len(NAMES)]) for n in range(number)]


def exits(
    count: int, *, number: int = 3, vcpus: int = 4, seed: int = 1, busy: float = 1.0, **fields: Any
) -> Records:
    """So many exits, in the order of their ends; busy: how much longer the VMM takes."""
    found = recordings.exits(count, guests=number, vcpus=vcpus, seed=seed, **fields)
    # Not the numbers that chose the reasons.
    random = np.random.default_rng(seed + 1_000)
    found["total_ns"] += (found["user_ns"] * (busy - 1)).astype("u8")
    found["user_ns"] = (found["user_ns"] * busy).astype("u8")
    # Now and then a device makes its guest wait, most of all the second one's.
    slow = (random.random(count) < 40 / count) & (found["user_reason"] == 2)
    late = (_SLOW_NS * random.lognormal(0, 0.8, count)).astype("u8")
    found["user_ns"] += np.where(slow, late, 0).astype("u8")
    found["total_ns"] += np.where(slow, late, 0).astype("u8")
    waits = random.random(count) < 0.02
    found["delay_kernel_us"] = np.where(waits, found["total_ns"] // 4_000, 0)
    found["flags"] |= np.where(waits, lib.KVMLOG_F_DELAY_VALID, 0).astype("u2")
    track = found["guest"].astype("u8") << np.uint64(16) | found["vcpu"]
    for one in np.unique(track):
        own = np.flatnonzero(track == one)
        total = found["total_ns"][own]
        gaps = random.lognormal(10, 1.2, len(own)).astype("u8") + np.uint64(_LEAST_GAP_NS)
        # A guest has quiet times and busy ones.
        phase = np.sin(np.arange(len(own)) * 20 / max(1, len(own)) + int(one % 7)) + 1.2
        gaps = (gaps * phase).astype("u8") + np.uint64(_LEAST_GAP_NS)
        before = np.concatenate([[0], np.cumsum(gaps[:-1] + total[:-1])])
        found["exit_ns"][own] = STARTED_NS + 1_000 + gaps[0] + before.astype("u8")
    return found[np.argsort(found["exit_ns"] + found["total_ns"], kind="stable")]


def write(
    path: str | os.PathLike[str],
    records: Records,
    known: Sequence[Guest],
    *,
    lost: int = 0,
    ended: bool = True,
    **about: Any,
) -> Path:
    """A recording of these exits with what comes beside them, which ends with the last of them."""
    last_ns = int((records["exit_ns"] + records["total_ns"]).max()) if len(records) else STARTED_NS
    middle_ns = (STARTED_NS + last_ns) // 2
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with RecordingWriter(fd, recordings.header(**about), CLOCKS) as writer:
            writer.set_guests(known)
            writer.append(switch_bytes(ns=STARTED_NS, on=1, cause=lib.KVMLOG_SWITCH_COMMAND))
            writer.append(recordings.announcements(known))
            writer.append(clock_bytes(ns=STARTED_NS, event=lib.KVMLOG_CLOCK_ANCHOR))
            half = len(records) // 2
            writer.append(np.ascontiguousarray(records[:half]).tobytes())
            if lost:
                full = lib.KVMLOG_LOSS_BUFFER_FULL
                writer.append(loss_bytes(ns=middle_ns, lost=lost, cause=full, cpu=3, total=lost))
                writer.lose(lost)
            writer.append(np.ascontiguousarray(records[half:]).tobytes())
            writer.flush()
            if ended:
                _end(fd, writer, last_ns)
    finally:
        os.close(fd)
    return Path(path)


def recording(path: str | os.PathLike[str], count: int, **fields: Any) -> Path:
    """A recording of so many exits; fields: of exits() and of write()."""
    of_write = {name: fields.pop(name) for name in ("lost", "ended", "host") if name in fields}
    records = exits(count, **fields)
    return write(path, records, guests(fields.get("number", 3)), **of_write)


def _end(fd: int, writer: RecordingWriter, last_ns: int) -> None:
    end = End(
        records=writer.records,
        lost_records=writer.lost_records,
        overwritten=0,
        ended_realtime_ns=STARTED_REALTIME_NS + last_ns - STARTED_NS,
        ended_monotonic_ns=last_ns,
        reason="the time is over",
    )
    content = dataclasses.asdict(end)
    os.write(fd, blocks.json_block(blocks.END, content, writer.lost_records))
