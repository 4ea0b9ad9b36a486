# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's state in Nova's words and numbers, and which states have diagnostics."""

from __future__ import annotations

from typing import Final

from kvmlog.vmstats.sample import Sample, State
from kvmlog.vmstats.views.errors import NotRunningError

# Nova's libvirt driver takes a blocked domain for a running one, and one that is being shut down
# for one that is.
_STATES: Final = {
    State.NOSTATE: "pending",
    State.RUNNING: "running",
    State.BLOCKED: "running",
    State.PAUSED: "paused",
    State.SHUTDOWN: "shutdown",
    State.SHUTOFF: "shutdown",
    State.CRASHED: "crashed",
    State.PMSUSPENDED: "suspended",
}


# nova/compute/power_state.py, and the status that the API makes of it when nothing is under way.
_SERVERS: Final = {
    State.NOSTATE: (0, "UNKNOWN"),
    State.RUNNING: (1, "ACTIVE"),
    State.BLOCKED: (1, "ACTIVE"),
    State.PAUSED: (3, "PAUSED"),
    State.SHUTDOWN: (4, "ACTIVE"),
    State.SHUTOFF: (4, "SHUTOFF"),
    State.CRASHED: (6, "SHUTOFF"),
    State.PMSUSPENDED: (7, "SUSPENDED"),
}
_VM_STATES: Final = {
    "UNKNOWN": None,
    "ACTIVE": "active",
    "PAUSED": "paused",
    "SHUTOFF": "stopped",
    "SUSPENDED": "suspended",
}


def power_number(state: State) -> int:
    """Return Nova's number of a state."""
    return _SERVERS[state][0]


def status(state: State) -> str:
    """Return the status of a server in this state: ACTIVE, PAUSED, ..."""
    return _SERVERS[state][1]


def vm_state(state: State) -> str | None:
    """Return what Nova keeps of a server in this state: active, paused, ...; None: nothing fits."""
    return _VM_STATES[status(state)]


def power_state(state: State) -> str:
    """Return Nova's name of a state."""
    return _STATES[state]


def refuse_unless_running(sample: Sample) -> None:
    """Refuse a domain that does not run, a paused one too, as Nova does: NotRunningError."""
    state = power_state(sample.state)
    if state != "running":
        raise NotRunningError(
            f"{sample.name}: its state is {state}, and Nova's diagnostics tell of running VMs "
            "only; start it, or ask for its own sample (vmStats)"
        )
