# SPDX-License-Identifier: GPL-2.0-or-later
"""Refusals that both protocols know: each has a fault code in one, an HTTP status in the other.

What a format refuses (kvmlog.vmstats.views.errors) has them too.
"""

from __future__ import annotations

from kvmlog.util.errors import HistoryError, VmStatsError


class NoCollectorError(VmStatsError):
    """There is no file of VM statistics."""


class UnusableStatisticsError(VmStatsError):
    """The file is there and cannot be used: permission, format."""


class LateCollectorError(VmStatsError):
    """The figures are too old for a document that cannot say so."""


class UnknownVmError(VmStatsError):
    """A name, UUID or pid of no VM."""


class InvalidRequestError(VmStatsError):
    """A parameter that means nothing, or more than one thing."""


class UnknownServiceError(HistoryError):
    """No service has that id, or that host and binary."""


class UnknownActionError(HistoryError):
    """A request_id of no action of that VM."""


class ServiceNotChangedError(HistoryError):
    """The history did not change a service: it is not there, or refuses."""


class InvalidChangeError(HistoryError):
    """A change of a service that means nothing."""


class NotServedError(VmStatsError):
    """A path that there is in other microversions only."""
