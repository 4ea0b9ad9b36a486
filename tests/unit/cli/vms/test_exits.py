# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits beside a VM: whose they are, which reason is the largest, and when they are not known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.cli.vms.exits import ExitMeter, VmExits
from kvmlog.cli.vms.figures import figures
from kvmlog.guests.model import Guest
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import Row
from kvmlog.stat.query import Query
from kvmlog.stat.report import Report
from kvmlog.stat.report import report as made_report
from tests.support import statistics_rows as rows
from tests.support import vmstats_samples as make
from tests.support.statistics_feed import Counting, exits, note
from tests.support.statistics_rows import HLT, IO, NPF, Made, row
from tests.support.vms_polls import poll

WEB1, OTHER = 4300, 4301
ROWS = [
    row(guest=1, reason=IO, count=30, total_ns=2_000),
    row(guest=1, reason=NPF, count=10, total_ns=6_000),
    row(guest=1, reason=HLT, halt=True, count=10, total_ns=90_000, idle_ns=80_000),
    row(guest=2, reason=HLT, halt=True, count=7, total_ns=4_000),
]
GUESTS = {1: rows.guest(1, WEB1, exits=50), 2: rows.guest(2, OTHER, exits=7)}


def report(folder: Path, found: Sequence[Row] = ROWS, known: Sequence[Guest] = ()) -> Report:
    """Exits of two seconds."""
    made = Made(found, GUESTS)
    return made_report(rows.moment(made, 2), None, rows.names(folder, known, made), Query())


def test_rate_and_largest_reason(tmp_path: Path) -> None:
    """All exits count; the reason is the one that took most time, halts apart."""
    (line,) = poll(make.vm(), report=report(tmp_path)).lines
    found = figures(line)
    assert (found["exits"], found["exits_per_s"], found["exits_interval_s"]) == (50, 25.0, 2.0)
    assert found["exit_reason"] == "npf"
    assert (found["exit_reason_count"], found["exit_reason_ns"]) == (10, 6_000)
    assert found["exit_reason_share"] == 0.75


def test_a_vm_that_only_halts_has_that_reason(tmp_path: Path) -> None:
    """It has no share, as in kvmlog stat."""
    (line,) = poll(make.vm(pid=OTHER), report=report(tmp_path)).lines
    assert line.exits is not None
    assert (line.exits.count, line.exits.reason, line.exits.share) == (7, "hlt", None)


def test_a_kvm_that_tells_no_reasons(tmp_path: Path) -> None:
    """Exits are counted, a reason is not made up."""
    silent = [row(guest=1, isa=lib.KVMLOG_ISA_NONE, reason=0, count=50, total_ns=0)]
    (line,) = poll(make.vm(), report=report(tmp_path, silent)).lines
    assert line.exits is not None
    assert (line.exits.count, line.exits.reason) == (50, None)


def test_a_vm_without_a_pid_is_found_by_its_uuid(tmp_path: Path) -> None:
    """Only while that guest runs."""
    hidden = make.vm(pid=None)
    assert poll(hidden, report=report(tmp_path)).lines[0].exits is None
    named = rows.named(WEB1, "web1", uuid=make.WEB1)
    (found,) = poll(hidden, report=report(tmp_path, known=[named])).lines
    assert found.exits is not None
    assert found.exits.count == 50
    ended = replace(named, ended_realtime_ns=1)
    assert poll(hidden, report=report(tmp_path, known=[ended])).lines[0].exits is None


def test_a_vm_of_another_host_has_no_exits_here(tmp_path: Path) -> None:
    """Not even while it migrates, when a guest with its UUID runs here too."""
    uri = "qemu+ssh://host2/system"
    there = make.vm(pid=None, uri=uri)
    hosts = (make.host(), make.host(uri=uri, local=False))
    known = [rows.named(WEB1, "web1", uuid=make.WEB1)]
    here, found = poll(make.vm(), there, report=report(tmp_path, known=known), hosts=hosts).lines
    assert here.exits is not None
    assert found.exits is None


def test_a_pid_that_another_guest_had_lends_it_nothing(tmp_path: Path) -> None:
    """Sibling: the process ended, and its number was given to the VM."""
    ended = rows.named(WEB1, "older", ended_realtime_ns=1)
    (line,) = poll(make.vm(), report=report(tmp_path, known=[ended]), complete=False).lines
    assert line.exits is None


def test_no_exit_is_zero_only_where_all_guests_are_traced(tmp_path: Path) -> None:
    """A filter may have left the VM out; a VM that is off has no exits at all."""
    quiet = make.vm(pid=99)
    found = report(tmp_path)
    (line,) = poll(quiet, report=found, complete=True).lines
    assert figures(line)["exits_per_s"] == 0
    assert poll(quiet, report=found, complete=False).lines[0].exits is None
    assert poll(make.off_vm(), report=found, complete=True).lines[0].exits is None
    assert poll(quiet, report=None).lines[0].exits is None
    assert VmExits(None, complete=True).over_s is None


@contextmanager
def counted(counting: Counting) -> Iterator[threading.Lock]:
    """The statistics are brought up to date again and again, as a bridge does; hold to feed."""
    lock, ended = threading.Lock(), threading.Event()

    def fold() -> None:
        while not ended.wait(0.02):
            with lock:
                counting.writer.flush()

    thread = threading.Thread(target=fold)
    thread.start()
    try:
        yield lock
    finally:
        ended.set()
        thread.join()


def test_only_exits_since_the_last_measurement_count(tmp_path: Path) -> None:
    """Real statistics: exits before are not counted, and while tracing is off nothing is."""
    with (
        Counting(tmp_path) as counting,
        counted(counting) as feeding,
        ExitMeter(str(tmp_path / "ring"), str(tmp_path / "switch")) as meter,
    ):
        with feeding:
            counting.feed(note(1, WEB1), exits(5, reason=IO, total_ns=10))
        assert not meter.begin()
        assert meter.measured().over_s is None
        counting.ring.switched(True, lib.KVMLOG_SOURCE_KMOD)
        assert meter.begin()
        with feeding:
            counting.feed(exits(70, reason=NPF, total_ns=20))
        found = meter.measured().of(make.sample(), local=True)
        again = meter.measured()
        counting.ring.switched(False, lib.KVMLOG_SOURCE_KMOD)
        off = meter.measured()
    assert found is not None
    assert (found.count, found.reason) == (70, "npf")
    assert again.over_s is not None
    # No bridge says whether it traces all guests.
    assert again.of(make.sample(), local=True) is None
    assert off.over_s is None
    assert [one.problem for one in (again, off)] == [None, None]


@pytest.mark.parametrize("content", [None, b"nothing of ours"])
def test_statistics_that_cannot_be_had_cost_only_exits(
    tmp_path: Path, content: bytes | None
) -> None:
    """A missing file says nothing, a damaged one is named."""
    path = tmp_path / "ring.statistics"
    if content is not None:
        path.write_bytes(content)
    with ExitMeter(str(tmp_path / "ring"), str(tmp_path / "switch")) as meter:
        assert not meter.begin()
        problem = meter.measured().problem
    assert (problem is None) == (content is None)
    assert problem is None or problem.startswith(f"exits are not known: {path}: ")
