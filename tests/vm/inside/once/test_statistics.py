# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog stat` of real guests: what the kernel and perf counted, and who makes them slow."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import Any

import pytest

from tests.vm.inside import host
from tests.vm.inside.payload import Orders
from tests.vm.inside.processes import Bridge, ended, kvmlog, load, until
from tests.vm.inside.qemu import qemu_guest
from tests.vm.inside.stat_output import StatOutput, command, stat
from tests.vm.inside.statistics_runs import (
    CPUID,
    DB,
    DB_UUID,
    HLT,
    IO,
    PAUSE_S,
    PLAIN_TURNS,
    TURNS,
    WEB,
    WEB_UUID,
    Run,
    SlowGuestsRun,
    run_guests,
    run_slow_guests,
)


@pytest.fixture(scope="module")
def run(running_bridge: Bridge, libvirt_daemon: None) -> Run:
    """Share one run among all tests that compare: a run takes long."""
    return run_guests(running_bridge)


@pytest.fixture(scope="module")
def slow(running_bridge: Bridge) -> SlowGuestsRun:
    """Share one run of slow guests among the tests."""
    return run_slow_guests(running_bridge)


@pytest.mark.parametrize("guest", [WEB, DB])
def test_exits_of_a_guest_are_what_the_kernel_counted(run: Run, guest: str) -> None:
    """Counts agree by reason, to the last exit.

    One without a re-entry is written when tracing ends.
    """
    expected = sum(run.counted(guest).values(), Counter())
    assert expected[HLT] >= 2
    assert run.by_reason.counts(guest, "reason") == expected


@pytest.mark.parametrize("guest", [WEB, DB])
def test_exits_of_a_vcpu_are_those_of_its_thread(run: Run, guest: str) -> None:
    """Each of its own."""
    expected = {vcpu: counts.total() for vcpu, counts in run.counted(guest).items()}
    assert run.by_vcpu.counts(guest, "vcpu") == expected


@pytest.mark.parametrize("by", ["by_reason", "by_vcpu", "by_return"])
def test_nobody_else_had_exits(run: Run, by: str) -> None:
    """The three guests' are all, and the kernel counted no more."""
    told: StatOutput = getattr(run, by)
    assert set(told.guests) == {WEB, DB, f"plain:{run.pids['plain']}"}
    assert sum(row["count"] for row in told.rows) == told.exits == run.threads.total()


@pytest.mark.parametrize(("guest", "uuid"), [(WEB, WEB_UUID), (DB, DB_UUID)])
def test_guests_are_called_by_name_and_uuid(run: Run, guest: str, uuid: str) -> None:
    """Guests have their names in the statistics, in the list of guests, and in the ring's exits."""
    who = (uuid, run.pids[guest])
    told, listed = run.by_reason.guests[guest], run.guests[guest]
    assert (told["uuid"], told["pid"]) == who
    assert (listed["uuid"], listed["pid"], listed["running"]) == (*who, True)
    assert listed["exits"] == told["exits"]
    assert listed["numbers"] == [told["number"]]
    named = {
        (one["guest_uuid"], one["guest_pid"], one["tid"])
        for one in run.dumped
        if one.get("guest_name") == guest
    }
    assert named == {(*who, tid) for tid in run.tids[guest]}


def test_returns_to_the_vmm_are_those_that_the_guests_caused(run: Run) -> None:
    """Returns agree by KVM_EXIT_*; KVM handled the rest alone, or was interrupted in it."""
    for guest in (WEB, DB):
        counts = run.by_return.counts(guest, "user_reason_name")
        assert (counts["KVM_EXIT_IO"], counts["KVM_EXIT_MMIO"]) == (2 * TURNS, 2 * TURNS)
        assert counts.keys() <= {"KVM_EXIT_IO", "KVM_EXIT_MMIO", "KVM_EXIT_INTR", None}
    plain = run.by_return.counts(f"plain:{run.pids['plain']}", "user_reason_name")
    del plain[None]
    assert plain == run.plain["user_exits"]
    assert plain["KVM_EXIT_HLT"] == plain["KVM_EXIT_MMIO"] == PLAIN_TURNS


def test_time_that_a_guest_was_held_or_asleep_is_told(run: Run) -> None:
    """The pause, and the halts, of which the last is under way when tracing ends."""
    assert run.by_reason.parts(WEB)["paused_ns"] >= PAUSE_S * 1e9
    for guest in (WEB, DB):
        (halts,) = (row for row in run.by_reason.of(guest) if row["halt"])
        assert halts["idle_ns"] > halts["total_ns"] / 2


def test_perf_counted_the_same(run: Run) -> None:
    """But for each vCPU's last exit, which no entry follows: perf has no sample of that."""
    expected = run.by_reason.counts(WEB, "reason_name") - Counter({"hlt": 2})
    assert {name: row.samples for name, row in run.perf.items()} == expected


def alike(ours: float, perfs: float, beyond: float = 0) -> bool:
    """Neither is more than twice the other, and beyond."""
    return ours <= 2 * perfs + beyond and perfs <= 2 * ours + beyond


def test_perf_measured_the_same(run: Run) -> None:
    """Shortest, mean and longest exit of each reason; see "Against perf kvm stat" in the docs.

    Both read their clocks in probes of the same two tracepoints, one after the other: what comes
    between the readings is in one account and not in the other. That is the rest of a
    probe, a part of the shortest exit; and now and then an interruption, which makes that exit
    the longest of the one account.
    """
    rows = {row["reason_name"]: row for row in run.by_reason.of(WEB) if not row["halt"]}
    for name, ours in rows.items():
        perfs = run.perf[name]
        longest = max(ours["max_ns"] / 1000, perfs.max_us)
        count = ours["count"]
        assert alike(ours["total_ns"] / 1000 / count, perfs.avg_us, longest / count), name
        if count >= TURNS:
            assert alike(ours["min_ns"] / 1000, perfs.min_us), name
    held = max(rows, key=lambda name: int(rows[name]["max_ns"]))
    assert held == max(run.perf, key=lambda name: run.perf[name].max_us)
    assert rows[held]["max_ns"] / 1000 >= PAUSE_S * 1e6
    assert alike(rows[held]["max_ns"] / 1000, run.perf[held].max_us)


@pytest.mark.parametrize(
    ("slow_guest", "part"),
    [
        ("device", "vmm_ns"),
        ("starved", "wait_ns"),
        ("halting", "idle_ns"),
        ("held", "paused_ns"),
    ],
)
def test_the_largest_part_of_its_time_names_the_culprit(
    slow: SlowGuestsRun, slow_guest: str, part: str
) -> None:
    """Whoever looks at the table sees it at once: it is more than all others together."""
    parts = slow.told.parts(slow.name(slow_guest))
    assert parts.most_common(1)[0][0] == part
    assert parts[part] > parts.total() / 2


def test_a_slow_device_stands_under_its_return(slow: SlowGuestsRun) -> None:
    """KVM_EXIT_IO; and by reason, too, it is the guest's first."""
    name = slow.name("device")
    (first, *_) = slow.by_return.of(name)
    assert first["user_reason_name"] == "KVM_EXIT_IO"
    assert first["vmm_ns"] > first["total_ns"] / 2
    assert slow.told.of(name)[0]["reason"] == IO


def test_a_paused_guest_is_no_work_of_its_vmm(slow: SlowGuestsRun) -> None:
    """However long it was held."""
    parts = slow.told.parts(slow.name("held"))
    assert parts["vmm_ns"] < parts["paused_ns"] / 10


def test_halts_are_shown_apart(slow: SlowGuestsRun) -> None:
    """Halts are in no share, and stand below the table under a title of their own."""
    name = slow.name("halting")
    for row in slow.told.of(name):
        assert row["halt"] == (row["reason"] == HLT)
        assert (row["share"] is None) == row["halt"]
    shares = [row["share"] for row in slow.told.of(name) if not row["halt"]]
    assert sum(shares) == pytest.approx(1)
    table, halts = slow.text.split("halts, which are in no SHARE above:\n")
    guests = {line.split()[0]: line.split()[1] for line in halts.splitlines()[1:]}
    assert guests == {name: "hlt"}
    assert "hlt" not in [line.split()[1] for line in table.splitlines()[2:]]


def test_a_reset_and_a_command(bridge: Bridge) -> None:
    """All is nothing; then what comes while a command runs, whose exit status is passed on."""
    places = ("--ring", bridge.ring)
    command("stat", "--reset", "--switch", bridge.switch, *places)
    told = stat(bridge)
    assert (told.exits, told.rows, told.guests) == (0, [], {})
    bridge.client.switch(on=True)
    output = bridge.ring.with_name("told")
    script = f"{host.GUEST} --json --turns 101 --kinds cpuid,pio; exit 7"
    around = ("--json", "-o", output, "--", "sh", "-c", script)
    done = kvmlog("stat", *places, *around, status=7)
    report = json.loads(done.stdout)
    during = StatOutput(output.read_text())
    bridge.client.switch(on=False)
    (guest,) = during.guests.values()
    assert guest["pid"] == report["pid"]
    counts = during.counts(guest["name"], "reason_name")
    assert (counts["cpuid"], counts["io"]) == (101, 102)
    assert stat(bridge).counts(guest["name"], "reason_name") == counts


def test_what_comes_in_each_interval(bridge: Bridge) -> None:
    """Intervals are as many as asked for.

    Where one ends the next begins, and all exits are in one.
    """
    before = stat(bridge).exits
    bridge.client.switch(on=True)
    guest = host.start_guest("--turns", "0", "--kinds", "pio", "--pause-ms", "5")
    try:
        until(lambda: bridge.info().counters["seen"] > before, "an exit")
        printed = command("stat", "-i", "1", "-n", "2", "--json", "--ring", bridge.ring)
    finally:
        guest.terminate()
        guest.communicate()
    bridge.client.switch(on=False)
    first, second = (StatOutput(line, at_rest=False) for line in printed.splitlines())
    assert first.whole["until_realtime_ns"] == second.whole["since_realtime_ns"]
    assert first.exits + second.exits > 0
    assert first.exits + second.exits <= stat(bridge).exits - before


def test_leaves_after_a_bios_looked_for_hypervisors_have_rows(
    bridge: Bridge, threads: host.ThreadHistogram
) -> None:
    """SeaBIOS asks for 256 leaves at its start; they are one detail but for the first two."""
    bridge.client.send("reset")
    with qemu_guest("bios", bios=True, paused=True) as guest:
        bridge.client.switch(on=True)
        guest.cont()
        until(lambda: threads.of(*guest.vcpu_tids)[HLT] > 2, "the BIOS to be done")
        guest.stop()
        bridge.client.switch(on=False)
        counted = threads.of(*guest.vcpu_tids)[CPUID]
        told = stat(bridge, "--by", "reason,detail")
    rows = [row for row in told.rows if row["reason"] == CPUID]
    leaves = {row["detail_words"]: row["count"] for row in rows}
    assert sum(leaves.values()) == counted > 256
    assert "other" not in leaves
    assert leaves["leaf 0x40000200-0x4fffffff"] >= 254
    # Without what was left in ECX.
    assert {"leaf 0x1", "leaf 0x40000000"} <= leaves.keys()
    assert len(leaves) < 20


def test_a_guest_stays_itself_when_tracing_ends_and_begins(
    bridge: Bridge, threads: host.ThreadHistogram
) -> None:
    """The source gives it a new number, the statistics go on with the same row."""
    with qemu_guest("again", Orders("cpuid,pio"), paused=True) as guest:

        def traced() -> tuple[int, dict[str, Any]]:
            """Lets it run a while; the kernel's count of that, and what was told since ever."""
            before = threads.of(*guest.vcpu_tids).total()
            bridge.client.switch(on=True)
            guest.cont()
            until(lambda: threads.of(*guest.vcpu_tids).total() > before + 100, "100 exits")
            guest.stop()
            bridge.client.switch(on=False)
            after = threads.of(*guest.vcpu_tids).total()
            return after - before, stat(bridge).guests["again"]

        first, told = traced()
        guest.cont()  # untraced
        guest.stop()
        second, told_again = traced()
    assert told["exits"] == first
    assert told_again["exits"] == first + second
    assert told_again["id"] == told["id"]
    assert told_again["number"] != told["number"]


def test_after_a_kill_the_statistics_go_on_or_begin_anew(
    running_bridge: Bridge, source: str
) -> None:
    """And say which; they are whole in either case. (The last test here: it ends the bridge.)"""
    bridge = running_bridge
    already = stat(bridge).exits
    seen = bridge.info().counters["seen"]
    bridge.client.switch(on=True)
    with load("--kinds", "cpuid,pio"):
        until(lambda: bridge.info().counters["seen"] > seen, "exits")
        counted = stat(bridge, at_rest=False)
        assert counted.exits > already
        assert bridge.end(signal.SIGKILL) == -signal.SIGKILL
    again = Bridge(bridge.ring.parent, "--slots", str(1 << 18), "--source", source, name="again")
    with ended(again):
        again.ready()
        left = stat(again)
        if "statistics begin anew" in again.log():
            assert left.exits == 0
        else:
            assert left.whole["since_realtime_ns"] == counted.whole["since_realtime_ns"]
            assert left.exits >= counted.exits
        again.client.switch(on=True)
        report = host.guest("--turns", "101", "--kinds", "cpuid,pio")
        again.client.switch(on=False)
        told = stat(again)
        counts = told.counts(told.name(report["pid"]), "reason_name")
        assert (counts["cpuid"], counts["io"]) == (101, 102)
        assert told.exits == left.exits + counts.total()
