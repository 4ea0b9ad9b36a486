# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests of the Vagrant VM: libvirt, box and VM, each once for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.vagrant.daemons import Daemons, libvirt
from tests.vagrant.machine import BUILD, Machine

_machine = Machine(os.environ.get("KVMLOG_KERNEL") or "6.1")


@pytest.fixture(scope="session")
def daemons() -> Iterator[Daemons | None]:
    """A libvirtd that answers."""
    with libvirt(BUILD / "libvirt") as started:
        yield started


@pytest.fixture(scope="session")
def machine(daemons: Daemons | None) -> Iterator[Machine]:
    """A VM that has its box and is not there yet.

    KVMLOG_KEEP=1 goes on with the VM that an earlier run has left which was killed.
    """
    _machine.copy()
    box = f"build/vagrant/kvmlog-{_machine.kernel}.box"
    _machine.command("make", box, note="box").expect()
    if not os.environ.get("KVMLOG_KEEP"):
        _machine.vagrant("destroy", "--force").expect()
    yield _machine
    _machine.vagrant("destroy", "--force").expect()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Report how long each step took: for information, no test depends on it."""
    for note, took_s in _machine.times.items():
        terminalreporter.write_line(f"vagrant {_machine.kernel}: {note}: {took_s:.0f} s")
