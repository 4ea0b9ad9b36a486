# SPDX-License-Identifier: GPL-2.0-or-later
"""kvmSwitch: tracing of chosen guests, for a time, of all or some of their exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kvmlog.control import sampling
from kvmlog.control.client import SwitchClient, accepted
from kvmlog.control.protocol import LEAST_FOR_S, MOST_FOR_S
from kvmlog.control.sampling import EVERY_EXIT, Sampling
from kvmlog.rpcserver import faults, log
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.records import VM
from kvmlog.rpcserver.methods.status import BRIDGE
from kvmlog.util.errors import BudgetError, SwitchError

_SWITCH: Final[Mapping[str, Check]] = {
    "on": params.boolean,
    "vm": VM,
    "for_s": params.seconds(LEAST_FOR_S, MOST_FOR_S),
    "one_in": params.integer(1, sampling.MOST_ONE_IN),
    "on_ms": params.integer(1, sampling.MOST_WINDOW_MS),
    "off_ms": params.integer(1, sampling.MOST_WINDOW_MS),
    "max_per_s": params.integer(1, sampling.MOST_PER_S),
}


def switch(call: Call) -> dict[str, Any]:
    """Serve kvmSwitch: what the bridge accepted."""
    given = params.parse(call.parameters, "kvmSwitch", _SWITCH)
    params.require(given, "kvmSwitch", "on")
    if not given["on"] and len(given) > 1:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"kvmSwitch: {', '.join(sorted(set(given) - {'on'}))} with on false; off is for all "
            "guests, at once.",
        )
    try:
        recorded = Sampling.parse(given)
    except SwitchError as error:
        raise faults.fault(faults.INVALID_PARAMETERS, f"kvmSwitch: {error}.") from error
    vm, for_s = given.get("vm", ()), given.get("for_s")
    answer = perform_switch(call, given["on"], vm, for_s, recorded)
    unlimited = not vm and for_s is None and recorded == EVERY_EXIT
    matched = {} if unlimited else accepted(answer).get("matched", {})
    return {
        "on": given["on"],
        "matched": [{"vm": word, "pids": pids} for word, pids in matched.items()],
        "for_s": for_s,
        **vars(recorded),
    }


def perform_switch(
    call: Call,
    on: bool,
    vm: Sequence[str] = (),
    for_s: float | None = None,
    recorded: Sampling = EVERY_EXIT,
) -> str:
    """Have the bridge switch and return its answer; log who requested what, done or not.

    Fault OVER_BUDGET or SWITCH_FAILED when the bridge did not acknowledge it.
    """
    word = "on" if on else "off"
    if vm:
        word += f" for {', '.join(map(faults.shown, vm))}"
    try:
        with call.work.waiting():
            answer = SwitchClient(call.switch_path).switch(on, vm, for_s, recorded)
        BRIDGE.forget(call.switch_path)
    except BudgetError as error:
        log.audit(f"{call.client} asked for tracing {word} and was told: {error}")
        raise faults.fault(faults.OVER_BUDGET, str(error)) from error
    except SwitchError as error:
        log.audit(f"{call.client} asked for tracing {word}, not done: {error}")
        raise faults.fault(
            faults.SWITCH_FAILED, f"Tracing was not switched {word}: {error}"
        ) from error
    limits = dict(recorded.arguments())
    if for_s is not None:
        limits["for_s"] = for_s  # type: ignore[assignment]  # only to be shown
    shown = "".join(f", {name} {value:g}" for name, value in limits.items())
    log.audit(f"{call.client} switched tracing {word}{shown}")
    return answer
