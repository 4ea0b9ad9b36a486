# SPDX-License-Identifier: GPL-2.0-or-later
"""What thresholds make of figures, and what the plugin says then."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from kvmlog.cli.check import vms
from kvmlog.cli.check.figures import Extra, Figure, Measured, judge
from kvmlog.cli.check.ranges import Threshold
from kvmlog.cli.check.status import Outcome, State, worst
from kvmlog.vmstats.snapshot import Vm
from tests.support import vmstats_samples as make
from tests.support import vmstats_strategies

WARN, CRITICAL = Threshold("10", "-w"), Threshold("20", "-c")


def figure(value: float | None, label: str = "web1", why: str = "") -> Figure:
    """A figure in percent."""
    return Figure(label, value, "%", 0, 100, why)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([], State.OK),
        ([10.0], State.OK),
        ([10.5, 1.0], State.WARNING),
        ([10.5, 20.5], State.CRITICAL),
        ([None], State.UNKNOWN),
        ([1.0, None], State.UNKNOWN),
        ([float("nan")], State.UNKNOWN),
        ([float("inf")], State.UNKNOWN),
        # What is known to be wrong is told, whatever else is not known.
        ([None, 10.5], State.WARNING),
        ([None, 20.5, 10.5], State.CRITICAL),
    ],
)
def test_the_state_is_that_of_the_worst(values: list[float | None], state: State) -> None:
    """NaN is not known: it is within no range, and outside none."""
    figures = [figure(value, f"vm{number}") for number, value in enumerate(values)]
    assert judge(Measured(figures), WARN, CRITICAL).state is state


def test_states_are_ordered() -> None:
    """CRITICAL, WARNING, UNKNOWN, OK."""
    assert worst([State.OK, State.UNKNOWN]) is State.UNKNOWN
    assert worst([State.UNKNOWN, State.WARNING]) is State.WARNING
    assert worst(State) is State.CRITICAL
    assert worst([]) is State.OK


def test_an_outcome_in_full() -> None:
    """Text, then perfdata with thresholds as they were typed; extra figures without."""
    found = Measured(
        [
            Figure("web1", 15.25, "%", 0, 100, extras=(Extra("used", 1024, "B"),)),
            Figure("db1", 1.0, "%", 0, 100),
        ]
    )
    assert judge(found, WARN, CRITICAL).lines("memory") == [
        "KVMLOG MEMORY WARNING - web1 15.25 % (warning at 10) | "
        "'web1'=15.25%;10;20;0;100 'db1'=1%;10;20;0;100 'web1_used'=1024B",
        "WARNING web1: 15.25 %",
        "OK db1: 1 %",
    ]


def test_unknown_has_no_perfdata() -> None:
    """None at all, though one VM's figure is known."""
    outcome = judge(Measured([figure(1.0), figure(None, "db1", "does not run")]), WARN, CRITICAL)
    assert outcome.lines("cpu")[0] == "KVMLOG CPU UNKNOWN - db1: does not run"


def test_without_a_figure_it_is_ok() -> None:
    """No VM runs: nothing is wrong with that."""
    assert judge(Measured([]), WARN, CRITICAL).lines("cpu") == ["KVMLOG CPU OK - no VM runs"]


def test_long_outcomes_stay_whole() -> None:
    """The first ones of thousands of VMs have perfdata, and each item is complete."""
    figures = [figure(float(number), f"instance {number}") for number in range(4_000)]
    first, *others = judge(Measured(figures), WARN, CRITICAL).lines("cpu")
    assert len(first.encode()) < 8_192
    text, _, told = first.partition(" | ")
    assert text.endswith("; and 3984 more")
    items = told.split(" 'instance ")
    assert all(one.endswith("%;10;20;0;100") for one in items)
    assert len(others) == 4_000


def test_nothing_ends_the_text_early() -> None:
    """A bar or a line break in a VM's name would be taken for the plugin's own."""
    (line,) = Outcome(State.OK, "a|b\nc\td").lines("cpu")
    assert line == "KVMLOG CPU OK - a/b c d"


MEASURES = [vms.cpu, vms.memory, vms.disk, vms.network, vms.steal]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.__name__)
@settings(max_examples=30)
@given(vm=vmstats_strategies.vms())
def test_samples_without_some_groups_are_measured_or_not(measure: object, vm: Vm) -> None:
    """The outcome is one of the four states, whatever a VM lacks, and says something."""
    assert callable(measure)
    found = measure(vm)
    outcome = judge(Measured([found]), WARN, CRITICAL)
    (line,) = outcome.lines("x")[:1]
    assert line.startswith(f"KVMLOG X {outcome.state.name} - ")
    assert (found.known is None) == (outcome.state is State.UNKNOWN)
    assert (" | " in line) == (outcome.state is not State.UNKNOWN)


def test_the_figures_of_web1() -> None:
    """Each as the collector's sample has it."""
    vm = make.vm()
    found = [(one.value, one.unit, one.about) for one in (measure(vm) for measure in MEASURES)]
    assert found == [
        (45.0, "%", ""),
        (60.0, "%", ""),
        (0.8000085, "ms", "vda, flushing"),
        (1.25, "", f"most {make.MAC}, tx drops"),
        (2.0, "%", "vCPU 1"),
    ]
