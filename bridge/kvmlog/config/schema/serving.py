# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of the processes that serve over the network: rpc, metrics and fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from kvmlog.config.keys import address, key, optional_absolute, optional_address, optional_url
from kvmlog.config.schema.defaults import (
    DEFAULT_FLEET,
    DEFAULT_JSON,
    DEFAULT_LISTEN,
    DEFAULT_METRICS,
    DEFAULT_USER,
)

_RPC: Final = ("rpc",)
_METRICS: Final = ("metrics",)
_FLEET: Final = ("fleet",)


def _live_file(option: str, about: str, commands: tuple[str, ...]) -> Any:
    """Return the key of a file that is read again at SIGHUP; "": there is none."""
    return key("", about, option=option, commands=commands, metavar="FILE", live=True)


@dataclass(frozen=True)
class RpcKeys:
    """The XML-RPC server."""

    listen: str = key(
        DEFAULT_LISTEN,
        "address to listen on; port 0: any free port",
        option="--listen",
        commands=_RPC,
        metavar="HOST:PORT",
        check=address,
    )
    json_listen: str = key(
        "",
        f"address to serve VM statistics on as JSON: {DEFAULT_JSON} or another; port 0: any free "
        "port; without it there is no such port",
        option="--json-listen",
        commands=_RPC,
        metavar="HOST:PORT",
        check=optional_address,
    )
    user: str = key(
        DEFAULT_USER,
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_RPC,
        metavar="NAME",
    )
    tls_cert: str = _live_file(
        "--tls-cert",
        "TLS certificate with its chain, PEM",
        _RPC,
    )
    tls_key: str = _live_file(
        "--tls-key",
        "private key of the certificate, PEM",
        _RPC,
    )
    tls_ca: str = _live_file(
        "--tls-ca",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        _RPC,
    )
    switch_names: tuple[str, ...] = key(
        (),
        "names in client certificates that may switch; the others may only read; empty: all may",
        option="--switch-name",
        commands=_RPC,
        metavar="NAME",
        live=True,
    )
    token_file: str = _live_file(
        "--token-file",
        "file with the tokens of clients (kvmlog rpc --new-token)",
        _RPC,
    )
    requests_per_s: int = key(
        200,
        "requests per second of one caller, with bursts of five times as many; 0: no limit",
        option="--requests-per-s",
        commands=_RPC,
        low=0,
        high=1_000_000,
    )


@dataclass(frozen=True)
class MetricsKeys:
    """Metrics for Prometheus, and pushed as OTLP."""

    # Names of certificates that may switch, as rpc has them: here nothing is switched.
    switch_names: ClassVar[tuple[str, ...]] = ()

    listen: str = key(
        DEFAULT_METRICS,
        "address to serve /metrics on; port 0: any free port; empty: none",
        option="--listen",
        commands=_METRICS,
        metavar="HOST:PORT",
        check=optional_address,
    )
    user: str = key(
        "kvmlog-metrics",
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_METRICS,
        metavar="NAME",
    )
    tls_cert: str = _live_file(
        "--tls-cert",
        "TLS certificate with its chain, PEM",
        _METRICS,
    )
    tls_key: str = _live_file(
        "--tls-key",
        "private key of the certificate, PEM",
        _METRICS,
    )
    tls_ca: str = _live_file(
        "--tls-ca",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        _METRICS,
    )
    token_file: str = _live_file(
        "--token-file",
        "file with the tokens of clients (kvmlog metrics --new-token)",
        _METRICS,
    )
    series_most: int = key(
        100_000,
        "series of VMs at most, half of them of exits, half of what VMs use; VMs that find no "
        "room are left out whole, and counted",
        option="--series-most",
        commands=_METRICS,
        low=100,
        high=10_000_000,
    )
    otlp_url: str = key(
        "",
        "where to push the same metrics as OTLP over HTTP: https://HOST:4318/v1/metrics; empty: "
        "nowhere (takes opentelemetry-exporter-otlp-proto-http)",
        option="--otlp-url",
        commands=_METRICS,
        metavar="URL",
        check=optional_url,
    )
    otlp_interval_s: float = key(
        60.0,
        "seconds between two pushes",
        option="--otlp-interval",
        commands=_METRICS,
        low=1,
        high=3_600,
        metavar="SECONDS",
    )
    otlp_ca: str = key(
        "",
        "CAs to verify the receiver with, PEM; empty: the system's",
        option="--otlp-ca",
        commands=_METRICS,
        metavar="FILE",
    )
    otlp_headers_file: str = key(
        "",
        "file with the headers of pushes, NAME: VALUE on lines of their own (Authorization)",
        option="--otlp-headers",
        commands=_METRICS,
        metavar="FILE",
    )


@dataclass(frozen=True)
class FleetKeys:
    """The server of many hosts' merged answers, on a machine that reaches all of them."""

    # Names of certificates that may switch, as rpc has them: here nothing is switched.
    switch_names: ClassVar[tuple[str, ...]] = ()

    hosts: str = key(
        "",
        "list of the hosts, one HOST[:PORT] of its kvmlog rpc a line; empty: there is no fleet",
        option="--hosts",
        commands=_FLEET,
        metavar="FILE",
        live=True,
        check=optional_absolute,
    )
    listen: str = key(
        DEFAULT_FLEET,
        "address to serve on; port 0: any free port",
        option="--listen",
        commands=_FLEET,
        metavar="HOST:PORT",
        check=address,
    )
    user: str = key(
        DEFAULT_USER,
        'user to run as when started as root; "root": stay root',
        option="--user",
        commands=_FLEET,
        metavar="NAME",
    )
    tls_cert: str = _live_file(
        "--tls-cert",
        "TLS certificate with its chain, PEM",
        _FLEET,
    )
    tls_key: str = _live_file(
        "--tls-key",
        "private key of the certificate, PEM",
        _FLEET,
    )
    tls_ca: str = _live_file(
        "--tls-ca",
        "CAs of client certificates, PEM; without token_file every client needs a certificate",
        _FLEET,
    )
    token_file: str = _live_file(
        "--token-file",
        "file with the tokens of clients (kvmlog fleet serve --new-token)",
        _FLEET,
    )
    requests_per_s: float = key(
        20.0,
        "requests of one caller at most; 0: no limit",
        option="--requests-per-s",
        commands=_FLEET,
        metavar="N",
        low=0,
        high=1_000_000,
    )
    parallel: int = key(
        32,
        "hosts that are asked at a time",
        option="--parallel",
        commands=_FLEET,
        metavar="N",
        low=1,
        high=1_024,
        live=True,
    )
    timeout_s: float = key(
        10.0,
        "seconds that a host may take for connection and reply",
        option="--timeout",
        commands=_FLEET,
        metavar="S",
        low=0.1,
        high=3_600,
        live=True,
    )
    fresh_s: float = key(
        15.0,
        "seconds for which answers of the hosts serve all callers; 0: hosts are asked each time",
        option="--fresh",
        commands=_FLEET,
        metavar="S",
        low=0,
        high=3_600,
        live=True,
    )
    metrics_port: int = key(
        50082,
        "port of kvmlog metrics on the hosts, for Prometheus (/targets)",
        option="--metrics-port",
        commands=_FLEET,
        metavar="N",
        low=1,
        high=65_535,
        live=True,
    )
    host_token_file: str = _live_file(
        "--host-token-file",
        "file that holds only the token to show to the hosts",
        _FLEET,
    )
    host_tls_ca: str = _live_file(
        "--host-tls-ca",
        "CA to verify the hosts with, PEM (without: the system's)",
        _FLEET,
    )
    host_tls_cert: str = _live_file(
        "--host-tls-cert",
        "certificate to show to the hosts, PEM",
        _FLEET,
    )
    host_tls_key: str = _live_file(
        "--host-tls-key",
        "private key of that certificate, PEM",
        _FLEET,
    )
