# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog remote` through TLS: who the server is, and who we are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.bridge_process import kvmlog
from tests.support.certificates import Authority
from tests.support.rpc_process import Server, rpc_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that certifies the server."""
    return Authority(tmp_path_factory.mktemp("ca"))


def remote(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of `kvmlog remote`, with TLS."""
    return kvmlog("remote", f"https://{server.host}:{server.port}", *arguments)


def test_a_token_through_tls(tmp_path: Path, authority: Authority) -> None:
    """It allows what its role allows; a wrong one, and a server of another CA, are sentences."""
    tokens, secret = tmp_path / "tokens", tmp_path / "secret"
    made = kvmlog("rpc", "--token-file", str(tokens), "--new-token", "engine", "--role", "read")
    secret.write_text(made.stdout)
    secret.chmod(0o600)
    certificate, key = authority.issue("server")
    extra = ["--tls-cert", str(certificate), "--tls-key", str(key), "--token-file", str(tokens)]
    trust = ("--tls-ca", str(authority.certificate))
    show = ("--token-file", str(secret))
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        assert "npf" in remote(server, *trust, *show, "explain", "npf").stdout
        refused = remote(server, *trust, *show, "switch", "on")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "engine (token) is not allowed to call kvmSwitch" in refused.stderr
        stranger = remote(server, *show, "status")
        assert (stranger.returncode, stranger.stdout) == (1, "")
        assert "no TLS connection" in stranger.stderr
        assert "look at --tls-ca" in stranger.stderr
        secret.write_text("wrong")
        wrong = remote(server, *trust, *show, "status")
        assert "refused with HTTP 401: " in wrong.stderr
        secret.chmod(0o644)
        assert "open to others; chmod 0600" in remote(server, *trust, *show, "status").stderr
        plain = kvmlog("remote", f"{server.host}:{server.port}", "--timeout", "5", "status")
        assert (plain.returncode, "Traceback" in plain.stderr) == (1, False)


def test_the_server_s_own_certificate_is_enough(tmp_path: Path, authority: Authority) -> None:
    """The client needs no CA's certificate, as in kvmlog demo; another server's is refused."""
    certificate, key = authority.issue("alone")
    other, _ = authority.issue("other")
    extra = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra) as server:
        assert "npf" in remote(server, "--tls-ca", str(certificate), "explain", "npf").stdout
        stranger = remote(server, "--tls-ca", str(other), "explain", "npf")
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "no TLS connection" in stranger.stderr
