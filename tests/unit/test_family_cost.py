# SPDX-License-Identifier: GPL-2.0-or-later
"""The budget in the module's protocol: what it tells of its cost, and why it is switched off."""

from __future__ import annotations

import struct

from kvmlog.bridge.family import configure, parse_cost
from kvmlog.bridge.source import SourceCost, SwitchConfig
from kvmlog.native import ffi, lib


def test_timed_probes_stand_for_all() -> None:
    """One in 1,024 was timed; the worker all the time."""
    assert parse_cost(struct.pack("=3Q", 700, 3, 55)) == SourceCost(700 * 1024, 55)
    assert ffi.sizeof("struct kvmlog_cost") == 24


def test_an_older_module_tells_no_cost() -> None:
    """Nor one that tells less."""
    assert parse_cost(b"") == SourceCost(0, 0)
    assert parse_cost(struct.pack("=2Q", 700, 3)) == SourceCost(700 * 1024, 0)


def test_only_the_budget_is_a_cause_to_tell() -> None:
    """A module that knows no causes takes all other commands."""
    names = [name for name, _ in configure(SwitchConfig(on=False), {})["attrs"]]
    assert names == ["KVMLOG_A_STATE"]
    budget = SwitchConfig(on=False, cause=lib.KVMLOG_SWITCH_BUDGET)
    assert ("KVMLOG_A_CAUSE", lib.KVMLOG_SWITCH_BUDGET) in configure(budget, {})["attrs"]
