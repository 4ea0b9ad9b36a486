# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms of a poll, and the interval that its rates are of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from kvmlog.cli.vms.figures import figures
from kvmlog.cli.vms.output import csv_lines, poll_object
from kvmlog.cli.vms.poll import Intervals
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples as make
from tests.support.vms_polls import line, poll

SCHEMAS = Path(__file__).parents[4] / "docs/schemas"


def later(seconds: float, cpu_ns: int) -> Vm:
    """web1 so long after its sample, with CPU time and rates of the collector's last interval."""
    taken = make.at(1000 + seconds)
    grown = make.cpu(taken=taken, time_ns=(make.cpu().time_ns or 0) + cpu_ns)
    return make.vm(taken=taken, cpu=grown)


def percent(intervals: Intervals, vm: Vm) -> float | None:
    """CPU time, of one CPU."""
    rates = intervals.rates(vm, 8)
    assert rates is not None
    assert rates.cpu is not None
    return rates.cpu.percent_of_one_cpu


def test_rates_are_of_the_time_between_two_tables() -> None:
    """The first has the collector's own; one that it did not poll for has those before again."""
    intervals = Intervals()
    assert percent(intervals, make.vm()) == 90.0
    assert percent(intervals, later(40, 10 * make.SECOND)) == 25.0
    assert percent(intervals, later(40, 10 * make.SECOND)) == 25.0
    rates = intervals.rates(later(60, 20 * make.SECOND), 8)
    assert rates is not None
    assert rates.interval_ns == 20 * make.SECOND
    assert rates.cpu is not None
    assert (rates.cpu.percent_of_one_cpu, rates.cpu.percent_of_host) == (50.0, 6.25)


def test_a_restart_between_two_tables_has_no_rate_of_its_own() -> None:
    """Counters that begin again: what the collector says is shown, never a negative rate."""
    intervals = Intervals()
    percent(intervals, later(0, 0))
    restarted = later(40, -50 * make.SECOND)
    restarted = replace(restarted, sample=replace(restarted.sample, domain_id=8))
    found = percent(intervals, restarted)
    assert found is None or found == 90.0


def test_objects_are_those_of_the_schemas() -> None:
    """JSON all through; sample and collector as documented, with the rates that are shown."""
    found = json.loads(json.dumps(poll_object(poll(make.vm(), make.off_vm()), "name")))
    for schema, instance in (
        ("vmstats", found["vms"][0]["sample"]),
        ("vmstats", found["vms"][1]["sample"]),
        ("collector", found["collector"]),
    ):
        jsonschema.validate(instance, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    assert [vm["name"] for vm in found["vms"]] == ["db1", "web1"]
    assert found["vms"][1]["sample"]["rates"]["interval_s"] == found["vms"][1]["interval_s"]


@pytest.mark.parametrize("header", [True, False])
def test_csv_has_a_line_per_vm(header: bool) -> None:
    """Truth is 1 and 0, what is not known is empty."""
    lines = csv_lines(poll(make.hung_vm(), make.off_vm()), "name", header)
    assert len(lines) == 2 + header
    off, hung = (one.split(",") for one in lines[-2:])
    names = ["realtime_ns", *figures(line(make.vm())), "time"]
    assert off[names.index("timed_out")] == "0"
    assert hung[names.index("timed_out")] == "1"
    assert off[names.index("cpu_percent_of_one_cpu")] == ""
