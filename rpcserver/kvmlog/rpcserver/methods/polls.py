# SPDX-License-Identifier: GPL-2.0-or-later
"""What methods about VMs, hosts and their past share: the newest poll, and refusals as faults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.history.views.times import TimeError
from kvmlog.rpcserver import faults, nearest
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.vms import errors
from kvmlog.rpcserver.vms.documents import VM_BYTES, Vms, vms_of
from kvmlog.rpcserver.vms.past import Past, past_of
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.util.errors import (
    HistoryError,
    HistoryMarkerError,
    HistoryMissingError,
    KvmlogError,
    VmStatsError,
)
from kvmlog.vmstats.views import errors as views

_CODES: Final[Mapping[type[KvmlogError], int]] = {
    errors.NoCollectorError: faults.NO_VM_STATISTICS,
    errors.UnusableStatisticsError: faults.VM_STATISTICS_UNREADABLE,
    errors.LateCollectorError: faults.VM_STATISTICS_LATE,
    errors.UnknownVmError: faults.NO_GUEST,
    errors.InvalidRequestError: faults.INVALID_PARAMETERS,
    errors.InvalidChangeError: faults.INVALID_PARAMETERS,
    errors.UnknownServiceError: faults.NO_SERVICE,
    errors.UnknownActionError: faults.NO_ACTION,
    errors.ServiceNotChangedError: faults.SERVICE_NOT_CHANGED,
    views.NotRunningError: faults.VM_NOT_RUNNING,
    views.UnknownFormatError: faults.INVALID_PARAMETERS,
    views.UnknownGroupError: faults.INVALID_PARAMETERS,
    views.NoHypervisorError: faults.NO_HYPERVISOR,
    TimeError: faults.INVALID_PARAMETERS,
    HistoryMarkerError: faults.INVALID_PARAMETERS,
    HistoryMissingError: faults.NO_HISTORY,
    HistoryError: faults.HISTORY_UNREADABLE,
}


@contextlib.contextmanager
def as_faults() -> Iterator[None]:
    """Have a refusal within `with` become its fault."""
    try:
        yield
    except (HistoryError, VmStatsError) as error:
        raise faults.fault(_CODES[type(error)], f"{error}.") from error


@contextlib.contextmanager
def newest(call: Call, count: int | None = None) -> Iterator[tuple[Vms, Poll]]:
    """Give the newest poll, and memory for so many VMs, all by default; refusals are faults."""
    vms = vms_of(call.vmstats_path, call.ring_path)
    with as_faults():
        poll = vms.poll(call.work.waiting)
        call.work.reserve((len(poll.snapshot.vms) if count is None else count) * VM_BYTES)
        yield vms, poll


def past(call: Call) -> Past:
    """Return the history's answers."""
    return past_of(call.history.file, call.history.socket)


def given_word(call: Call, at: int, what: str, known: tuple[str, ...] = ()) -> str:
    """Return a parameter that is a word, one of `known`; "" where it is not given."""
    if at >= len(call.parameters):
        return ""
    given = call.parameters[at]
    if not isinstance(given, str) or not 0 < len(given) <= NAME_CHARACTERS:
        accepted = f"give a string of 1 to {NAME_CHARACTERS} characters"
    elif known and given not in known:
        accepted = nearest.one_of(given, known)
    else:
        return given
    raise faults.fault(faults.INVALID_PARAMETERS, f"{what} is {faults.shown(given)}; {accepted}.")
