# SPDX-License-Identifier: GPL-2.0-or-later
"""The program of kvm_exit run by hand, with what the event would have told it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from kvmlog.native import lib
from kvmlog.ring.records import NO_VCPU, Record, unpack_records
from kvmlog.sources.base import SwitchConfig
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.cache import Cache
from kvmlog.sources.bpf.loader import RECORDS, Loaded, make_loaded
from kvmlog.sources.bpf.maps import Maps
from tests.support.bpf_host import made, needs_programs
from tests.support.bpf_process import check_sum
from tests.support.bridge_process import BPF_CACHE


class RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts (bpf/bpf.h)."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class ByHand:
    """Raw programs run in this thread, on one CPU, with maps as tracing has them when it is on."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        self.maps = Maps(loaded.maps, loaded.cpus, loaded.slots)
        self.maps.records(loaded.maps[RECORDS], None)
        self.maps.configure(SwitchConfig(on=True), 1, 0)
        self.maps.begin(None)
        (number,) = os.sched_getaffinity(0)
        self.number = number
        self.cpu: Any = self.maps.native.cpus[number]

    def run(self, function: str, *arguments: int) -> None:
        """Run the program as if its tracepoint had passed these arguments."""
        given = (ctypes.c_uint64 * 12)(*arguments)
        options = RunOptions(
            sz=ctypes.sizeof(RunOptions),
            ctx_in=ctypes.addressof(given),
            ctx_size_in=ctypes.sizeof(given),
        )
        failed = self._libbpf.bpf_prog_test_run_opts(
            self._loaded.programs[function], ctypes.byref(options)
        )
        assert failed == 0, os.strerror(ctypes.get_errno())
        assert options.retval == 0

    def tell(self, **fields: int) -> None:
        """Set what the event's program notes of an exit: this thread's, or that of `event_tid`."""
        told = {"event_tid": threading.get_native_id(), **fields}
        for name, value in told.items():
            setattr(self.cpu, name, value)

    def exit(self) -> Record:
        """kvm_exit comes; the exit that is under way then."""
        self.run("kvmlog_kvm_exit", 0, 0)
        (record,) = unpack_records(self.maps.pending())
        assert isinstance(record, Record)
        assert self.cpu.event_tid == 0
        return record


Hand = Callable[[str, bool], ByHand]


@pytest.fixture
def by_hand(event: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    """Loads the programs of a kernel without BTF, for that vendor; with a RIP that is not sure."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, allowed)

        def load(vendor: str, unsure: bool) -> ByHand:
            monkeypatch.setattr(plan, "_may_be_protected", lambda: unsure)
            loaded, _ = make_loaded(made(None, vendor, "auto"), Cache(str(BPF_CACHE)), 16)
            stack.callback(loaded.close)
            loaded.load()
            hand = ByHand(loaded)
            stack.callback(hand.maps.close)
            return hand

        yield load


TOLD: Final = {
    "reason": 30,
    "info1": 0x3F8 << 16,
    "info2": 0x1234,
    "rip": 0xFFFFFFFF81000000,
    "intr_info": 0,
    "vcpu_id": 7,
}


@needs_programs
@pytest.mark.parametrize(
    ("vendor", "reason", "isa"),
    [("kvm_intel", 30, lib.KVMLOG_ISA_VMX), ("kvm_amd", 0x7B, lib.KVMLOG_ISA_SVM)],
)
def test_what_the_event_told_is_in_the_record(
    by_hand: Hand, vendor: str, reason: int, isa: int
) -> None:
    """All of it, for one exit: the next one of the same thread needs its own."""
    hand = by_hand(vendor, False)
    hand.tell(**TOLD | {"reason": reason})
    record = hand.exit()
    valid = lib.KVMLOG_F_INFO_VALID | lib.KVMLOG_F_RIP_VALID | lib.KVMLOG_F_DETAIL_VALID
    # Pending exits are told with NO_REENTRY.
    assert record.flags == valid | lib.KVMLOG_F_NO_REENTRY
    assert (record.isa, record.reason) == (isa, reason)
    assert (record.info1, record.info2) == (TOLD["info1"], TOLD["info2"])
    assert (record.rip, record.vcpu, record.detail) == (TOLD["rip"], TOLD["vcpu_id"], 0x3F8)
    assert (record.tid, record.cpu) == (threading.get_native_id(), hand.number)
    # The fields are still there, and nobody told of this one.
    check_untold(hand.exit())
    hand.tell(**TOLD | {"reason": reason, "vcpu_id": 8})
    assert (hand.exit().vcpu, hand.exit().vcpu) == (8, NO_VCPU)
    counters = hand.maps.counters()
    check_sum(counters)
    # The GUEST record, and three exits that the next one ended.
    assert (counters["notes"], counters["emitted"], counters["pending"]) == (1, 3, 1)
    assert counters["dropped"] == 0


@needs_programs
def test_what_was_told_of_another_threads_exit_is_not_taken(by_hand: Hand) -> None:
    """And forgotten: that exit's own program was left out, or ran before."""
    hand = by_hand("kvm_intel", False)
    hand.tell(**TOLD | {"event_tid": threading.get_native_id() + 1})
    check_untold(hand.exit())
    hand.tell(**TOLD)
    assert hand.exit().reason == TOLD["reason"]


@needs_programs
def test_a_rip_that_is_not_sure_is_not_told(by_hand: Hand) -> None:
    """All else is."""
    hand = by_hand("kvm_amd", True)
    hand.tell(**TOLD | {"reason": 0x7B})
    record = hand.exit()
    valid = lib.KVMLOG_F_INFO_VALID | lib.KVMLOG_F_DETAIL_VALID
    assert record.flags == valid | lib.KVMLOG_F_NO_REENTRY
    assert (record.rip, record.reason, record.detail) == (0, 0x7B, 0x3F8)


@needs_programs
def test_an_exit_that_is_not_wanted_takes_what_was_told_of_it(by_hand: Hand) -> None:
    """The next one, which is wanted, is not given it."""
    hand = by_hand("kvm_intel", False)
    hand.maps.configure(SwitchConfig(on=True, tgids=(os.getpid() + 1,)), 2, 0)
    hand.tell(**TOLD)
    hand.run("kvmlog_kvm_exit", 0, 0)
    assert hand.maps.pending() == b""
    assert hand.cpu.event_tid == 0
    hand.maps.configure(SwitchConfig(on=True, tgids=(os.getpid(),)), 3, 0)
    record = hand.exit()
    check_untold(record)
    assert record.config_epoch == 3
    counters = hand.maps.counters()
    check_sum(counters)
    assert (counters["filtered"], counters["pending"]) == (1, 1)


@needs_programs
def test_a_program_that_runs_while_tracing_is_off_does_nothing(by_hand: Hand) -> None:
    """It may begin a moment after it was detached."""
    hand = by_hand("kvm_intel", False)
    hand.maps.end()
    hand.tell(**TOLD)
    hand.run("kvmlog_kvm_exit", 0, 0)
    assert hand.maps.pending() == b""
    assert hand.maps.counters()["seen"] == 0


def check_untold(record: Record) -> None:
    """An exit, and nothing of why: no table gives its reason a name."""
    assert (record.type, record.isa) == (lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_NONE)
    assert record.flags == lib.KVMLOG_F_NO_REENTRY
    assert (record.reason, record.info1, record.info2, record.detail) == (0, 0, 0, 0)
    assert (record.rip, record.vcpu) == (0, NO_VCPU)
