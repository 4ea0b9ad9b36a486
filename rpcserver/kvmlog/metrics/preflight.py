# SPDX-License-Identifier: GPL-2.0-or-later
"""What metrics need of their configuration to start; `kvmlog config check` looks at it too."""

from __future__ import annotations

import re
from typing import Final

from kvmlog.config.load import Config
from kvmlog.config.schema.defaults import DEFAULT_METRICS
from kvmlog.rpcserver import preflight
from kvmlog.rpcserver.auth import tls
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.util.errors import KvmlogError
from kvmlog.util.secrets import read_secret

_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x21-\x7e][\x20-\x7e]*)")
_HEADERS_MOST: Final = 32


class MetricsError(KvmlogError):
    """Metrics cannot be served or pushed as configured."""


def credentials(config: Config) -> Credentials:
    """Return the credentials to accept; KvmlogError when these do not suffice for the address."""
    found = Credentials(config.metrics)
    _address(config)
    return found


def problems(config: Config) -> list[KvmlogError]:
    """Return everything that keeps the process from starting, as its user sees files."""
    checks = (check_purpose, _address, _tls, _tokens, headers)
    return preflight.problems_as_user(config, "metrics", *checks)


def headers(config: Config) -> dict[str, str]:
    """Return the headers of pushes; KvmlogError for a file that is not fit for secrets."""
    keys = config.metrics
    if not keys.otlp_headers_file:
        return {}
    text = read_secret(keys.otlp_headers_file, "file of headers", keys.user)
    found: dict[str, str] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        header = _HEADER.fullmatch(line.rstrip())
        twice = header is not None and header[1].lower() in found
        if header is None or twice or len(found) == _HEADERS_MOST:
            # Not the line itself, which may hold a secret.
            raise MetricsError(
                f"{keys.otlp_headers_file}: line {number} is no header; give NAME: VALUE, each "
                f"name once, in ASCII, on {_HEADERS_MOST} lines at most"
            )
        # Their names are in lower case on the wire of HTTP/2.
        found[header[1].lower()] = header[2]
    return found


def check_purpose(config: Config) -> None:
    """Raise MetricsError where there is nothing to do."""
    if not config.metrics.listen and not config.metrics.otlp_url:
        raise MetricsError(
            "there is neither an address to serve metrics on nor one to push them to; give "
            f"--listen {DEFAULT_METRICS}, or --otlp-url"
        )


def _address(config: Config) -> None:
    keys = config.metrics
    if keys.listen:
        preflight.check_address(keys, keys.listen, DEFAULT_METRICS)


def _tls(config: Config) -> None:
    tls.server_context(config.metrics)


def _tokens(config: Config) -> None:
    preflight.read_tokens(config.metrics)
