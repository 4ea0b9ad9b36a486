# SPDX-License-Identifier: GPL-2.0-or-later
"""The list of hosts: what is taken, and each line that is refused, by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.fleet import FleetError, hosts
from kvmlog.fleet.hosts import FleetHost


def test_addresses_labels_and_comments(tmp_path: Path) -> None:
    """Ports and schemes as `kvmlog remote` takes them; the rest of a line is labels."""
    path = tmp_path / "hosts"
    path.write_text(
        "# the fleet\n\nkvm1\nkvm2:50090 rack=a1 zone=north # spare\r\n"
        "https://kvm3\n[fd00::1]:8080\nfd00::2\n".replace("fd00::2", "[fd00::2]")
    )
    assert hosts.read(str(path)) == [
        FleetHost("kvm1", 50080, False),
        FleetHost("kvm2", 50090, False, {"rack": "a1", "zone": "north"}),
        FleetHost("kvm3", 50080, True),
        FleetHost("fd00::1", 8080, False),
        FleetHost("fd00::2", 50080, False),
    ]
    found = hosts.read(str(path), tls=True)
    assert [one.tls for one in found] == [True] * 5
    assert [one.name for one in found[1:4]] == ["kvm2:50090", "kvm3", "[fd00::1]:8080"]
    assert found[3].url == "https://[fd00::1]:8080"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kvm1\nkvm2\n\nKVM1:50080\n", "line 4: kvm1 is on line 1 already"),
        ("kvm1\nkvm/2\n", r"line 2: 'kvm/2': no server's address; give HOST"),
        ("kvm1:99999\n", "line 1: 'kvm1:99999': no server's address"),
        ("kvm1 rack\n", "line 1: 'rack' is no label; give NAME=VALUE"),
        ("kvm1 __address__=x\n", "line 1: '__address__=x' is no label"),
        ("kvm1 a=1 a=2\n", "line 1: label a: given twice"),
        ("kvm1 a=" + "x" * 129 + "\n", "128 characters of value at most"),
        ("# nothing\n", "there is no host; give one"),
        ("", "there is no host; give one"),
    ],
)
def test_wrong_lines_are_refused_by_number(tmp_path: Path, text: str, sentence: str) -> None:
    """The sentence says what to give."""
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(FleetError, match=sentence):
        hosts.read(str(path))


def test_what_is_no_list(tmp_path: Path) -> None:
    """A file of another kind, one that is too long, and none."""
    path = tmp_path / "hosts"
    path.write_bytes(b"kvm1\nk\xffvm2\n")
    with pytest.raises(FleetError, match=r"line 2 is no UTF-8"):
        hosts.read(str(path))
    path.write_bytes(b"#" * (hosts.MOST_BYTES + 1))
    with pytest.raises(FleetError, match="more than 4194304 bytes"):
        hosts.read(str(path))
    with pytest.raises(FleetError, match="No such file or directory"):
        hosts.read(str(tmp_path / "none"))
    many = [f"kvm{number}" for number in range(hosts.MOST_HOSTS + 1)]
    with pytest.raises(FleetError, match="line 10001: more than 10000 hosts"):
        hosts.parse(many, "list")
    assert len(hosts.parse(many[:-1], "list")) == 10_000
