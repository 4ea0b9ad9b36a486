# SPDX-License-Identifier: GPL-2.0-or-later
"""The exceptions that kvmlog raises on purpose.

Each message is one sentence for the user: the value, the limit and the remedy.
"""

from __future__ import annotations

import os


class KvmlogError(Exception):
    """Base of all; str() is the sentence that the user sees."""


class UsageError(KvmlogError):
    """An option's value is none: exit status 2, as for an option that there is not."""


def os_error(number: int) -> OSError:
    """Return what a function of C reported, to be the cause of an error (util.shortage)."""
    return OSError(number, os.strerror(number))


class RingError(KvmlogError):
    """The ring file cannot be used."""


class RingMissingError(RingError):
    """There is no ring file at the path."""


class RingFormatError(RingError):
    """The ring file has a format that this version does not understand."""


class RingBusyError(RingError):
    """Another process writes the ring."""


class DamagedFileError(KvmlogError):
    """Somebody else wrote into a file of the bridge, which has to begin anew."""


class SwitchError(KvmlogError):
    """A switch command was not carried out, or the bridge cannot be reached."""


class BudgetError(SwitchError):
    """Tracing was switched off because it cost too much; reported once (docs/switch.md)."""


class SourceError(KvmlogError):
    """The source of the records (kernel module or BPF programs) is missing or refused a command."""


class StatisticsError(KvmlogError):
    """The statistics cannot be used, or have no such groups."""


class IntervalError(StatisticsError):
    """The statistics cannot be had for intervals that short."""


class StatisticsMissingError(StatisticsError):
    """There is no statistics file at the path."""


class VmStatsError(KvmlogError):
    """The VMs' statistics cannot be had or used, or have no such VM."""


class VmStatsMissingError(VmStatsError):
    """There is no file of VM statistics at the path."""


class HistoryError(KvmlogError):
    """The history cannot be had or used, or refuses a request."""


class HistoryMissingError(HistoryError):
    """There is no history at the path."""


class HistoryMarkerError(HistoryError):
    """A page of the history is asked for by a marker that is not in it."""
