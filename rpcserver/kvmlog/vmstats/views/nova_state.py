# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain's state in Nova's words, and which states have diagnostics."""

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
