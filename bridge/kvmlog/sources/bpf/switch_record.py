# SPDX-License-Identifier: GPL-2.0-or-later
"""SWITCH records (record.h): the module writes its own, this writes those of the source bpf."""

from __future__ import annotations

import os

from kvmlog.native import ffi, lib
from kvmlog.sources.base import SwitchConfig


def switch_record(config: SwitchConfig, on: bool, cause: int, epoch: int, ns: int) -> bytes:
    """Return one record; cause: enum kvmlog_switch_cause; ns: CLOCK_MONOTONIC."""
    record = ffi.new(
        "struct kvmlog_record_switch *",
        {
            "type": lib.KVMLOG_RECORD_SWITCH,
            "source": lib.KVMLOG_SOURCE_BPF,
            "ns": ns,
            "on": on,
            "cause": cause,
            "one_in": config.one_in,
            "on_ms": config.on_ms,
            "off_ms": config.off_ms,
            "filter_tgids": len(config.tgids),
            "config_epoch": epoch,
            "tid": os.getpid(),
            "vcpu": lib.KVMLOG_NO_VCPU,
            "cpu": lib.KVMLOG_NO_CPU,
        },
    )
    return bytes(ffi.buffer(record))
