# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog metrics` that cannot start says why in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kvmlog.cli.main import main
from kvmlog.config.load import Config
from kvmlog.config.schema.serving import MetricsKeys
from kvmlog.metrics.preflight import headers
from kvmlog.util.errors import KvmlogError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--listen", ""], "neither an address to serve metrics on nor one to push them to"),
        (["--listen", "0.0.0.0:0"], "0.0.0.0:0: beyond loopback TLS is needed"),
        (["--listen", "example:1"], "example is no IP address"),
        (["--series-most", "1"], "--series-most 1: give 100 to 10000000"),
        (["--otlp-url", "collector:4318"], "give http://HOST:PORT/PATH, or https://"),
        (["--otlp-url", "http://a:b@c/"], "give no password in a URL"),
        (["--otlp-interval", "nan"], "--otlp-interval nan: give 1 to 3600 s"),
        (["--otlp-url", "http://h:1/", "--otlp-headers", "/nowhere"], "/nowhere"),
        (["--new-token", "x"], "--new-token needs a file to add the token to"),
        (["--tls-cert", "/x"], "--tls-cert and --tls-key go together"),
    ],
)
def test_bad_options_are_told_in_a_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not start, and says why."""
    assert main(["metrics", "--user", "root", *options]) in (1, 2)
    (said,) = capsys.readouterr().err.splitlines()
    assert sentence in said


@pytest.mark.parametrize(
    ("missing", "options", "sentence"),
    [
        ("prometheus_client", [], "install python3-prometheus-client, or kvmlog[metrics] with pip"),
        ("opentelemetry", ["--otlp-url", "http://127.0.0.1:9/"], "install kvmlog[otlp] with pip"),
    ],
)
def test_what_is_optional_is_named(
    missing: str,
    options: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The process says which package is not installed."""
    for name in [one for one in sys.modules if one.startswith(("kvmlog.metrics.", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[misc]
    files = ["--ring", str(tmp_path / "ring"), "--listen", "127.0.0.1:0"]
    assert main(["metrics", "--user", "root", *files, *options]) == 1
    assert sentence in capsys.readouterr().err


def of(path: Path) -> Config:
    """A configuration with this file of headers."""
    return Config(metrics=MetricsKeys(otlp_headers_file=str(path)))


def test_headers_of_pushes(tmp_path: Path) -> None:
    """NAME: VALUE on lines, with comments; names in lower case."""
    secret = tmp_path / "headers"
    secret.write_text("# of the receiver\n\nAuthorization: Bearer s3cret \nX-Scope-OrgID:cloud 1\n")
    secret.chmod(0o600)
    assert headers(of(secret)) == {"authorization": "Bearer s3cret", "x-scope-orgid": "cloud 1"}


def test_a_file_of_headers_has_to_be_a_secret(tmp_path: Path) -> None:
    """Nobody else may read it."""
    secret = tmp_path / "headers"
    secret.write_text("Authorization: x\n")
    secret.chmod(0o644)
    with pytest.raises(KvmlogError, match=str(secret)):
        headers(of(secret))


@pytest.mark.parametrize(
    "text", ["s3cret\n", "A: b\nß: s3cret\n", "A : s3cret\n", "A: s3cret\x00\n", "a: b\n" * 33]
)
def test_what_is_no_header_is_not_shown(tmp_path: Path, text: str) -> None:
    """Refused by the number of its line: it may be a secret."""
    secret = tmp_path / "headers"
    secret.write_text(text)
    secret.chmod(0o600)
    with pytest.raises(KvmlogError, match=r"is no header; give NAME: VALUE") as raised:
        headers(of(secret))
    assert "s3cret" not in str(raised.value)
