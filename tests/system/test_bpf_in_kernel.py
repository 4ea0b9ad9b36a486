# SPDX-License-Identifier: GPL-2.0-or-later
"""State that the source bpf leaves in the kernel and in its process: while off, and at its end."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from kvmlog.ring.records import RECORD_BYTES, Record
from kvmlog.sources.bpf.compiled import MAPS
from kvmlog.sources.bpf.plan import possible_cpus
from tests.support.bpf_host import BPFTOOL, needs_returns
from tests.support.bpf_process import Traced, exits_of, guests, run_guest, user_exits
from tests.support.bridge_process import running_bridge, until

MEMORY_LIMIT_BYTES: Final = 100 << 20


def bpftool(*arguments: str) -> Any:
    """Its answer."""
    command = [BPFTOOL or "bpftool", "-j", *arguments]
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


def gone(numbers: set[int]) -> bool:
    """Return whether the kernel has none of these programs any more."""
    return not programs_in_kernel(numbers)


def maps_held(by: Traced) -> dict[str, int]:
    """Bytes of the values of each map that the bridge holds, by the map's name."""
    names = {m["id"]: m["name"] for m in bpftool("map", "show")}
    held = {}
    for entry in Path(f"/proc/{by.bridge.process.pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            fields = dict(re.findall(r"^(\w+):\s*(\d+)$", entry.read_text("ascii"), re.MULTILINE))
            if "map_id" in fields:
                size = int(fields["value_size"]) * int(fields["max_entries"])
                held[names[int(fields["map_id"])]] = size
    return held


def attached(numbers: set[int]) -> set[str]:
    """The tracepoints that these programs are attached to."""
    return {
        link.get("tp_name", link["type"])
        for link in bpftool("link", "show")
        if link.get("prog_id") in numbers
    }


@needs_returns
def test_off_leaves_nothing_attached(traced: Traced) -> None:
    """Programs, and the records of each CPU, are there while tracing is on, again and again."""
    own = maps_held(traced)
    assert (set(own), traced.programs()) == (set(MAPS) - {"kvmlog_records"}, set())
    for _ in range(3):
        traced.switch.switch(on=True)
        assert traced.status()["source"]["attached"] is True
        numbers = traced.programs()
        assert set(programs_in_kernel(numbers).values()) == {"kvmlog_sched_pr", "kvmlog_kvm_user"}
        assert attached(numbers) == {"sched_process_exit", "kvm_userspace_exit"}
        held = maps_held(traced)
        assert held.pop("kvmlog_records") == possible_cpus() * 4096 * RECORD_BYTES
        assert held == own
        traced.switch.switch(on=False)
        status = traced.status()["source"]
        assert (status["attached"], status["buffer_bytes"]) == (False, 0)
        until(functools.partial(gone, numbers))
        assert attached(numbers) == set()
        assert (maps_held(traced), traced.programs()) == (own, set())


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
    """The next bridge continues in the same ring; guests are announced again."""
    traced.switch.switch(on=True)
    run_guest("--turns", "10")
    until(lambda: any(isinstance(r, Record) for r in traced.records()))
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
