# SPDX-License-Identifier: GPL-2.0-or-later
"""What a format refuses; RPC answers with a fault, HTTP with the status named here."""

from __future__ import annotations

from kvmlog.util.errors import VmStatsError


class NotRunningError(VmStatsError):
    """The format tells of running domains only (409)."""


class UnknownFormatError(VmStatsError):
    """There is no format of that name (400)."""


class UnknownGroupError(VmStatsError):
    """Our own sample has no group of that name (400)."""


class NoHypervisorError(VmStatsError):
    """No host has that id, or that pattern in its name (404)."""
