# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports for programs that have to be told theirs."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
