# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits as metrics: equal to the statistics, apart from each other, and gone with their VM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kvmlog.guests.model import Guest, encode
from kvmlog.guests.names import GuestNames
from kvmlog.metrics import exits
from kvmlog.metrics.series import Room
from kvmlog.native import lib
from kvmlog.ring.reader import boot_id
from kvmlog.ring.statistics.reader import OCTAVE_ENDS_NS, By
from kvmlog.stat.names import StatisticsNames
from kvmlog.util.process import start_ticks
from tests.support import statistics_feed as feed
from tests.support.metrics_host import guest, uuid_of
from tests.support.statistics_feed import Counting

IO, HLT, NPF, CPUID = 0x7B, 0x78, 0x400, 0x72
PID = 4_000_001
SLEPT = lib.KVMLOG_F_HALT_SLEPT


class Fed:
    """Statistics fed by hand, the guests that a bridge would list, and what becomes of both."""

    def __init__(self, folder: Path, counting: Counting) -> None:
        self.folder, self.counting = folder, counting

    def listed(self, *guests: Guest) -> None:
        (self.folder / "ring.guests").write_bytes(encode(boot_id(), guests, len(guests)))

    def series(
        self, most: int = 100_000, writer_alive: bool = True
    ) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples, of which no two are the same."""
        names = StatisticsNames(GuestNames(str(self.folder / "ring")))
        vms = exits.vms(self.counting.snapshot(), names, writer_alive)
        found = {}
        for metric in exits.families(vms, Room(most)):
            for one in metric.samples:
                key = (one.name, frozenset(one.labels.items()))
                assert key not in found
                found[key] = one.value
        assert sum(vm.series for vm in vms) == len(found) or most < 100_000
        return found

    def values(self, name: str, *keys: str) -> dict[tuple[str, ...], float]:
        """The samples of a family, by the values of these labels ("": there is none)."""
        return {
            tuple(dict(labels).get(key, "") for key in keys): value
            for (one, labels), value in self.series().items()
            if one == name
        }


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """Statistics with nothing in them yet."""
    with Counting(tmp_path) as counting:
        yield Fed(tmp_path, counting)


def test_counts_and_times_are_those_of_the_statistics(fed: Fed) -> None:
    """Each exit once, each nanosecond with who spent it, to the last of them."""
    fed.listed(guest(PID, "web1", uuid_of(1)))
    fed.counting.feed(
        feed.note(1, PID),
        feed.exits(3, reason=IO, total_ns=10_000, user_ns=7_000),
        feed.exits(2, reason=NPF, total_ns=5_000, delay_kernel_us=2),
        feed.exits(4, reason=HLT, total_ns=900_000, halt_ns=800_000, flags=SLEPT),
    )
    assert fed.values("kvmlog_exits_total", "uuid", "name", "isa", "reason") == {
        (uuid_of(1), "web1", "svm", "io"): 3,
        (uuid_of(1), "web1", "svm", "npf"): 2,
        (uuid_of(1), "web1", "svm", "hlt"): 4,
    }
    spent = fed.values("kvmlog_exit_time_seconds_total", "reason", "spent")
    assert {key: round(value * 1e9) for key, value in spent.items()} == {
        ("io", "kvm"): 9_000,
        ("io", "vmm"): 21_000,
        ("io", "wait"): 0,
        ("io", "paused"): 0,
        ("npf", "kvm"): 6_000,
        ("npf", "vmm"): 0,
        ("npf", "wait"): 4_000,
        ("npf", "paused"): 0,
        ("hlt", "kvm"): 400_000,
        ("hlt", "vmm"): 0,
        ("hlt", "wait"): 0,
        ("hlt", "paused"): 0,
        ("hlt", "idle"): 3_200_000,
    }
    rows = fed.counting.rows(By.GUEST)
    assert round(sum(spent.values()) * 1e9) == feed.add_up(rows, "total_ns")


def test_histograms_count_exactly_at_their_bounds(fed: Fed) -> None:
    """An exit as long as a bound is in that bucket; one a nanosecond longer is in the next."""
    fed.listed(guest(PID, "web1", uuid_of(1)))
    ends = [OCTAVE_ENDS_NS[octave] for octave in exits.WORK_OCTAVES]
    lengths = np.array([end + more for end in ends for more in (0, 1)], np.uint64)
    fed.counting.feed(feed.note(1, PID), feed.exits(len(lengths), reason=IO, total_ns=lengths))
    buckets = fed.values("kvmlog_exit_seconds_bucket", "le")
    expected = {(repr(end / 1e9),): 1 + 2 * number for number, end in enumerate(ends)}
    found = {(repr(float(le)),): count for (le,), count in buckets.items() if le != "+Inf"}
    assert found == expected
    assert buckets["+Inf",] == len(lengths)
    assert fed.values("kvmlog_exit_seconds_count", "name") == {("web1",): len(lengths)}
    (total,) = fed.values("kvmlog_exit_seconds_sum", "name").values()
    assert round(total * 1e9) == int(lengths.sum())


def test_halts_have_a_histogram_of_their_own(fed: Fed) -> None:
    """No halt is among the exits by duration, and no exit among the halts."""
    fed.listed(guest(PID, "web1", uuid_of(1)))
    fed.counting.feed(
        feed.note(1, PID),
        feed.exits(5, reason=HLT, total_ns=2**31, halt_ns=2**31 - 1),
        feed.exits(3, reason=IO, total_ns=2_000),
    )
    assert fed.values("kvmlog_exit_seconds_count", "name") == {("web1",): 3}
    assert fed.values("kvmlog_halt_seconds_count", "name") == {("web1",): 5}
    at_least = [count for (le,), count in fed.values("kvmlog_halt_seconds_bucket", "le").items()]
    assert at_least == sorted(at_least)
    assert set(at_least) == {0, 5}


def test_nested_exits_are_apart(fed: Fed) -> None:
    """A guest within the VM is told by a label that ordinary exits do not have."""
    fed.listed(guest(PID, "web1", uuid_of(1)))
    fed.counting.feed(
        feed.note(1, PID),
        feed.exits(3, reason=IO, total_ns=1),
        feed.exits(2, reason=IO, total_ns=1, flags=lib.KVMLOG_F_NESTED | lib.KVMLOG_F_NESTED_L0),
    )
    found = fed.values("kvmlog_exits_total", "reason", "nested")
    assert found == {("io", ""): 3, ("io", "l0"): 2}


def test_a_vm_that_left_has_no_series(fed: Fed) -> None:
    """They go as soon as the bridge notes its end; its exits stay in the statistics."""
    fed.listed(guest(PID, "web1", uuid_of(1)), guest(PID + 1, "db1", uuid_of(2)))
    for number in (1, 2):
        fed.counting.feed(feed.note(number, PID + number - 1), feed.exits(1, guest=number))
    assert set(fed.values("kvmlog_exits_total", "name")) == {("web1",), ("db1",)}
    fed.listed(
        replace(guest(PID, "web1", uuid_of(1)), ended_realtime_ns=5),
        guest(PID + 1, "db1", uuid_of(2)),
    )
    assert set(fed.values("kvmlog_exits_total", "name")) == {("db1",)}
    assert fed.counting.snapshot().exits == 2


def test_without_a_bridge_processes_are_looked_at(fed: Fed) -> None:
    """A list of guests that nobody keeps up to date names VMs that are gone."""
    own = os.getpid()
    ticks = start_ticks(own)
    assert ticks is not None
    fed.listed(Guest(own, ticks, "q", "qemu", "here", True), guest(PID, "gone", uuid_of(1)))
    fed.counting.feed(
        feed.note(1, own, start_boottime_ns=ticks * 10**7),
        feed.note(2, PID),
        feed.exits(1, guest=1),
        feed.exits(1, guest=2),
    )
    found = {dict(labels)["name"] for _, labels in fed.series(writer_alive=False)}
    assert found == {"here"}


def test_equal_names_and_none_at_all(fed: Fed) -> None:
    """Two VMs of one name, and one without, are three VMs: each has series of its own."""
    fed.listed(guest(PID, "web1", uuid_of(1)), guest(PID + 1, "web1", uuid_of(1)))
    fed.counting.feed(
        feed.note(1, PID),
        feed.note(2, PID + 1),
        *(feed.exits(number, guest=number, reason=IO) for number in (1, 2)),
    )
    found = fed.values("kvmlog_exits_total", "uuid", "name")
    assert sorted(found.values()) == [1, 2]
    assert {uuid for uuid, _ in found} == {uuid_of(1)}


def test_the_limit_leaves_out_whole_vms(fed: Fed) -> None:
    """Those that were seen first stay, whatever the others do."""
    fed.listed(*(guest(PID + number, f"vm{number}", uuid_of(number)) for number in range(5)))
    for number in range(5):
        fed.counting.feed(
            feed.note(number + 1, PID + number), feed.exits(2, guest=number + 1, total_ns=5_000)
        )
    every = fed.series()
    each = len(every) // 5
    few = fed.series(most=2 * each + 1)
    assert {dict(labels)["name"] for _, labels in few} == {"vm0", "vm1"}
    assert few.items() <= every.items()


def test_a_name_from_anywhere_is_a_label(fed: Fed) -> None:
    """Names that the file of guests refuses do not get here; long ones are what they are."""
    name = "ä" * 200 + ' "x\\ \U0001f600'
    fed.listed(guest(PID, name, None))
    fed.counting.feed(feed.note(1, PID), feed.exits(1))
    assert set(fed.values("kvmlog_exits_total", "uuid", "name")) == {("", name)}
