# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's own figures: a recorded Debian kernel, the same with parts missing, and this host."""

from __future__ import annotations

import os
import shutil
from dataclasses import astuple
from pathlib import Path

import pytest

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import cpu_times
from kvmlog.vmstats.cpu_times import CpuTimes
from kvmlog.vmstats.host import HostMemory, HugePages, Ksm, Pressure
from kvmlog.vmstats.host_local import LocalHost
from kvmlog.vmstats.moment import Moment

RECORDED = Path(__file__).resolve().parents[2] / "data" / "vmstats" / "host-6.1"
KSMD = 34
TICK_NS = 10_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the recorded host."""
    shutil.copytree(RECORDED, tmp_path / "host")
    return tmp_path / "host"


def at(seconds: float) -> Moment:
    """A moment."""
    return Moment(round(seconds * NS_PER_S), 0)


def change(file: Path, old: str, new: str) -> None:
    """Replace a text that the file has once."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_a_recorded_host() -> None:
    """Every figure, in base units."""
    found = LocalHost(str(RECORDED)).read(at(1))
    memory = found.memory
    assert memory is not None
    assert memory.total_bytes == 111_684 << 10
    assert memory.free_bytes is not None
    assert memory.available_bytes is not None
    assert memory.free_bytes < memory.available_bytes < memory.total_bytes
    assert (memory.swap_total_bytes, memory.swap_free_bytes) == (0, 0)
    assert (memory.anonymous_huge_bytes, memory.transparent_huge_pages) == (0, "never")
    assert found.ksm == Ksm(
        run=1,
        pages_shared=0,
        pages_sharing=0,
        pages_unshared=0,
        full_scans=0,
        merge_across_nodes=True,
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
        ksmd_cpu_ns=0,
        ksmd_cpu_percent=None,
        # Not recorded: a file that is missing costs its figure.
        pages_to_scan=None,
    )
    assert found.huge_pages == (HugePages(0, 2 << 20, total=3, free=3, surplus=0),)
    assert found.pressure is not None
    assert [(one.resource, one.kind) for one in found.pressure] == [
        (resource, kind) for resource in ("cpu", "memory", "io") for kind in ("some", "full")
    ]
    assert (found.load, found.uptime_s) == ((0.09, 0.10, 0.04), 253.89)
    assert found.busy_percent is None


def test_no_figure_takes_the_place_of_another(root: Path) -> None:
    """Of those that are all zero on the recorded host."""
    (root / "proc" / "meminfo").write_text(
        "MemTotal:       10 kB\nMemFree:  1 kB\nMemAvailable: 2 kB\nBuffers: 99 kB\nCached: 3 kB\n"
        "SwapCached: 98 kB\nSwapTotal: 5 kB\nSwapFree: 4 kB\nAnonHugePages: 6 kB\n"
        "Hugepagesize:       2048 kB\n"
    )
    (root / "sys/kernel/mm/transparent_hugepage/enabled").write_text("always [madvise] never\n")
    for number, name in enumerate(
        ("run", "pages_shared", "pages_sharing", "pages_unshared", "full_scans", "pages_to_scan")
    ):
        (root / "sys/kernel/mm/ksm" / name).write_text(f"{number}\n")
    found = LocalHost(str(root)).read(at(1))
    assert found.memory == HostMemory(
        total_bytes=10 << 10,
        free_bytes=1 << 10,
        available_bytes=2 << 10,
        cached_bytes=3 << 10,
        swap_total_bytes=5 << 10,
        swap_free_bytes=4 << 10,
        anonymous_huge_bytes=6 << 10,
        transparent_huge_pages="madvise",
    )
    assert found.ksm is not None
    assert astuple(found.ksm)[:5] == (0, 1, 2, 3, 4)
    assert found.ksm.pages_to_scan == 5


def test_pressure_in_percent_and_us(root: Path) -> None:
    """All of a line's figures."""
    (root / "proc" / "pressure" / "cpu").write_text(
        "some avg10=2.96 avg60=0.79 avg300=100.00 total=4421722\n"
    )
    pressure = LocalHost(str(root)).read(at(1)).pressure
    assert pressure is not None
    assert pressure[0] == Pressure("cpu", "some", 2.96, 0.79, 100.0, 4_421_722)


def test_rates_since_the_call_before(root: Path) -> None:
    """CPUs are busy with all but idle and waiting; ksmd's share is one of one CPU."""
    stat, ksmd = root / "proc" / "stat", root / "proc" / str(KSMD) / "stat"
    stat.write_text("cpu  100 20 30 1000 50 6 4 9 77 0\ncpu0 1 2 3\n")
    host = LocalHost(str(root))
    first = host.read(at(10))
    assert first.cpu == CpuTimes(120 * TICK_NS, 40 * TICK_NS, 1000 * TICK_NS, 50 * TICK_NS)
    stat.write_text("cpu  110 20 40 1020 60 6 4 9 99 0\ncpu0 1 2 3\n")
    change(ksmd, " 0 0 0 0 0 0 25 5 1 ", " 0 0 3 2 0 0 25 5 1 ")
    second = host.read(at(12))
    assert second.busy_percent == 40
    assert second.ksm is not None
    assert (second.ksm.ksmd_cpu_ns, second.ksm.ksmd_cpu_percent) == (5 * TICK_NS, 2.5)


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("proc/pressure", "pressure"),
        ("sys/kernel/mm/ksm", "ksm"),
        ("proc/meminfo", "memory"),
        ("proc/loadavg", "load"),
        ("proc/uptime", "uptime_s"),
        ("proc/stat", "cpu"),
    ],
)
def test_what_a_kernel_does_not_have(root: Path, path: str, missing: str) -> None:
    """It is None; the others are there."""
    whole = LocalHost(str(root)).read(at(1))
    gone = root / path
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.unlink()
    found = LocalHost(str(root)).read(at(1))
    differing = [name for name in vars(whole) if getattr(found, name) != getattr(whole, name)]
    assert differing == [missing]
    assert getattr(found, missing) is None


def test_an_empty_root(tmp_path: Path) -> None:
    """Nothing is known, and nothing fails."""
    assert set(astuple(LocalHost(str(tmp_path)).read(at(1)))) == {None}


def test_huge_pages_without_nodes(root: Path) -> None:
    """A kernel without NUMA has them in one place only."""
    shutil.rmtree(root / "sys" / "devices")
    assert LocalHost(str(root)).read(at(1)).huge_pages == (HugePages(0, 2 << 20, 3, 3, 0),)
    shutil.rmtree(root / "sys" / "kernel" / "mm" / "hugepages")
    assert LocalHost(str(root)).read(at(1)).huge_pages is None


def test_huge_pages_of_several_nodes_and_sizes(root: Path) -> None:
    """In the order of numbers, not of names; free ones of a node are that node's."""
    nodes = root / "sys" / "devices" / "system" / "node"
    for node, size, total, free in ((2, 2048, 8, 5), (10, 1048576, 4, 0), (2, 1048576, 1, 1)):
        folder = nodes / f"node{node}" / "hugepages" / f"hugepages-{size}kB"
        folder.mkdir(parents=True)
        for name, count in (("nr", total), ("free", free), ("surplus", 0)):
            (folder / f"{name}_hugepages").write_text(f"{count}\n")
    (nodes / "possible").write_text("0-31\n")
    assert LocalHost(str(root)).read(at(1)).huge_pages == (
        HugePages(0, 2 << 20, 3, 3, 0),
        HugePages(2, 2 << 20, 8, 5, 0),
        HugePages(2, 1 << 30, 1, 1, 0),
        HugePages(10, 1 << 30, 4, 0, 0),
    )


def test_a_process_with_the_name_of_ksmd(root: Path) -> None:
    """Anybody may take it; only a kernel thread is meant."""
    change(root / "proc" / "1" / "stat", "1 (sh) S", "1 (ksmd) S")
    host = LocalHost(str(root))
    assert host.read(at(1)).ksm is not None
    ksm = host.read(at(2)).ksm
    assert ksm is not None
    assert (ksm.ksmd_cpu_ns, ksm.ksmd_cpu_percent) == (0, 0)
    shutil.rmtree(root / "proc" / str(KSMD))
    ksm = LocalHost(str(root)).read(at(1)).ksm
    assert ksm is not None
    assert (ksm.run, ksm.ksmd_cpu_ns) == (1, None)


def test_a_kernel_without_numa_has_no_choice_of_nodes(root: Path) -> None:
    """merge_across_nodes is None then; 0 is False."""
    file = root / "sys" / "kernel" / "mm" / "ksm" / "merge_across_nodes"
    file.write_text("0\n")
    ksm = LocalHost(str(root)).read(at(1)).ksm
    assert ksm is not None
    assert ksm.merge_across_nodes is False
    file.unlink()
    ksm = LocalHost(str(root)).read(at(1)).ksm
    assert ksm is not None
    assert ksm.merge_across_nodes is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("proc/loadavg", "0.1 x 0.3\n"),
        ("proc/loadavg", ""),
        ("proc/stat", "cpu  1 2 3\n"),
        ("proc/stat", "cpu  1 2 3 4 5 6 -7\n"),
        ("proc/pressure/cpu", "some avg10=1.2.3 avg60=0 avg300=0 total=1\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n"),
        ("sys/kernel/mm/ksm/run", "\xff\n"),
    ],
)
def test_files_that_are_damaged(root: Path, file: str, content: str) -> None:
    """They cost what they would have told, never the sample."""
    (root / file).write_text(content, encoding="latin-1")
    assert LocalHost(str(root)).read(at(1)).uptime_s == 253.89


def test_idle_time_that_steps_back() -> None:
    """The kernel's may; nothing is busier than busy, or less than idle."""
    before = CpuTimes(100, 100, 1_000, 100)
    assert cpu_times.busy_percent(before, CpuTimes(150, 100, 990, 100)) == 100
    assert cpu_times.busy_percent(before, CpuTimes(90, 100, 1_100, 100)) == 0
    assert cpu_times.busy_percent(before, before) is None


def test_this_host() -> None:
    """A real kernel tells the same as Python has of it."""
    found = LocalHost().read(Moment.now())
    assert found.memory is not None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found.memory.total_bytes == pages
    assert found.cpu is not None
    assert found.cpu.busy_ns > 0
    assert found.uptime_s is not None
    assert found.load is not None
