# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a VM: names with units, sums over devices, and what is not known."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from kvmlog.cli.vms.figures import NAMES, SORTS, figures, ordered
from kvmlog.vmstats.rates import CpuRates
from tests.support import vmstats_samples as make
from tests.support.vms_polls import line, poll

UNITS = ("_ns", "_s", "_bytes", "_percent", "_per_s", "_share", "_count")
# Words, numbers of something, and counters that are named by what they count.
WITHOUT = {
    *("uri", "uuid", "name", "domain_id", "pid", "state", "stale", "timed_out", "hung"),
    "vcpus",
    *("read_requests", "write_requests", "io_errors", "exits", "exit_reason"),
    *("cpu_percent_of_one_cpu", "cpu_percent_of_vcpus", "cpu_percent_of_host"),
    *(f"{way}_{what}" for way in ("rx", "tx") for what in ("packets", "errors", "drops")),
}


def test_every_figure_has_its_unit_in_its_name() -> None:
    """But for words and plain counts."""
    assert [name for name in NAMES if not name.endswith(UNITS) and name not in WITHOUT] == []
    assert len(set(NAMES)) == len(NAMES)


def test_all_figures_of_a_running_vm() -> None:
    """Each from its own field; a CD-ROM drive counts for nothing."""
    found = figures(line(make.vm()))
    assert tuple(found) == NAMES
    expected = {
        "state": "running",
        "age_s": 4.0,
        "interval_s": 10.0,
        "cpu_percent_of_one_cpu": 90.0,
        "cpu_guest_percent": 60.0,
        "steal_percent": 3.5,
        "memory_used_bytes": 1800 * make.MIB,
        "memory_actual_bytes": 3072 * make.MIB,
        "major_faults_per_s": 7.5,
        "read_bytes_per_s": 1_001.5 + 2_021.5,
        "read_bytes": 10_000_001 + 20_000_021,
        "write_bytes_per_s": 4_004.5 + 5_024.5,
        "io_errors": 9,
        "rx_bytes_per_s": 10_010.5,
        "tx_drops": 4,
        "exits_per_s": None,
    }
    assert {name: found[name] for name in expected} == expected


def test_latency_is_the_mean_over_requests_of_all_disks() -> None:
    """A disk without a request says nothing about it."""
    found = figures(line(make.vm()))
    assert found["read_latency_ns"] == 300_003.5
    assert found["write_latency_ns"] == pytest.approx(
        (600_006.5 * 5.25 + 700_026.5 * 6.5) / (5.25 + 6.5)
    )


def test_what_nobody_tells_is_none_and_never_zero() -> None:
    """A VM without rates, one that is off, one with a disk that tells nothing."""
    fresh = figures(line(replace(make.vm(), rates=None)))
    off = figures(line(make.off_vm()))
    silent = make.block_rates(read_bytes_per_s=None, read_latency_ns=None)
    partly = replace(make.vm(), rates=make.rates(blocks=(silent,)))
    assert figures(line(partly))["read_bytes_per_s"] is None
    assert fresh["cpu_percent_of_one_cpu"] is None
    assert fresh["read_bytes_per_s"] is None
    known = {"uri", "uuid", "name", "state", "age_s", "stale", "timed_out", "hung", "vcpus"}
    assert {name for name, value in off.items() if value is not None} == known


def test_every_cpu_rate_of_the_model_is_there() -> None:
    """None is left out as the model grows."""
    of_cpu = {field.name for field in fields(CpuRates)} - {"vcpus"}
    names = {name.removeprefix("cpu_") for name in NAMES}
    assert of_cpu <= names


@pytest.mark.parametrize("sort", SORTS)
def test_sorted_by_any_figure_with_unknown_ones_last(sort: str) -> None:
    """Names ascend, figures descend."""
    idle = replace(make.vm(name="idle", uuid="0" * 36), rates=make.rates(blocks=(), interfaces=()))
    rows = [figures(one) for one in poll(make.off_vm(), idle, make.vm()).lines]
    names = [row["name"] for row in ordered(rows, sort)]
    if sort == "name":
        assert names == ["db1", "idle", "web1"]
    elif sort == "age":
        # All are as old.
        assert names == ["db1", "idle", "web1"]
    elif sort in ("cpu", "steal", "used", "memory", "rss"):
        assert names == ["idle", "web1", "db1"]
    elif sort == "exits":
        assert names == ["db1", "idle", "web1"]
    else:
        assert names == ["web1", "db1", "idle"]
