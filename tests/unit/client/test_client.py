# SPDX-License-Identifier: GPL-2.0-or-later
"""The typed client: addresses, arguments that it refuses, and reports as the server made them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvmlog.client import Client, RpcError
from kvmlog.client.connection import parse_address
from kvmlog.client.statistics import report_of
from kvmlog.native import lib
from kvmlog.ring.statistics.reader import NO_RETURN, By
from kvmlog.stat.query import Query
from kvmlog.stat.serialize import report_object, row_object
from tests.support.rpc_calls import as_received
from tests.support.statistics_rows import HLT, Made, guest, named, reported, row


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host1", ("host1", 50080, False)),
        ("host1:7", ("host1", 7, False)),
        ("[::1]:7", ("::1", 7, False)),
        ("http://host1/", ("host1", 50080, False)),
        ("https://host1:7/RPC2", ("host1", 7, True)),
        ("Host_1.example.:7", ("host_1.example.", 7, False)),
        ("192.0.2.1", ("192.0.2.1", 50080, False)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 50080, False)),
        ("bücher.example", ("bücher.example", 50080, False)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int, bool]) -> None:
    """An address is accepted with or without port and scheme."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7",
        "host1:x",
        "host1:70000",
        "host1:0",
        "ftp://host1",
        "http://me:pw@host1",
        "[::1",
        "::1",
        "2001:db8::1",
        "[host1]",
        "a?b",
        "host1/other",
        "http://@host1",
        "http://",
        "http://x y",
        " host1",
        "[fe80::1%a b]",
        "ho\nst1",
        "a..b",
        ".host1",
        "h\x00st",
        "a" * 80,
        ".".join(["a" * 60] * 5),
        "bücher..example",
        "host1:-7",
        "host1,host2",
    ],
)
def test_invalid_addresses_are_refused(text: str) -> None:
    """An invalid address is refused before anything is sent."""
    with pytest.raises(RpcError, match="no server's address; give HOST, HOST:PORT or https://"):
        Client(text)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_invalid_ports_are_refused(port: int) -> None:
    """The default port is checked where the address names none."""
    with pytest.raises(RpcError, match=f"port {port}: no port of a server; give 1 to 65535"):
        Client("host1", port)
    assert Client("host1:7", port).name == "host1:7"


@pytest.mark.parametrize("timeout_s", [0, -1, 1e300, float("inf"), float("nan")])
def test_a_timeout_that_no_socket_takes_is_refused(timeout_s: float) -> None:
    """The client refuses the timeout before it connects."""
    with pytest.raises(RpcError, match=re.escape(f"timeout {timeout_s:g} s: give more")):
        Client("host1", timeout_s=timeout_s)


def test_a_token_is_never_sent_in_the_clear() -> None:
    """A token is sent to loopback, and to everywhere else through TLS only."""
    for local in ("localhost", "127.0.0.1", "127.9.9.9:7", "[::1]:7", "https://192.0.2.1"):
        Client(local, token="abc").close()
    for remote in ("192.0.2.1", "host1:7", "http://host1", "localhost.example"):
        with pytest.raises(RpcError, match=r"a token for .* would be sent in the clear; use TLS"):
            Client(remote, token="abc")


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Other: b", "é"])
def test_invalid_tokens_are_refused(token: str) -> None:
    """No token can break out of its header."""
    with pytest.raises(RpcError, match="the token is empty, or has characters that no token has"):
        Client("127.0.0.1", token=token)


def test_files_of_tls(tmp_path: Path) -> None:
    """Errors name the file: missing, no PEM, a key alone, or TLS options with plain HTTP."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("x")
    with pytest.raises(RpcError, match=r"missing: cannot be read; give a PEM file"):
        Client("h", tls_ca=str(tmp_path / "missing"))
    with pytest.raises(RpcError, match=r"wrong\.pem: no PEM files that fit together"):
        Client("h", tls_ca=str(wrong))
    with pytest.raises(RpcError, match="a key without its certificate; give --tls-cert too"):
        Client("h", tls_key=str(wrong))
    with pytest.raises(RpcError, match="plain HTTP, with options for TLS; give https://"):
        Client("http://h", tls_ca=str(wrong))


@pytest.mark.parametrize(
    "by",
    [
        By.GUEST | By.REASON,
        By.REASON,
        By.VCPU,
        By.REASON | By.DETAIL,
        By.GUEST | By.RETURN,
        By.GUEST,
    ],
)
def test_a_report_comes_back_as_it_was(tmp_path: Path, by: By) -> None:
    """Every row, guest, share and account survives as strings, for text and for JSON."""
    one, other = guest(1, 100, exits=3), guest(2, 200, exits=2)
    rows = [
        row(
            guest=1, count=3, total_ns=2**40, vmm_ns=5, vcpu=lib.KVMLOG_NO_VCPU, max_ns=9, p50_ns=7
        ),
        row(
            guest=2, reason=HLT, count=2, total_ns=70, idle_ns=60, halt=True, nested=True, handler=2
        ),
        row(guest=2, count=4, vmm_ns=9, user_reason=2, detail=2**63, detail_kind=1, rough=True),
        row(
            guest=2, count=4, user_reason=NO_RETURN, detail_kind=lib.KVMLOG_STATISTICS_DETAIL_OTHER
        ),
    ]
    made = Made(rows, {1: one, 2: other}, exits=13, overflow=1, forgotten=2, torn=3)
    view = Query(by, "vmm" if By.RETURN in by else "total", top=2)
    uuid = "12345678-1234-1234-1234-123456789abc"
    report = reported(
        tmp_path, made, view, [named(100, "web1", uuid=uuid), named(200, "db", ended_realtime_ns=5)]
    )
    reply = {
        **report_object(report),
        "rows": [
            {**row_object(line, by), "whole_ns": line.whole_ns}
            for line in report.lines + report.halts
        ],
        "shown_exits": report.shown_exits,
        "notes": ["off"],
    }
    found, notes = report_of(as_received(reply), view)
    assert report_object(found) == report_object(report)
    assert [(line.part_ns, line.whole_ns) for line in found.lines] == [
        (line.part_ns, line.whole_ns) for line in report.lines
    ]
    assert (found.shown_exits, found.left_out, notes) == (13, report.left_out, ["off"])


def test_incomplete_replies_are_refused() -> None:
    """The sentence names the cause: a server of another version."""
    with pytest.raises(RpcError, match=r"lack something .*; use client and server of one version"):
        report_of({"rows": []}, Query())
