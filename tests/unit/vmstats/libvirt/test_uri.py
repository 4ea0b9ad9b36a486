# SPDX-License-Identifier: GPL-2.0-or-later
"""URIs: those that no libvirt would take end the collector with a sentence."""

from __future__ import annotations

import pytest

from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.libvirt import uri


@pytest.mark.parametrize(
    "given",
    [
        "qemu:///system",
        "qemu+ssh://root@host2:2222/system?keyfile=/root/key&no_verify=1",
        "qemu+tls://host2/system",
        "qemu+unix:///system?socket=/tmp/libvirt-sock",
        "qemu+ssh://[fe80::1]/system",
        "test:///default",
        "test:///tmp/host.xml",
    ],
)
def test_uris_that_can_be_one(given: str) -> None:
    """Whether there is such a host or file is libvirt's to say."""
    uri.check([given])


@pytest.mark.parametrize(
    "given",
    [
        "",
        "qemu",
        "qemu:/system",
        "system",
        "://",
        "qemu://host:port/system",
        "qemu+carrier-pigeon:///system",
        "qemu:///system\n",
        "qemu:///" + "x" * 2_000,
        "http://[::1/system",
        "qemu://",
    ],
)
def test_malformed_uris(given: str) -> None:
    """The sentence shows it, printable, and one that would do."""
    with pytest.raises(VmStatsError, match="is no libvirt URI; give one such as") as raised:
        uri.check(["test:///default", given])
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("given", ["bogus:///x", "quemu+ssh://host2/system"])
def test_drivers_that_libvirt_does_not_have(given: str) -> None:
    """Nobody is told to start a daemon for them."""
    with pytest.raises(VmStatsError, match=r"libvirt has no driver \w+; give one such as qemu:"):
        uri.check([given])


def test_uris_that_are_too_many_or_none() -> None:
    """None, twice the same, more than anybody has."""
    with pytest.raises(VmStatsError, match="no URI to collect from"):
        uri.check([])
    with pytest.raises(VmStatsError, match="test:///default is given twice"):
        uri.check(["test:///default", "qemu:///system", "test:///default"])
    with pytest.raises(VmStatsError, match="65 URIs, at most 64"):
        uri.check([f"test:///{number}" for number in range(65)])


@pytest.mark.parametrize(
    ("given", "local"),
    [
        ("qemu:///system", True),
        ("qemu+unix:///system?socket=/tmp/s", True),
        ("qemu:///session", True),
        ("qemu+ssh://host2/system", False),
        ("qemu+tls://localhost/system", False),
        ("test:///default", False),
    ],
)
def test_what_is_local(given: str, local: bool) -> None:
    """Only domains that are processes of this host are looked up in /proc."""
    assert uri.is_local(given) == local


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("qemu:///system", "/run/libvirt/qemu"),
        ("qemu+unix:///system?socket=/tmp/lv/run/libvirt-sock-ro", "/tmp/lv/run/qemu"),
        ("qemu:///session", None),
        ("qemu+ssh://host2/system", None),
        ("test:///default", None),
    ],
)
def test_where_pid_files_are(given: str, folder: str | None) -> None:
    """Beside the socket of the daemon that writes them."""
    assert uri.state_folder(given) == folder
