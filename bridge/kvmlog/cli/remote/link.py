# SPDX-License-Identifier: GPL-2.0-or-later
"""How another host is reached: options, and the client that they describe."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kvmlog.client import Client

DEFAULT_TIMEOUT_S: Final = 10.0


def add_link(
    parser: argparse.ArgumentParser, *also: str, timeout_s: float = DEFAULT_TIMEOUT_S
) -> None:
    """Add credentials, trust and timeout, for connect(); also: other names of the last."""
    parser.add_argument(
        "--token-file", metavar="FILE", help="file that holds only the token to authenticate with"
    )
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="PEM file of the CA to verify the server with (default: the system's)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM file of the client certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM file of its key")
    parser.add_argument(
        *also,
        "--timeout",
        metavar="S",
        type=float,
        default=timeout_s,
        help="seconds to wait for connection and reply (default %(default)g)",
    )
    parser.set_defaults(refuse_remote=parser.error)


def connect(args: argparse.Namespace, host: str) -> Client:
    """Return a client for the options of add_link(); exit with status 2 for a bad timeout."""
    # Not with the module: the client takes XML and TLS.
    from kvmlog.client import Client
    from kvmlog.client.connection import MOST_TIMEOUT_S
    from kvmlog.util.secrets import read_secret

    if not 0 < args.timeout <= MOST_TIMEOUT_S:
        args.refuse_remote(
            f"--timeout {args.timeout:g}: give more than 0 s and at most {MOST_TIMEOUT_S:.0f}"
        )
    token = None
    if args.token_file is not None:
        token = read_secret(args.token_file, "token").decode("ascii", "replace").strip()
    return Client(
        host,
        token=token,
        tls_ca=args.tls_ca,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        timeout_s=args.timeout,
    )
