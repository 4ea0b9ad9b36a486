# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of targets, which readers never see half, and hosts from a real DNS server's records."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from kvmlog.fleet import FleetError, srv, targets
from kvmlog.fleet.hosts import FleetHost

NAME = "_kvmlog._tcp.example.net"


def test_a_file_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    """While it is written again and again, each reading is one of the two lists."""
    path = tmp_path / "kvmlog.json"
    lists = [
        targets.text(targets.document([FleetHost(f"kvm{n}", 1, False)] * size, 50082, {}))
        for n, size in ((1, 40), (2, 900))
    ]
    assert targets.write(str(path), lists[0])
    read: set[str] = set()
    done = threading.Event()

    def reading() -> None:
        while not done.is_set():
            read.add(path.read_text())

    thread = threading.Thread(target=reading)
    thread.start()
    for turn in range(1, 21):
        assert targets.write(str(path), lists[turn % 2])
    done.set()
    thread.join()
    assert read <= set(lists)
    assert len(json.loads(lists[1])) == 900
    assert [one.name for one in tmp_path.iterdir()] == ["kvmlog.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_right_is_left_alone(tmp_path: Path) -> None:
    """Its time tells when the list changed; what cannot be written is said."""
    path = tmp_path / "kvmlog.json"
    assert targets.write(str(path), "[]\n")
    inode = path.stat().st_ino
    assert not targets.write(str(path), "[]\n")
    assert path.stat().st_ino == inode
    with pytest.raises(FleetError, match=r"Prometheus reads files that end in \.json"):
        targets.write(str(tmp_path / "kvmlog"), "[]\n")
    with pytest.raises(FleetError, match="cannot be written"):
        targets.write(str(tmp_path / "none" / "kvmlog.json"), "[]\n")


@contextlib.contextmanager
def dns_server(*records: str) -> Iterator[str]:
    """Answer questions for NAME with these, others with NXDOMAIN; give the address."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, address = listening.recvfrom(4096)
            if not data:
                return
            question = dns.message.from_wire(data)
            reply = dns.message.make_response(question)
            reply.flags |= dns.flags.AA
            if question.question[0].name.to_text(omit_final_dot=True) != NAME:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            elif records:
                reply.answer.append(dns.rrset.from_text(f"{NAME}.", 60, "IN", "SRV", *records))
            listening.sendto(reply.to_wire(), address)

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listening.getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (host, port))
        thread.join()
        listening.close()


def test_hosts_of_srv_records() -> None:
    """The least priority first, then the greatest weight; "." is no host."""
    records = ("20 1 50080 spare.example.net.", "10 1 50090 b.example.net.")
    with dns_server(*records, "10 9 50082 a.example.net.", "0 0 0 .") as server:
        assert srv.lookup(NAME, server, tls=True) == [
            FleetHost("a.example.net", 50082, True),
            FleetHost("b.example.net", 50090, True),
            FleetHost("spare.example.net", 50080, True),
        ]
        with pytest.raises(FleetError, match=r"no SRV records .*give the whole name"):
            srv.lookup("_other._tcp.example.net", server)
    with dns_server() as server, pytest.raises(FleetError, match="no SRV records"):
        srv.lookup(NAME, server)
    with dns_server("0 0 0 .") as server, pytest.raises(FleetError, match="name no host"):
        srv.lookup(NAME, server)


@pytest.mark.parametrize("server", ["example.net", "127.0.0.1:0", "127.0.0.1:99999", ":53", "[::1"])
def test_what_is_no_name_server(server: str) -> None:
    """Names would have to be resolved first."""
    with pytest.raises(FleetError, match="no name server; give ADDRESS"):
        srv.lookup(NAME, server)


def test_without_dnspython_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional."""
    modules = cast("dict[str, Any]", sys.modules)
    monkeypatch.setitem(modules, "dns.resolver", None)
    with pytest.raises(FleetError, match=r"install python3-dnspython, or kvmlog\[srv\]"):
        srv.lookup(NAME)
