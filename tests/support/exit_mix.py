# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits in large numbers, as guests that boot and work make them: for benches and long tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from kvmlog.analysis.records.structs import EXIT
from kvmlog.exits.reasons import svm
from kvmlog.native import lib

Array = np.ndarray[Any, Any]

GUESTS: Final = 4
VCPUS: Final = 4
START_NS: Final = 1_000_000_000_000
# Reason, share, median of its duration (ns), whether it goes to the VMM.
_MIX: Final = (
    (lib.KVMLOG_SVM_NPF, 0.22, 2_100, False),
    (lib.KVMLOG_SVM_MSR, 0.30, 1_200, False),
    (lib.KVMLOG_SVM_IOIO, 0.12, 19_000, True),
    (lib.KVMLOG_SVM_HLT, 0.16, 400_000, False),
    (lib.KVMLOG_SVM_CPUID, 0.05, 1_000, False),
    (svm.NUMBERS["interrupt"], 0.15, 1_500, False),
)
_PORTS: Final = np.array([0x3F8, 0x3F9, 0x3FD, 0x1F7, 0x1F0, 0xCF8, 0xCFC, 0x64, 0x60, 0x70], "u8")
_MSRS: Final = np.array([0x6E0, 0x80B, 0x830, 0x838, 0xC0000100, 0x10], "u8")
_LEAVES: Final = np.array([0, 1, 2, 4, 7, 0xB, 0x40000000, 0x40000001, 0x80000008], "u8")
_PAGES: Final = 30_000
_RIPS: Final = 600


def mixed_exits(count: int, seed: int = 1, each: int = 1 << 18) -> Iterator[bytes]:
    """Yield the records of `count` exits, some 100,000 of them a second, in pieces of `each`."""
    random = np.random.default_rng(seed)
    pages = random.integers(0, 1 << 20, _PAGES).astype("u8") << 12
    rips = random.integers(0, 1 << 24, _RIPS).astype("u8") + 0xFFFFFFFF81000000
    now_ns = START_NS
    while count:
        piece = _piece(random, min(count, each), now_ns, pages, rips)
        now_ns = int(piece["exit_ns"][-1])
        count -= len(piece)
        yield piece.tobytes()


def _piece(random: Any, count: int, begin_ns: int, pages: Array, rips: Array) -> Array:
    found = np.zeros(count, EXIT)
    kind = random.choice(len(_MIX), count, p=[share for _, share, _, _ in _MIX])
    reasons = np.array([reason for reason, _, _, _ in _MIX], "u4")[kind]
    medians = np.array([median for _, _, median, _ in _MIX])[kind]
    returns = np.array([returns for _, _, _, returns in _MIX])[kind]
    found["type"] = lib.KVMLOG_RECORD_EXIT
    found["isa"] = lib.KVMLOG_ISA_SVM
    found["source"] = lib.KVMLOG_SOURCE_KMOD
    found["exit_ns"] = begin_ns + np.cumsum(random.exponential(10_000, count)).astype("u8") + 1
    found["total_ns"] = np.maximum(400, random.lognormal(np.log(medians), 0.7)).astype("u8")
    found["reason"] = reasons
    found["config_epoch"] = 1
    lane = random.integers(0, GUESTS * VCPUS, count)
    found["guest"], found["vcpu"] = lane // VCPUS + 1, lane % VCPUS
    found["tid"], found["cpu"] = 4_300 + lane, random.integers(0, 8, count)
    flags = np.full(count, lib.KVMLOG_F_RIP_VALID | lib.KVMLOG_F_INFO_VALID, "u2")
    found["rip"] = rips[np.minimum(random.exponential(60, count), _RIPS - 1).astype("u4")]
    detailed = np.zeros(count, bool)
    for reason, details in (
        (lib.KVMLOG_SVM_NPF, pages),
        (lib.KVMLOG_SVM_MSR, _MSRS),
        (lib.KVMLOG_SVM_IOIO, _PORTS),
        (lib.KVMLOG_SVM_CPUID, _LEAVES),
    ):
        own = reasons == reason
        found["detail"][own] = random.choice(details, int(own.sum()))
        detailed |= own
    own = reasons == lib.KVMLOG_SVM_NPF
    found["info2"][own] = found["detail"][own]
    found["info1"][own] = 0x100000006
    own = reasons == lib.KVMLOG_SVM_IOIO
    found["info1"][own] = found["detail"][own] << 16 | 0x10
    found["info1"][reasons == lib.KVMLOG_SVM_MSR] = 1
    flags[detailed] |= lib.KVMLOG_F_DETAIL_VALID
    flags[returns] |= lib.KVMLOG_F_USER_REASON
    found["user_exits"][returns] = 1
    found["user_reason"][returns] = 2
    found["user_ns"][returns] = found["total_ns"][returns] * 3 // 4
    halts = reasons == lib.KVMLOG_SVM_HLT
    flags[halts] |= lib.KVMLOG_F_HALT_SLEPT
    found["halt_ns"][halts] = found["total_ns"][halts] - 300
    found["flags"] = flags
    return found
