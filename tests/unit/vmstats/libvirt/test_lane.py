# SPDX-License-Identifier: GPL-2.0-or-later
"""Lanes to libvirt's test driver: what blocks in one thread blocks nobody else."""

from __future__ import annotations

import threading

import libvirt
import pytest

from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.lane import Lane
from tests.support.bridge_process import HANG_S, until

binding.set_up()


def test_calls_come_one_after_the_other() -> None:
    """Each future has its own result; the connection is one and the same."""
    lane = Lane("test:///default")
    first = lane.begin(lambda connection: connection.getHostname())
    second = lane.begin(lambda connection: connection.getHostname())
    assert first.result(HANG_S) == second.result(HANG_S) != ""
    lane.leave()
    lane.join(HANG_S)
    assert lane.ended


def test_a_call_that_blocks_is_left_alone() -> None:
    """Another lane goes on; the one that was left ends once its call returns, and closes."""
    release, closed = threading.Event(), threading.Event()
    stuck = Lane("test:///default", closed_by=lambda _: closed.set())
    blocked = stuck.begin(lambda _: release.wait(HANG_S))
    stuck.leave()
    other = Lane("test:///default")
    assert other.begin(lambda connection: connection.getType()).result(HANG_S) == "TEST"
    assert not blocked.done()
    assert not stuck.ended
    release.set()
    stuck.join(HANG_S)
    assert stuck.ended
    assert closed.is_set()
    other.leave()


def test_a_failure_is_the_callers() -> None:
    """libvirt's own, with its code; the lane and its connection stay."""
    lane = Lane("test:///default")
    failed = lane.begin(lambda connection: connection.lookupByName("nobody"))
    with pytest.raises(libvirt.libvirtError) as raised:
        failed.result(HANG_S)
    assert raised.value.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
    assert not lane.lost
    assert lane.begin(lambda connection: connection.numOfDomains()).result(HANG_S) == 1
    lane.leave()


def test_a_connection_that_does_not_open() -> None:
    """It is lost, and says why."""
    lane = Lane("test:///nonexistent/host.xml")
    with pytest.raises(libvirt.libvirtError):
        lane.opened.result(HANG_S)
    until(lambda: lane.lost)
    lane.leave()
    lane.join(HANG_S)
    assert lane.ended
