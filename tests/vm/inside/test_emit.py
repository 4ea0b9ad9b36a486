# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmlog_emit(): the door for other hypervisors' modules, tried by a module of the tests."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.native import lib
from tests.vm.inside import host
from tests.vm.inside.netlink import Control, Receiver
from tests.vm.inside.sources import KMOD, only

pytestmark = only(KMOD)

NAME = "kvmlog_emit_test"
REASON_PROCESS, REASON_IRQ = 0x5E57, 0x5E58


@pytest.fixture(autouse=True)
def unloaded(control: Control) -> Iterator[None]:
    """The test module goes before kvmlog does."""
    yield
    if host.loaded(NAME):
        host.run("rmmod", NAME)


def emit(count: int) -> dict[str, str]:
    """Loads the test module; what its calls gave."""
    host.run("insmod", str(host.EMIT_TEST_MODULE), f"count={count}")
    parameters = Path("/sys/module", NAME, "parameters")
    return {path.name: path.read_text().strip() for path in parameters.iterdir()}


def test_records_of_another_module_are_in_the_stream(control: Control, receiver: Receiver) -> None:
    """Records emitted from process context and from an interrupt arrive whole, marked as foreign.

    Counted.
    """
    control.switch_on()
    results = emit(100)
    control.switch_off()
    receiver.drain()
    assert results["enabled"] == "Y"
    assert (results["written"], results["written_in_irq"]) == ("100", "100")
    assert int(results["wrong_type_result"]) == -errno.EINVAL
    assert receiver.reasons() == {REASON_PROCESS: 100, REASON_IRQ: 100}
    for reason in (REASON_PROCESS, REASON_IRQ):
        mine = [r for r in receiver.exits if r.reason == reason]
        assert [r.total_ns for r in mine] == list(range(100))
        assert {(r.source, r.isa, r.guest, r.vcpu) for r in mine} == {
            (lib.KVMLOG_SOURCE_FOREIGN, lib.KVMLOG_ISA_ARM64, 0xFFFFFFF0, 7)
        }
        assert {r.config_epoch for r in mine} == {1}
    counters = control.status().check_sum()
    assert counters["seen"] == counters["emitted"] == 200


def test_while_off_nothing_is_taken(control: Control, receiver: Receiver) -> None:
    """The static key is off and the call says so."""
    results = emit(5)
    assert results["enabled"] == "N"
    assert (results["written"], results["written_in_irq"]) == ("0", "0")
    assert int(results["last_error"]) == -errno.ENODEV
    receiver.drain(0.1)
    assert receiver.records == []
    assert control.status().check_sum()["seen"] == 0


def test_full_buffers_refuse_and_count(control: Control, receiver: Receiver) -> None:
    """More than the buffers hold in one go: -ENOSPC, counted as dropped."""
    control.switch_on()
    results = emit(5000)
    control.switch_off()
    receiver.drain()
    written = int(results["written"]) + int(results["written_in_irq"])
    assert int(results["last_error"]) == -errno.ENOSPC
    counters = control.status().check_sum()
    assert counters["emitted"] == len(receiver.exits) == written
    assert counters["dropped"] == 10_000 - written == sum(receiver.dropped.values())
