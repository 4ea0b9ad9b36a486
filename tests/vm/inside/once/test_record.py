# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog record` of real exits: while a command runs, and around an event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from kvmlog.recording.reader import Recording
from kvmlog.ring.records import Record, iter_records
from tests.vm.inside import host
from tests.vm.inside.processes import Bridge, Process, ended, kvmlog, load, until
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)

TURNS = 300
KVM_EXIT_MMIO = 6


@pytest.fixture
def file(bridge: Bridge) -> Iterator[Path]:
    """A place for a recording, beside the ring."""
    file = bridge.ring.with_name("x.kvmlog")
    yield file
    file.unlink(missing_ok=True)


def exits_of(recording: Recording) -> list[Record]:
    """The exits in a recording."""
    records = (one for block in recording.blocks() for one in iter_records(block))
    return [one for one in records if isinstance(one, Record)]


def test_a_command_is_recorded(bridge: Bridge, file: Path) -> None:
    """Each exit of the reason that was asked for, no other; tracing is on for it alone."""
    command: list[str | Path] = [host.GUEST, "--json", "--turns", str(TURNS)]
    places = ("--ring", bridge.ring, "--switch", bridge.switch)
    done = kvmlog("record", "-o", file, "--reason", "cpuid", *places, "--", *command)
    pid = json.loads(done.stdout)["pid"]
    assert bridge.status()["wanted"] == "off"
    with Recording(file) as recording:
        exits = exits_of(recording)
        assert len(exits) == TURNS
        assert {one.reason for one in exits} == {lib.KVMLOG_SVM_CPUID}
        assert (recording.lost_records, recording.damaged) == (0, [])
        assert recording.header.command.endswith(f"--json --turns {TURNS}")
        assert (recording.header.source, recording.header.isa) == (KMOD, "svm")
        assert [guest.pid for guest in recording.guests.guests if guest.pid == pid] == [pid]
    told = json.loads(kvmlog("stat", "--from", file, "--json", "--by", "guest,reason").stdout)
    (row,) = told["rows"]
    assert (row["count"], row["reason_name"]) == (TURNS, "cpuid")
    assert row["total_ns"] == sum(one.total_ns for one in exits)
    listed = kvmlog("guests", "--all", "--json", "--from", file).stdout.splitlines()
    assert [one["exits"] for one in map(json.loads, listed) if one["pid"] == pid] == [TURNS]


def test_what_surrounds_an_event_is_kept(bridge: Bridge, file: Path) -> None:
    """Of a guest that goes on exiting, only some seconds are kept: before and after it."""
    bridge.client.switch(True)
    places = ("--ring", bridge.ring, "--switch", bridge.switch)
    options = ("--freeze-on", "KVM_EXIT_MMIO", "--before", "1s", "--after", "0.2s")
    log = bridge.ring.parent.with_name("record.log")
    with load("--kinds", "cpuid") as other:
        recorder = Process(log, "record", "-o", file, *options, *places)
        with ended(recorder):
            recorder.says("waiting for KVM_EXIT_MMIO")
            begin = bridge.info().head
            until(lambda: bridge.info().head > begin, "exits of the other guest")
            pid = host.guest("--turns", "1", "--kinds", "mmio")["pid"]
            assert recorder.process.wait(host.HANG_S) == 0
    with Recording(file) as recording:
        assert recording.header.event.startswith(f"KVM_EXIT_MMIO: kvmlog-guest:{pid}, vCPU 0")
        exits = exits_of(recording)
        (event,) = [one for one in exits if one.user_reason == KVM_EXIT_MMIO]
        assert recording.header.started_monotonic_ns == event.exit_ns - 10**9
        assert min(one.ns for one in exits) >= event.exit_ns - 10**9
        others = [one for one in exits if one.guest != event.guest]
        assert {one.ns < event.ns for one in others} == {True, False}
        assert {guest.pid for guest in recording.guests.guests} >= {pid, other.pid}
