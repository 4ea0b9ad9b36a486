# SPDX-License-Identifier: GPL-2.0-or-later
"""Real handshakes with each cipher suite that OpenSSL has: forward secrecy and AEAD only."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from kvmlog.client import Client, RpcError
from tests.support.bridge_process import HANG_S
from tests.support.certificates import EC, RSA, Authority
from tests.support.rpc_process import rpc_server
from tests.support.users import as_root

Pair = tuple[Path, Path]
# Of TLS 1.2, by the key of the server's certificate.
SECURE: Final = {
    RSA: {
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    },
    EC: {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    },
}
# Static RSA, CBC, and DH that is neither: each is there to be refused.
INSECURE: Final = {
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES128-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ARIA256-GCM-SHA384",
}
WEAKEST: Final = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that certifies the servers."""
    return Authority(tmp_path_factory.mktemp("ca"))


def suites() -> list[str]:
    """Return the names of all suites of TLS 1.2 and before that this OpenSSL has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(WEAKEST)
    found = [one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"]
    assert set(found) >= INSECURE | SECURE[RSA] | SECURE[EC]
    return found


def agreed(port: int, authority: Authority, cipher: str) -> str:
    """Return version and suite of a handshake of TLS 1.2 that offers this one; "" when refused."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
    ):
        chosen = link.cipher()
        assert chosen is not None
        return f"{link.version()} {chosen[0]}"
    return ""


@as_root
@pytest.mark.parametrize("kind", [RSA, EC], ids=["RSA", "EC"])
def test_a_server_agrees_on_forward_secrecy_and_aead_only(
    tmp_path: Path, authority: Authority, kind: Sequence[str]
) -> None:
    """Each suite is offered alone; and TLS 1.3, whose suites are all of this kind."""
    certificate, key = authority.issue("server", kind=kind)
    extra = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        got = {name: agreed(server.port, authority, name) for name in suites()}
        assert {name for name, what in got.items() if what} == SECURE[tuple(kind)]
        assert all(what in ("", f"TLSv1.2 {name}") for name, what in got.items())
        with (
            server.connect() as plain,
            authority.client().wrap_socket(plain, server_hostname="127.0.0.1") as link,
        ):
            assert link.version() == "TLSv1.3"


@as_root
def test_sessions_have_no_tickets(tmp_path: Path, authority: Authority) -> None:
    """The key of tickets would open all that was recorded of the sessions that they resume."""
    certificate, key = authority.issue("server")
    extra = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        done = subprocess.run(
            [
                *("openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.port}"),
                *("-CAfile", str(authority.certificate)),
            ],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=HANG_S,
            check=False,
        )
    assert "Verify return code: 0 (ok)" in done.stdout
    assert "Session-ID: " in done.stdout
    assert "ticket" not in done.stdout


@contextlib.contextmanager
def old_server(pair: Pair, cipher: str) -> Iterator[int]:
    """Serve one handshake of TLS 1.2 with this suite only; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")

    def serve() -> None:
        link, _ = listener.accept()
        with link, contextlib.suppress(OSError), context.wrap_socket(link, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANG_S)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("cipher", "why"),
    [
        # A suite that both have: the connection then ends without a reply.
        ("ECDHE-RSA-AES128-GCM-SHA256", "no reply|ended|closed|reset"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "no reply|ended|closed|reset"),
        ("ECDHE-RSA-AES256-SHA384", "(?i)handshake failure"),
        ("AES256-GCM-SHA384", "(?i)handshake failure"),
        ("DHE-RSA-AES256-GCM-SHA384", "(?i)handshake failure"),
    ],
)
def test_a_client_does_so_too(authority: Authority, cipher: str, why: str) -> None:
    """kvmlog remote sends nothing, no token either, to a server that has only others."""
    pair = authority.issue("old", kind=RSA)
    with old_server(pair, cipher) as port:
        url = f"https://127.0.0.1:{port}"
        client = Client(url, tls_ca=str(authority.certificate), token="abc")
        with client, pytest.raises(RpcError, match=why):
            client.status()
