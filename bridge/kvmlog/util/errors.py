# SPDX-License-Identifier: GPL-2.0-or-later
"""What kvmlog raises on purpose.

Each message is one sentence for the person at the keyboard: the value, the limit and the remedy.
"""

from __future__ import annotations


class KvmlogError(Exception):
    """Base of all; str() is the sentence that is shown."""


class RingError(KvmlogError):
    """The ring file cannot be used."""


class RingMissingError(RingError):
    """There is no ring file at the path."""


class RingFormatError(RingError):
    """The ring file is not one that this version understands."""


class RingBusyError(RingError):
    """Another process writes the ring."""


class SwitchError(KvmlogError):
    """A switch command was not carried out, or the bridge cannot be reached."""


class BudgetError(SwitchError):
    """Tracing has been switched off because it cost too much; told once (docs/switch.md)."""


class SourceError(KvmlogError):
    """The source of the records (the kernel module, the BPF programs) is absent or refused."""


class StatisticsError(KvmlogError):
    """The statistics cannot be used, or hold no such groups."""


class StatisticsMissingError(StatisticsError):
    """There is no statistics file at the path."""
