# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules come and go under a running bridge; it says what it waits for, and goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvmlog.native import lib
from tests.vm.inside import host, ring_bytes
from tests.vm.inside.conftest import load_module, unload_module
from tests.vm.inside.processes import (
    Bridge,
    check_off,
    ended,
    folder,
    kvmlog,
    load,
    probes,
    until,
)

NOT_LOADED = "the kernel module kvmlog is not loaded; load it with 'modprobe kvmlog'"


@pytest.fixture(scope="module")
def started_alone() -> Iterator[Bridge]:
    """A bridge, started where the module is not loaded."""
    with folder() as place:
        bridge = Bridge(place, "--slots", str(1 << 18), "--source", "kmod")
        with ended(bridge):
            yield bridge.ready()


@pytest.fixture
def bridge(started_alone: Bridge) -> Iterator[Bridge]:
    """The bridge, with no module before and after."""
    bridge = started_alone
    try:
        yield bridge
        bridge.client.switch(on=False)
    finally:
        if host.loaded("kvmlog"):
            unload_module()
        host.run("modprobe", "kvm_amd")
    check_off(bridge)


def connected(bridge: Bridge) -> None:
    """Loads the module and waits for the bridge to notice."""
    load_module()
    until(lambda: bool(bridge.status()["source"]["connected"]), "connected")


def traced(bridge: Bridge) -> None:
    """A guest's exits are in the ring, to the last one."""
    begin = bridge.info().head
    histogram = host.Histogram()
    host.guest("--turns", "211", "--kinds", "cpuid,pio,mmio")
    counted = histogram.counts()
    histogram.close()
    until(lambda: ring_bytes.reasons(bridge.records(begin)) == counted, "all exits in the ring")


def test_started_before_the_module(bridge: Bridge) -> None:
    """It says what to do, to everybody who asks; then connects by itself."""
    assert NOT_LOADED in bridge.log()
    assert bridge.status()["trouble"].startswith(NOT_LOADED)
    refused = kvmlog("switch", "on", "--switch", bridge.switch, status=1)
    assert refused.stderr.startswith(f"kvmlog: {NOT_LOADED}")
    assert bridge.ask(b"on\0").decode().startswith(f"error: {NOT_LOADED}")
    assert bridge.client.switch(on=False) == "ok off"
    connected(bridge)
    assert not bridge.status()["source"]["on"]
    bridge.client.switch(on=True)
    traced(bridge)


def test_unloaded_and_loaded_while_on(bridge: Bridge) -> None:
    """Tracing goes on under load when the module is back, with nobody asking again."""
    connected(bridge)
    before = probes()
    begin = bridge.info().head
    with load("--kinds", "cpuid,pio"):
        bridge.client.switch(on=True)
        until(lambda: bridge.info().head > begin + 1000, "exits")
        unload_module()
        assert probes() == before
        until(lambda: not bridge.status()["source"]["connected"], "the loss noticed")
        status = bridge.status()
        assert (status["state"], status["wanted"]) == ("waiting", "on")
        assert status["trouble"].startswith(NOT_LOADED)
        assert not bridge.info().switched_on
        between = bridge.info()
        records = bridge.records(begin)
        assert ring_bytes.switch_causes(records) == [
            (1, lib.KVMLOG_SWITCH_COMMAND),
            (0, lib.KVMLOG_SWITCH_UNLOAD),
        ]
        load_module()
        until(lambda: bridge.info().head > between.head + 1000, "exits again")
        assert bridge.info().switched_on
        assert bridge.status()["state"] == "on"
        bridge.client.switch(on=False)
    records = bridge.records(begin)
    causes = ring_bytes.switch_causes(records)
    assert causes[2:] == [(1, lib.KVMLOG_SWITCH_COMMAND), (0, lib.KVMLOG_SWITCH_COMMAND)]
    assert "(tracing resumes when the source returns)" in bridge.log()


def test_kvm_unloaded_and_loaded_while_on(bridge: Bridge) -> None:
    """The bridge does not hold it, says that it waits for it, and counts on."""
    connected(bridge)
    bridge.client.switch(on=True)
    traced(bridge)
    host.run("rmmod", "kvm_amd", "kvm")
    status = bridge.status()
    until(lambda: bridge.status()["source"]["waiting_for"] == "kvm", "waiting for kvm")
    assert (status["state"], bridge.info().switched_on) == ("on", True)
    places = ("--switch", bridge.switch, "--ring", bridge.ring)
    assert "kmod, 0.1.0, connected, waiting for kvm\n" in kvmlog("status", *places).stdout
    host.run("modprobe", "kvm_amd")
    until(lambda: bool(bridge.status()["source"]["attached"]), "attached")
    traced(bridge)
