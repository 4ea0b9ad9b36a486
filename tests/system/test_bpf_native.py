# SPDX-License-Identifier: GPL-2.0-or-later
"""The source bpf on this machine's own kernel: a real bridge, real programs, a real guest.

Where KVM has no kvm_amd or kvm_intel, kvm_exit never fires, and the source records each return
from KVM_RUN: those the guest counts itself. All other ways to a reason need a VM (tests/vm); here
they are compiled, and loaded, so that this kernel's verifier judges them, and kvm_exit's program
is run by hand with what the event would have told it.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest

from kvmlog.bridge import wire
from kvmlog.bridge._native import ffi, lib
from kvmlog.bridge.bpf import plan
from kvmlog.bridge.bpf.headers import VARIABLE, find_headers
from kvmlog.bridge.bpf.loader import Loaded, compile_plan
from kvmlog.bridge.bpf.maps import Maps
from kvmlog.bridge.bpf.source import BpfSource
from kvmlog.bridge.btf import Btf, BtfMissingError
from kvmlog.bridge.control import SwitchClient
from kvmlog.bridge.errors import SourceError
from kvmlog.bridge.pump import Pump
from kvmlog.bridge.ring import RingReader
from kvmlog.bridge.source import SwitchConfig
from kvmlog.bridge.writer import RingWriter
from tests.system import bridge_process
from tests.system.bridge_process import HANG_S, KVMLOG, Bridge, running_bridge, until
from tests.vm.kernels import PROJECT, KernelError, find

GUEST: Final = PROJECT / "build" / "guest" / "kvmlog-guest"
MEMORY_LIMIT_BYTES: Final = 100 << 20
_SBIN: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# linux/kvm.h
USER_EXITS: Final = {2: "KVM_EXIT_IO", 5: "KVM_EXIT_HLT", 6: "KVM_EXIT_MMIO"}
RETURNS_ONLY: Final = "returns from KVM_RUN only: no exits are traced in this KVM"
# Two instructions that return 0: whether this process may load programs at all.
NOTHING: Final = bytes.fromhex("b700000000000000 9500000000000000")


def kernel_source() -> str | None:
    """Headers for bcc: those that the module is built with, else what it finds by itself."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    with contextlib.suppress(KernelError):
        return str(find("6.1").headers.resolve())
    with contextlib.suppress(SourceError):
        return str(find_headers().path or "")
    return None


@functools.cache
def without_programs() -> str | None:
    """Why BPF programs cannot be compiled and loaded here."""
    if os.geteuid() != 0:
        return "loading BPF programs takes root; run the tests as root"
    if importlib.util.find_spec("bcc") is None:
        return "bcc is not installed; apt-get install python3-bpfcc"
    if kernel_source() is None:
        return "there are no kernel headers for bcc; run make setup"
    fd = lib.kvmlog_bpf_load(
        b"kvmlog_probe", lib.KVMLOG_BPF_RAW, NOTHING, len(NOTHING), 0, ffi.NULL, ffi.NULL, 0
    )
    if fd < 0:
        return f"this kernel loads no BPF programs ({os.strerror(-fd)})"
    os.close(fd)
    return None


@functools.cache
def without_returns() -> str | None:
    """Why there is nothing to trace here that a bridge would trace by itself."""
    why_not = without_programs()
    if why_not is not None:
        return why_not
    if plan.loaded_vendor() is not None:
        return f"{plan.loaded_vendor()} is loaded: exits are traced here, not only returns"
    if plan.waiting_for() is not None:
        return f"{plan.waiting_for()} is not loaded"
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    if not GUEST.exists():
        return f"{GUEST} is not built; run make guest"
    if shutil.which("bpftool", path=_SBIN) is None:
        return "bpftool is not installed; apt-get install bpftool"
    return None


needs_programs = pytest.mark.skipif(without_programs() is not None, reason=str(without_programs()))
needs_returns = pytest.mark.skipif(without_returns() is not None, reason=str(without_returns()))


@pytest.fixture(autouse=True)
def headers(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the bridge finds headers, whatever this machine has installed."""
    source = kernel_source() or ""
    monkeypatch.setenv(VARIABLE, source)
    return source


@dataclass
class Traced:
    """A bridge with the source bpf."""

    bridge: Bridge

    @property
    def switch(self) -> SwitchClient:
        return SwitchClient(str(self.bridge.switch), HANG_S)

    def status(self) -> dict[str, Any]:
        return self.switch.status()

    def records(self) -> list[wire.AnyRecord]:
        with RingReader(self.bridge.ring) as reader:
            return wire.unpack(reader.snapshot().records)

    def programs(self) -> set[int]:
        """The kernel's numbers of the programs that this bridge holds."""
        found = set()
        for entry in Path(f"/proc/{self.bridge.process.pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):
                match = re.search(r"^prog_id:\s*(\d+)$", entry.read_text("ascii"), re.MULTILINE)
                if match:
                    found.add(int(match[1]))
        return found


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    """Ready, and off."""
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        yield Traced(bridge)


def bpftool(*arguments: str) -> Any:
    """Its answer."""
    command = [shutil.which("bpftool", path=_SBIN) or "bpftool", "-j", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def programs_in_kernel(numbers: set[int]) -> dict[int, str]:
    """Those of them that the kernel still has, with their names."""
    return {p["id"]: p["name"] for p in bpftool("prog", "show") if p["id"] in numbers}


def maps_of(numbers: set[int]) -> set[int]:
    """The maps that these programs use."""
    programs = bpftool("prog", "show")
    return {number for p in programs if p["id"] in numbers for number in p.get("map_ids", ())}


def maps_in_kernel(numbers: set[int]) -> set[int]:
    """Those of them that the kernel still has."""
    return {m["id"] for m in bpftool("map", "show")} & numbers


def attached(numbers: set[int]) -> set[str]:
    """The tracepoints that these programs are attached to."""
    return {
        link.get("tp_name", link["type"])
        for link in bpftool("link", "show")
        if link.get("prog_id") in numbers
    }


@contextlib.contextmanager
def guest(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A guest, while it lasts; its report is one line of JSON on stdout."""
    process = subprocess.Popen(
        [str(GUEST), "--json", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def report(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the guest says of itself, when it has done all."""
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def run_guest(*arguments: str) -> dict[str, Any]:
    """A guest from its beginning to its end; its report."""
    with guest(*arguments) as process:
        answer = report(process)
        assert process.wait(HANG_S) == 0
    return answer


def guests(records: list[wire.AnyRecord], pid: int) -> list[wire.GuestRecord]:
    """GUEST records of one process."""
    return [r for r in records if isinstance(r, wire.GuestRecord) and r.tgid == pid]


def exits_of(records: list[wire.AnyRecord], number: int) -> list[wire.Record]:
    """EXIT records of one guest."""
    return [r for r in records if isinstance(r, wire.Record) and r.guest == number]


def user_exits(exits: list[wire.Record]) -> dict[str, int]:
    """As the guest reports them."""
    told = (r.user_reason for r in exits if r.flags & lib.KVMLOG_F_USER_REASON)
    return dict(Counter(USER_EXITS.get(reason, str(reason)) for reason in told))


def interrupted(exits: list[wire.Record]) -> int:
    """Returns because of a signal."""
    return sum(bool(r.flags & lib.KVMLOG_F_USER_EINTR) for r in exits)


def check_sum(counters: dict[str, int]) -> None:
    """Nothing vanishes."""
    parts = ("emitted", "filtered", "sampled", "dropped", "pending")
    assert counters["seen"] == sum(counters[name] for name in parts)


@needs_returns
def test_every_return_of_every_vcpu_is_recorded_once(traced: Traced) -> None:
    """By KVM_EXIT_*, as the guest counts them; by thread, for all do the same."""
    traced.switch.switch(on=True)
    vcpus, turns = 4, 500
    said = run_guest("--turns", str(turns), "--vcpus", str(vcpus), "--kinds", "cpuid,pio,mmio,hlt")
    assert said["user_exits"] == {
        "KVM_EXIT_IO": vcpus * (turns + 1),
        "KVM_EXIT_HLT": vcpus * turns,
        "KVM_EXIT_MMIO": vcpus * turns,
    }
    traced.switch.switch(on=False)
    records = traced.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert interrupted(exits) == said["interrupted"] == 0
    by_thread = Counter(r.tid for r in exits)
    assert list(by_thread.values()) == [3 * turns + 1] * vcpus
    assert {(r.type, r.isa, r.source) for r in exits} == {
        (lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_NONE, lib.KVMLOG_SOURCE_BPF)
    }
    assert {(r.user_exits, r.user_errno, r.vcpu) for r in exits} == {(1, 0, wire.NO_VCPU)}
    assert {(r.reason, r.total_ns, r.user_ns, r.rip, r.detail) for r in exits} == {(0,) * 5}
    for tid in by_thread:
        times = [r.exit_ns for r in exits if r.tid == tid]
        assert len(set(times)) == len(times)


@needs_returns
def test_the_guest_is_told_once_before_its_first_exit(traced: Traced) -> None:
    """Its process, by number, start and name; first of all that its CPU wrote of it."""
    traced.switch.switch(on=True)
    name = "a guest's name"
    with guest("--name", name, "--vcpus", "3", "--turns", "20", "--hold") as process:
        said = report(process)
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
        assert said["pid"] == process.pid
    traced.switch.switch(on=False)
    records = traced.records()
    (note,) = guests(records, said["pid"])
    assert note.comm == name.encode().ljust(lib.KVMLOG_COMM_BYTES, b"\0")
    assert (note.source, note.vcpu) == (lib.KVMLOG_SOURCE_BPF, wire.NO_VCPU)
    # proc(5): field 22, in clock ticks
    ticks = int(stat.rpartition(")")[2].split()[19])
    assert note.start_boottime_ns * os.sysconf("SC_CLK_TCK") // 10**9 == ticks
    exits = exits_of(records, note.guest)
    assert note.tid in {r.tid for r in exits}
    assert records.index(note) < min(records.index(r) for r in exits if r.cpu == note.cpu)
    assert note.config_epoch == exits[0].config_epoch == traced.status()["source"]["config_epoch"]


@needs_returns
def test_two_guests_have_two_numbers(traced: Traced) -> None:
    """One after the other and at once; each has its own exits."""
    traced.switch.switch(on=True)
    with guest("--turns", "30", "--hold") as first, guest("--turns", "50", "--hold") as second:
        said = [report(first), report(second)]
    said.append(run_guest("--turns", "70"))
    traced.switch.switch(on=False)
    records = traced.records()
    notes = [guests(records, answer["pid"]) for answer in said]
    assert [len(found) for found in notes] == [1, 1, 1]
    assert len({found[0].guest for found in notes}) == 3
    for (note,), answer in zip(notes, said, strict=True):
        assert user_exits(exits_of(records, note.guest)) == answer["user_exits"]


@needs_returns
def test_the_counters_add_up(traced: Traced) -> None:
    """In status and ring, and to what stands in the ring; switched on twice, they go on."""
    emitted = []
    for _ in range(2):
        traced.switch.switch(on=True)
        run_guest("--turns", "300", "--vcpus", "2", "--kinds", "pio,mmio")
        traced.switch.switch(on=False)
        counters = traced.status()["counters"]
        check_sum(counters)
        records = traced.records()
        assert counters["emitted"] == sum(isinstance(r, wire.Record) for r in records)
        assert counters["notes"] == len(records) - counters["emitted"]
        assert (counters["dropped"], counters["pending"]) == (0, 0)
        with RingReader(traced.bridge.ring) as reader:
            assert reader.info().counters == counters
            assert reader.info().lost_records == 0
        emitted.append(counters["emitted"])
    assert emitted[0] >= 2 * 601
    assert emitted[1] - emitted[0] >= 2 * 601


@needs_returns
def test_off_in_the_middle_of_a_guest_loses_nothing(traced: Traced) -> None:
    """It runs before, during and after; what was seen is there, and nothing comes later."""
    with guest("--turns", "0", "--vcpus", "2", "--kinds", "pio", "--pause-ms", "1") as process:
        traced.switch.switch(on=True)
        until(lambda: bool(guests(traced.records(), process.pid)))
        traced.switch.switch(on=False)
        records = traced.records()
        counters = traced.status()["counters"]
        run_guest("--turns", "50")
        assert traced.records() == records
        assert traced.status()["counters"] == counters
        process.terminate()
        said = report(process)
    check_sum(counters)
    assert (counters["pending"], counters["dropped"]) == (0, 0)
    assert counters["emitted"] == sum(isinstance(r, wire.Record) for r in records)
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert 0 < user_exits(exits)["KVM_EXIT_IO"] < said["user_exits"]["KVM_EXIT_IO"]


@needs_returns
def test_off_leaves_nothing_attached(traced: Traced) -> None:
    """Programs stay loaded, and are attached while tracing is on, again and again."""
    numbers = traced.programs()
    assert set(programs_in_kernel(numbers).values()) == {"kvmlog_sched_pr", "kvmlog_kvm_user"}
    for _ in range(3):
        assert attached(numbers) == set()
        traced.switch.switch(on=True)
        assert traced.status()["source"]["attached"] is True
        assert attached(numbers) == {"sched_process_exit", "kvm_userspace_exit"}
        traced.switch.switch(on=False)
        assert traced.status()["source"]["attached"] is False
    assert attached(numbers) == set()
    assert traced.programs() == numbers


@needs_returns
@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_the_end_of_the_bridge_leaves_nothing_in_the_kernel(traced: Traced, end: str) -> None:
    """However it ends while tracing: no program, no map, no link."""
    traced.switch.switch(on=True)
    numbers = traced.programs()
    maps = maps_of(numbers)
    assert len(numbers) == 2
    assert len(maps) == 8
    traced.bridge.stop(signal.Signals[end])
    # The kernel frees them when the last program that ran has ended.
    until(lambda: not programs_in_kernel(numbers))
    until(lambda: not maps_in_kernel(maps))
    assert attached(numbers) == set()


@needs_returns
def test_a_killed_bridge_is_followed_by_one_that_goes_on(traced: Traced, tmp_path: Path) -> None:
    """In the same ring; guests are told again."""
    traced.switch.switch(on=True)
    run_guest("--turns", "10")
    until(lambda: any(isinstance(r, wire.Record) for r in traced.records()))
    traced.bridge.stop(signal.SIGKILL)
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        again = Traced(bridge)
        again.switch.switch(on=True)
        said = run_guest("--turns", "25", "--kinds", "pio,hlt")
        again.switch.switch(on=False)
        (note,) = guests(again.records(), said["pid"])
        records = again.records()
        behind = records[records.index(note) :]
        assert user_exits(exits_of(behind, note.guest)) == said["user_exits"]


@needs_returns
def test_the_status_says_what_is_traced_and_how_it_was_made(traced: Traced, headers: str) -> None:
    """For an operator: the sentence, the times, whose headers."""
    source = traced.status()["source"]
    assert (source["name"], source["connected"]) == ("bpf", True)
    assert (source["isa"], source["vendor"], source["waiting_for"]) == ("none", None, None)
    sentence, how = source["notes"]
    assert sentence == RETURNS_ONLY
    pattern = r"compiled in \d+\.\d s, loaded in \d+\.\d s, with the headers of (.*)"
    match = re.fullmatch(pattern, how)
    assert match is not None
    assert match[1] == f"{VARIABLE}={headers}"
    assert any(RETURNS_ONLY in line for line in traced.bridge.lines)
    traced.switch.switch(on=True)
    status = traced.status()
    assert (status["state"], status["source"]["on"]) == ("on", True)
    with RingReader(traced.bridge.ring) as reader:
        assert (reader.info().source, reader.info().switched_on) == ("bpf", True)


@needs_returns
def test_the_compilers_memory_is_given_back(traced: Traced) -> None:
    """100 MiB with the default ring and all records' maps; LLVM was never in this process."""
    traced.switch.switch(on=True)
    run_guest("--turns", "5000", "--vcpus", "4", "--kinds", "pio,mmio,hlt")
    traced.switch.switch(on=False)
    assert traced.status()["resident_bytes"] < MEMORY_LIMIT_BYTES
    libraries = Path(f"/proc/{traced.bridge.process.pid}/maps").read_text(encoding="utf-8")
    assert "_native" in libraries
    assert re.findall(r"(?i)libbcc|LLVM|clang", libraries) == []
    children = Path(f"/proc/{traced.bridge.process.pid}/task").glob("*/children")
    assert [text for path in children if (text := path.read_text(encoding="ascii"))] == []


@needs_returns
def test_headers_that_are_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log, in the status, and to who asks for tracing; the bridge runs all the same."""
    monkeypatch.setenv(VARIABLE, "/nonexistent/headers")
    words = f"{VARIABLE}=/nonexistent/headers: no configured kernel headers there"
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        traced = Traced(bridge)
        assert any(words in line for line in bridge.lines)
        assert bridge.ask(b"on").startswith(f"error: {words}".encode())
        status = traced.status()
        assert (status["state"], status["source"]["connected"]) == ("off", False)
        assert words in status["trouble"]
        assert "correct it or unset it" in status["trouble"]
        assert traced.programs() == set()


@needs_returns
def test_a_bridge_without_privileges_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root without any capability; before anything is compiled."""
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    monkeypatch.setattr(bridge_process, "KVMLOG", [*powerless, *KVMLOG])
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        words = "loading BPF programs needs CAP_SYS_ADMIN; run the bridge as root"
        assert any(line.endswith(words) for line in bridge.lines)
        assert not any("compiling" in line for line in bridge.lines)
        assert bridge.ask(b"on") == f"error: {words}".encode()
        assert SwitchClient(str(bridge.switch)).status()["trouble"] == words


@needs_returns
@pytest.mark.parametrize("reason", ["vcpu", "event"])
def test_a_way_to_a_reason_that_is_not_here_is_refused(tmp_path: Path, reason: str) -> None:
    """Who asks for reasons is not given records without."""
    with running_bridge(tmp_path, "--source", "bpf", "--bpf-reason", reason) as bridge:
        answer = bridge.ask(b"on").decode()
        assert answer.startswith("error: ")
        assert "--bpf-reason auto" in answer


@needs_returns
def test_a_machine_that_loads_no_modules_uses_bpf_by_itself(tmp_path: Path) -> None:
    """--source auto, which is the default, and says why."""
    if os.path.exists("/proc/modules"):
        pytest.skip("this kernel loads modules; auto would load kvmlog.ko where it is installed")
    with running_bridge(tmp_path, "--source", "auto") as bridge:
        assert any(
            line.endswith("source bpf: this kernel cannot load modules") for line in bridge.lines
        )
        assert Traced(bridge).status()["source"]["name"] == "bpf"


class InProcess:
    """The source, a pump and a ring in this process, connected as the engine does it."""

    def __init__(self, folder: Path) -> None:
        self.writer = RingWriter(str(folder / "own ring"), 1 << 16)
        self.pump = Pump(self.writer)
        self.source = BpfSource()

    def connect(self) -> None:
        """Programs are compiled anew; what the ring holds stays."""
        self.source.open()
        self.pump.stop()
        self.source.pump(self.pump.native)
        self.pump.start()

    def disconnect(self) -> None:
        """The pump leaves the maps before they go."""
        self.pump.detach()
        self.source.close()

    def records(self) -> list[wire.AnyRecord]:
        with RingReader(self.writer.path) as reader:
            return wire.unpack(reader.snapshot().records)

    def notes(self) -> int:
        """Records in the ring that are no exits."""
        return sum(not isinstance(r, wire.Record) for r in self.records())

    def switches(self) -> list[wire.SwitchRecord]:
        return [r for r in self.records() if isinstance(r, wire.SwitchRecord)]

    def close(self) -> None:
        """A second call does nothing."""
        self.pump.close()
        self.source.close()
        self.writer.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[InProcess]:
    """Connected, and off."""
    made_here = InProcess(tmp_path)
    made_here.connect()
    yield made_here
    made_here.close()


@needs_returns
def test_notes_are_counted_right_over_several_connections(own: InProcess) -> None:
    """Each counts its own, of the programs, of the pump and of the source: all that was written."""
    told = []
    written = 0
    for turns, stays_on in ((1, False), (2, True), (1, False)):
        for _ in range(turns):
            own.source.switch(SwitchConfig(on=True))
            run_guest("--turns", "20", "--vcpus", "2")
            own.source.switch(SwitchConfig(on=False))
        if stays_on:
            own.source.switch(SwitchConfig(on=True, one_in=2))
        # Nothing is written any more: what is told has to stand there.
        own.pump.stop()
        told.append(own.source.status().counters["notes"])
        assert told[-1] == own.notes() - written
        written = own.notes()
        own.disconnect()
        own.connect()
        assert own.source.status().counters["notes"] == 0
    # At least a CLOCK, a GUEST and two SWITCH records each time.
    assert told[0] >= 4
    assert told[1] >= 2 * 4 + 2
    assert sum(told) == own.notes() == own.pump.statistics()["notes"] + len(all_guests(own))
    assert own.writer.header().lost_records == 0


def all_guests(of: InProcess) -> list[wire.GuestRecord]:
    """The GUEST records, which programs write."""
    return [r for r in of.records() if isinstance(r, wire.GuestRecord)]


@needs_returns
def test_a_lease_ends_by_itself(own: InProcess) -> None:
    """At its end, whenever that is noticed; programs do nothing from there on."""
    lease_ms = 300
    before = time.monotonic_ns()
    own.source.switch(SwitchConfig(on=True, lease_ms=lease_ms))
    after = time.monotonic_ns()
    sleep_until(after + lease_ms * 1_000_000)
    said = run_guest("--turns", "50")
    until(lambda: not own.source.status().on)
    assert not own.source.status().attached
    records = own.records()
    assert guests(records, said["pid"]) == []
    begin, end = own.switches()
    assert (begin.on, begin.cause) == (1, lib.KVMLOG_SWITCH_COMMAND)
    assert (end.on, end.cause) == (0, lib.KVMLOG_SWITCH_LEASE)
    assert before <= end.ns - lease_ms * 1_000_000 <= after
    assert begin.config_epoch == end.config_epoch
    assert all(r.exit_ns < end.ns for r in records if isinstance(r, wire.Record))


@needs_returns
def test_a_lease_that_is_renewed_after_its_end_is_a_new_switch_on(own: InProcess) -> None:
    """Also where nobody asked in between; then programs are attached and record again."""
    own.source.switch(SwitchConfig(on=True, lease_ms=1))
    sleep_until(time.monotonic_ns() + 1_000_000)
    own.source.switch(SwitchConfig(on=True, lease_ms=1000 * HANG_S))
    assert own.source.status().attached
    said = run_guest("--turns", "50")
    # The same before its end: longer, and no switch.
    own.source.switch(SwitchConfig(on=True, lease_ms=2000 * HANG_S))
    assert own.source.status().lease_ms > 1000 * HANG_S
    own.source.switch(SwitchConfig(on=False))
    first, end, second, off = own.switches()
    assert [(r.on, r.cause) for r in (first, end, second, off)] == [
        (1, lib.KVMLOG_SWITCH_COMMAND),
        (0, lib.KVMLOG_SWITCH_LEASE),
        (1, lib.KVMLOG_SWITCH_COMMAND),
        (0, lib.KVMLOG_SWITCH_COMMAND),
    ]
    assert end.ns <= second.ns <= off.ns
    assert second.config_epoch == off.config_epoch == first.config_epoch + 1
    records = own.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert {r.config_epoch for r in exits} == {second.config_epoch}


def sleep_until(ns: int) -> None:
    """CLOCK_MONOTONIC has come there."""
    while time.monotonic_ns() < ns:
        time.sleep(0.001)


@needs_returns
def test_a_part_is_mapped_only_for_cpus_that_wrote(own: InProcess) -> None:
    """What no CPU wrote is not resident; what they wrote is the guest's."""
    assert own.source._maps is not None
    native = own.source._maps.native
    assert native.records == ffi.NULL
    assert native.count == plan.possible_cpus()
    assert [number for number in range(native.count) if native.parts[number] != ffi.NULL] == []
    allowed = os.sched_getaffinity(0)
    only = max(allowed)
    own.source.switch(SwitchConfig(on=True))
    os.sched_setaffinity(0, {only})
    try:
        said = run_guest("--turns", "50", "--vcpus", "2")
    finally:
        os.sched_setaffinity(0, allowed)
    own.source.switch(SwitchConfig(on=False))
    mapped = {number for number in range(native.count) if native.parts[number] != ffi.NULL}
    assert mapped == {number for number in range(native.count) if native.cpus[number].head}
    assert only in mapped
    records = own.records()
    (note,) = guests(records, said["pid"])
    exits = exits_of(records, note.guest)
    assert user_exits(exits) == said["user_exits"]
    assert {r.cpu for r in exits} == {only}


class WithVendor:
    """This kernel's BTF with the vendor modules' structs beside it, which it may not have."""

    OFFSETS: Final = {
        "vcpu_svm.vcpu": 64,
        "vcpu_svm.vmcb": 9064,
        "vcpu_svm.vmcb01.ptr": 9072,
        "vmcb.control.exit_code": 112,
        "vmcb.control.exit_info_1": 120,
        "vmcb.control.exit_info_2": 128,
        "vcpu_vmx.loaded_vmcs": 9000,
        "vcpu_vmx.vmcs01": 9008,
    }

    def __init__(self, here: Btf) -> None:
        self._here = here

    def signature(self, name: str) -> str | None:
        return self._here.signature(name)

    def offset(self, struct: str, member: str) -> int | None:
        return self.OFFSETS.get(f"{struct}.{member}", self._here.offset(struct, member))

    def tracepoint(self, name: str) -> Any:
        return self._here.tracepoint(name)


@pytest.fixture
def kernel() -> Iterator[WithVendor]:
    """Where kvm is part of the kernel, or loaded: its tracepoints have types."""
    try:
        with Btf() as here:
            if here.tracepoint("kvm_exit") is None:
                pytest.skip("the BTF here has no kvm_exit: KVM is not there")
            yield WithVendor(here)
    except BtfMissingError as error:
        pytest.skip(f"{error}; run where CONFIG_DEBUG_INFO_BTF is set")


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event kvm_exit, as any kernel since 5.17 has it, without tracefs."""
    fields = (
        ("exit_reason", 8, 4),
        ("guest_rip", 16, 8),
        ("isa", 24, 4),
        ("info1", 32, 8),
        ("info2", 40, 8),
        ("intr_info", 48, 4),
        ("vcpu_id", 56, 4),
    )
    folder = tmp_path / "events" / "kvm" / "kvm_exit"
    folder.mkdir(parents=True)
    lines = [f"\tfield:u64 {name};\toffset:{at};\tsize:{size};\n" for name, at, size in fields]
    (folder / "format").write_text("".join(lines), encoding="ascii")
    (folder / "id").write_text("1\n", encoding="ascii")
    monkeypatch.setattr(plan, "_TRACEFS", (tmp_path,))


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("vendor", "wanted", "newest", "reason"),
    [
        ("kvm_amd", "vcpu", (99, 0), "vcpu"),
        ("kvm_amd", "vcpu", (0, 0), "vcpu"),
        ("kvm_amd", "event", (0, 0), "event"),
        ("kvm_intel", "auto", (0, 0), "event"),
        (None, "auto", (0, 0), "none"),
    ],
    ids=["vcpu-hflags", "vcpu", "event-svm", "event-vmx", "none"],
)
def test_every_way_to_a_reason_compiles_and_is_taken_by_the_verifier(
    kernel: WithVendor,
    monkeypatch: pytest.MonkeyPatch,
    vendor: str | None,
    wanted: str,
    newest: tuple[int, int],
    reason: str,
) -> None:
    """With this kernel's types; nothing of it is attached."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", newest)
    check(made(cast(Btf, kernel), vendor, wanted), reason)


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("vendor", "reason"), [("kvm_intel", "event"), ("kvm_amd", "event"), (None, "none")]
)
def test_so_do_those_of_a_kernel_without_btf(vendor: str | None, reason: str) -> None:
    """No program knows a type."""
    found = made(None, vendor, "auto")
    assert lib.KVMLOG_BPF_TYPED not in {program.kind for program in found.programs}
    check(found, reason)


@needs_programs
@pytest.mark.usefixtures("event")
@pytest.mark.parametrize("unsure", [False, True])
def test_so_do_those_of_a_kernel_with_another_vcpu(
    kernel: WithVendor, monkeypatch: pytest.MonkeyPatch, unsure: bool
) -> None:
    """Tracepoints have types, and what they point to is not known; nor whether it is protected."""
    monkeypatch.setattr(plan, "_may_be_protected", lambda: unsure)
    monkeypatch.setitem(cast(dict[str, Any], kernel.OFFSETS), "kvm_vcpu.vcpu_id", None)
    found = made(cast(Btf, kernel), "kvm_intel", "auto")
    assert ("KVMLOG_RIP_UNSURE" in found.macros, "KVMLOG_VCPU" in found.macros) == (unsure, False)
    check(found, "event")


@needs_programs
def test_a_program_that_the_verifier_refuses_is_said(
    kernel: WithVendor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which one, why, and what to use; its words go to the log."""
    found = made(cast(Btf, kernel), "kvm_amd", "vcpu")
    beyond = dataclasses.replace(found, macros=found.macros | {"KVMLOG_AT_EXITS": 1 << 24})
    with pytest.raises(SourceError) as refused:
        compile_plan(beyond)
    assert re.match(
        r"the kernel refuses the BPF program kvmlog_kvm_exit \(.*\); use --source kmod",
        str(refused.value),
    )
    assert "compiler: " in capfd.readouterr().err


@needs_programs
def test_a_text_that_does_not_compile_is_said(
    kernel: WithVendor, capfd: pytest.CaptureFixture[str]
) -> None:
    """What clang says goes to the log, with the file's own name and line."""
    found = made(cast(Btf, kernel), "kvm_amd", "vcpu")
    macros = {name: at for name, at in found.macros.items() if name != "KVMLOG_AT_KVM"}
    with pytest.raises(SourceError, match="the BPF programs cannot be compiled"):
        compile_plan(dataclasses.replace(found, macros=macros))
    assert re.search(r"guest\.c:\d+.*KVMLOG_AT_KVM", capfd.readouterr().err)


def made(known: Btf | None, vendor: str | None, wanted: str) -> plan.Plan:
    """The plan for this kernel if it had that vendor's module."""
    return plan._Planner(known, vendor, plan.machine_macros()).plan(wanted)


def check(found: plan.Plan, reason: str) -> None:
    """Compiled in a process of its own, loaded, and gone when its descriptors are closed."""
    assert found.reason == reason
    loaded = compile_plan(found)
    try:
        assert list(loaded.programs) == [program.function for program in found.programs]
        assert len(loaded.maps) == 8
        assert [lib.kvmlog_bpf_misses(fd) for fd in loaded.programs.values()] == [0] * len(
            found.programs
        )
    finally:
        loaded.close()
    assert "bcc" not in sys.modules


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
        self.maps = Maps(loaded.maps, plan.possible_cpus())
        self.maps.configure(SwitchConfig(on=True), 1, 0)
        self.maps.begin(None)
        (number,) = os.sched_getaffinity(0)
        self.number = number
        self.cpu: Any = self.maps.native.cpus[number]

    def run(self, function: str, *arguments: int) -> None:
        """As if its tracepoint had passed these."""
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
        """As the event's program tells of an exit of this thread, or of the one that is given."""
        told = {"told_tid": threading.get_native_id(), **fields}
        for name, value in told.items():
            setattr(self.cpu, name, value)

    def exit(self) -> wire.Record:
        """kvm_exit comes; the exit that is under way then."""
        self.run("kvmlog_kvm_exit", 0, 0)
        (record,) = wire.unpack(self.maps.pending())
        assert isinstance(record, wire.Record)
        assert self.cpu.told_tid == 0
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
            loaded = compile_plan(made(None, vendor, "auto"))
            stack.callback(loaded.close)
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
    assert (hand.exit().vcpu, hand.exit().vcpu) == (8, wire.NO_VCPU)
    counters = hand.maps.counters()
    check_sum(counters)
    # The GUEST record, and three exits that the next one ended.
    assert (counters["notes"], counters["emitted"], counters["pending"]) == (1, 3, 1)
    assert counters["dropped"] == 0


@needs_programs
def test_what_was_told_of_another_threads_exit_is_not_taken(by_hand: Hand) -> None:
    """And forgotten: that exit's own program was left out, or ran before."""
    hand = by_hand("kvm_intel", False)
    hand.tell(**TOLD | {"told_tid": threading.get_native_id() + 1})
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
    assert hand.cpu.told_tid == 0
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


def check_untold(record: wire.Record) -> None:
    """An exit, and nothing of why: no table gives its reason a name."""
    assert (record.type, record.isa) == (lib.KVMLOG_RECORD_EXIT, lib.KVMLOG_ISA_NONE)
    assert record.flags == lib.KVMLOG_F_NO_REENTRY
    assert (record.reason, record.info1, record.info2, record.detail) == (0, 0, 0, 0)
    assert (record.rip, record.vcpu) == (0, wire.NO_VCPU)
