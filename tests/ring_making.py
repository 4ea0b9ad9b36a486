# SPDX-License-Identifier: GPL-2.0-or-later
"""Records for tests, as the bytes of their C structs; rings are made by the real RingWriter."""

from __future__ import annotations

from kvmlog.native import ffi, lib

DEFAULTS = {
    "source": lib.KVMLOG_SOURCE_KMOD,
    "isa": lib.KVMLOG_ISA_SVM,
    "config_epoch": 1,
    "guest": 1,
}


def exit_bytes(**fields: int) -> bytes:
    """An EXIT record: struct kvmlog_record with `fields` over the defaults."""
    return _bytes("kvmlog_record", {"type": lib.KVMLOG_RECORD_EXIT, **fields})


def guest_bytes(comm: bytes, **fields: int) -> bytes:
    """A GUEST record."""
    return _bytes("kvmlog_record_guest", {"type": lib.KVMLOG_RECORD_GUEST, "comm": comm, **fields})


def loss_bytes(**fields: int) -> bytes:
    """A LOSS record; of no particular CPU unless `cpu` is given."""
    own = {"type": lib.KVMLOG_RECORD_LOSS, "cpu": lib.KVMLOG_NO_CPU, "vcpu": lib.KVMLOG_NO_VCPU}
    return _bytes("kvmlog_record_loss", own | fields)


def switch_bytes(**fields: int) -> bytes:
    """A SWITCH record."""
    return _bytes("kvmlog_record_switch", {"type": lib.KVMLOG_RECORD_SWITCH, **fields})


def clock_bytes(**fields: int) -> bytes:
    """A CLOCK record."""
    return _bytes("kvmlog_record_clock", {"type": lib.KVMLOG_RECORD_CLOCK, **fields})


def cpu_bytes(**fields: int) -> bytes:
    """A CPU record."""
    return _bytes("kvmlog_record_cpu", {"type": lib.KVMLOG_RECORD_CPU, **fields})


def _bytes(struct: str, fields: dict[str, int] | dict[str, int | bytes]) -> bytes:
    return bytes(ffi.buffer(ffi.new(f"struct {struct} *", {**DEFAULTS, **fields})))
