# SPDX-License-Identifier: GPL-2.0-or-later
"""Refusals that both protocols know: each has a fault code in one, an HTTP status in the other."""

from __future__ import annotations

from kvmlog.util.errors import KvmlogError


class VmRequestError(KvmlogError):
    """A request that cannot be answered; the base of those below."""


class NoCollectorError(VmRequestError):
    """There is no file of VM statistics."""


class UnusableStatisticsError(VmRequestError):
    """The file is there and cannot be used: permission, format."""


class LateCollectorError(VmRequestError):
    """The figures are too old for a document that cannot say so."""


class UnknownVmError(VmRequestError):
    """A name, UUID or pid of no VM."""


class NotRunningError(VmRequestError):
    """The VM does not run, and has no figures."""


class InvalidRequestError(VmRequestError):
    """A parameter that means nothing, or more than one thing."""
