# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of libvirt's test driver, as changes that a poller takes."""

from __future__ import annotations

from pathlib import Path

import libvirt

from kvmlog.vmstats.events import Kind, Occurrence
from kvmlog.vmstats.libvirt import binding
from kvmlog.vmstats.libvirt.events import Changes, Subscription
from tests.support.bridge_process import until
from tests.support.libvirt_test_driver import write_host

binding.set_up()
URI = "test:///default"


def nobody() -> None:
    """Not called: the test driver loses no connection."""


def test_a_domain_that_stops_is_defined_anew(tmp_path: Path) -> None:
    """Its UUID is there once; another domain's is not."""
    noted: list[Occurrence] = []
    changes = Changes(nobody, noted.append, URI)
    connection = libvirt.open(write_host(tmp_path, 2))
    subscription = Subscription(changes)
    subscription.begin(connection)
    domain = connection.lookupByName("vm1")
    domain.destroy()
    found: set[str] = set()

    def told() -> bool:
        found.update(changes.take_redefined())
        return bool(found)

    until(told)
    assert found == {domain.UUIDString()}
    assert changes.take_redefined() == set()
    (happened,) = noted
    assert (happened.kind, happened.detail) == (Kind.STOPPED, "destroyed")
    assert (happened.uri, happened.uuid, happened.name) == (URI, domain.UUIDString(), "vm1")
    subscription.mute()
    domain.create()
    until(lambda: bool(changes.take_redefined()))
    assert noted == [happened]
    domain.destroy()
    until(lambda: bool(changes.take_redefined()))
    subscription.end(connection)
    domain.create()
    del domain
    # Nobody holds the connection any more.
    assert connection.close() == 0
    assert changes.take_redefined() == set()


def test_io_errors_are_counted_by_disk() -> None:
    """Of those that are asked for; a domain that has gone is forgotten."""
    changes = Changes(nobody, list[Occurrence]().append, URI)
    for uuid, alias in (("a", "virtio-disk0"), ("a", "virtio-disk0"), ("b", "sata0-0-0")):
        changes.count_io_error(uuid, alias)
    assert changes.io_errors("a", ["virtio-disk0", "virtio-disk1"]) == {
        "virtio-disk0": 2,
        "virtio-disk1": 0,
    }
    changes.forget("a")
    assert changes.io_errors("a", ["virtio-disk0"]) == {"virtio-disk0": 0}
    assert changes.io_errors("b", ["sata0-0-0"]) == {"sata0-0-0": 1}
