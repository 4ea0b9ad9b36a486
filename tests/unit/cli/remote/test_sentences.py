# SPDX-License-Identifier: GPL-2.0-or-later
"""Advice about another host names commands that work from here."""

from __future__ import annotations

import pytest

from kvmlog.cli.remote.command import COMMANDS
from kvmlog.cli.remote.sentences import about


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        ("2 guests that ended: kvmlog guests --all", "kvmlog remote db1:8080 guests --all"),
        ("2 running (kvmlog guests)", "2 running (kvmlog remote db1:8080 guests)"),
        ("`kvmlog explain --list` lists all", "`kvmlog remote db1:8080 explain --list` lists all"),
        ("1 record lost; kvmlog status", "1 record lost; kvmlog remote db1:8080 status"),
        ("switch it on (kvmlog switch on)", "switch it on (kvmlog remote db1:8080 switch on)"),
        (
            "no bridge is running; start it (kvmlog bridge)",
            "no bridge is running; start it (kvmlog bridge on db1:8080)",
        ),
        (
            "is full (kvmlog bridge --statistics-mib)",
            "is full (kvmlog bridge --statistics-mib on db1:8080)",
        ),
        (
            "qemu:///system: libvirt has not answered within 2 s",
            "qemu:///system on db1:8080: libvirt has not answered within 2 s",
        ),
        (
            "qemu+ssh://root@kvm2:22/system?no_tty=1: End of file: it is tried again",
            "qemu+ssh://root@kvm2:22/system?no_tty=1 on db1:8080: End of file: it is tried again",
        ),
        ("use the kvmlog that wrote it", "use the kvmlog that wrote it"),
        ("kvmlog stat --by guest,return", "kvmlog remote db1:8080 stat --by guest,return"),
    ],
)
def test_commands_are_those_that_reach_the_other_host(local: str, remote: str) -> None:
    """What there is for other hosts is named as it is typed here, the rest is to be done there."""
    assert about("db1:8080", COMMANDS)(local).endswith(remote)
