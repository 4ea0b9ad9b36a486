# SPDX-License-Identifier: GPL-2.0-or-later
"""One call on hosts that answer, are dead, hang, send garbage or too much: none stops another."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kvmlog.client import Client
from kvmlog.fleet import calls, merge
from kvmlog.fleet.access import Access
from kvmlog.fleet.ask import Answer, ask_all, failed, values
from kvmlog.fleet.hosts import FleetHost
from tests.support.fleet_hosts import Hosts, Kind, fleet_hosts, id_of, name_of

BAD = {
    Kind.DEAD: "cannot be reached",
    Kind.HANGING: "no reply within 3 s",
    Kind.DRIPPING: "no reply within 3 s",
    Kind.GARBAGE: "the reply is no XML-RPC",
    Kind.NOISE: "the connection ended before the reply",
    Kind.HUGE: "a reply of more than 1048576 bytes",
    Kind.DEEP: "use client and server of one version",
    Kind.REFUSING: "refused with HTTP 401: Show a token.",
}
# As large as no good reply is; a deadline that good hosts of a busy machine keep.
ACCESS = Access(timeout_s=60.0, reply_bytes=1 << 20)


def of(hosts: Hosts) -> list[FleetHost]:
    """The hosts as a list has them."""
    return [FleetHost("127.0.0.1", port, tls=False) for port in hosts.ports]


def details(client: Client, _: FleetHost) -> list[dict[str, Any]]:
    """What the tests ask."""
    return calls.details(client, calls.CAPACITIES, servers=True)


def test_good_hosts_answer_whatever_the_others_do() -> None:
    """Fifty hosts, of which each eighth fails in a way of its own; all are named."""
    kinds = [Kind.GOOD] * 50
    for at, kind in enumerate(BAD):
        kinds[3 + 5 * at] = kind
    told: list[Answer[Any]] = []
    with fleet_hosts(*kinds) as hosts:
        found = ask_all(of(hosts), ACCESS, details, parallel=8, deadline_s=3.0, done=told.append)
    assert [one.host.port for one in found] == hosts.ports
    assert sorted(one.host.port for one in told) == sorted(hosts.ports)
    for kind, one in zip(kinds, found, strict=True):
        if kind is Kind.GOOD:
            assert one.error is None, one
        else:
            assert one.value is None
            assert BAD[kind] in str(one.error), (kind, one)
            # The host is named where it is shown.
            assert f":{one.host.port}" not in str(one.error)
    assert len(failed(found)) == len(BAD)
    whole, notes = merge.hypervisors(values(found))
    good = [number for number, kind in enumerate(kinds) if kind is Kind.GOOD]
    assert [(one["hypervisor_hostname"], one["id"]) for one in whole] == [
        (name_of(number), id_of(number)) for number in good
    ]
    assert notes == []
    assert [len(one["servers"]) for one in whole] == [2] * len(good)
    assert {type(one["memory_mb"]) for one in whole} == {int}


def test_no_more_hosts_at_a_time_than_asked_for() -> None:
    """The bound holds, and is reached."""
    lock, now, most = threading.Lock(), 0, 0
    reached = threading.Barrier(4)

    def call(client: Client, _: FleetHost) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        # Four have to meet, four times: fewer at a time would wait for ever.
        reached.wait(60)
        client.status()
        with lock:
            now -= 1
        return True

    with fleet_hosts(*[Kind.GOOD] * 16) as hosts:
        found = ask_all(of(hosts), ACCESS, call, parallel=4)
    assert len(values(found)) == 16
    assert most == 4


def test_hosts_that_hang_leave_no_threads() -> None:
    """What waits for them ends with its connection."""
    with fleet_hosts(*[Kind.HANGING, Kind.DRIPPING, Kind.HUGE] * 2) as hosts:
        ask_all(of(hosts), ACCESS, details, deadline_s=0.5)
        ours = [one for one in threading.enumerate() if one.name.startswith("fleet ")]
        for one in ours:
            one.join(60)
        assert not any(one.is_alive() for one in ours)


def test_a_defect_is_that_of_one_host(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception that nobody expects is logged, and the others are answered."""

    def call(client: Client, host: FleetHost) -> bool:
        client.status()
        if host.port == hosts.ports[1]:
            raise RuntimeError("unforeseen")
        return True

    with fleet_hosts(*[Kind.GOOD] * 3) as hosts:
        found = ask_all(of(hosts), ACCESS, call)
    assert [one.error for one in found] == [None, "internal error; the log has it", None]
    assert "RuntimeError: unforeseen" in capfd.readouterr().err


def test_a_token_does_not_go_out_in_the_clear() -> None:
    """As with `kvmlog remote`; the sentence is that host's."""
    (found,) = ask_all([FleetHost("192.0.2.1", 50080, tls=False)], Access("secret"), details)
    assert "would be sent in the clear; use TLS" in str(found.error)
