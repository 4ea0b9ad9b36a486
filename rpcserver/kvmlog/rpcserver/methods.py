# SPDX-License-Identifier: GPL-2.0-or-later
"""What each RPC method does. Their types, units and faults: docs/rpc.md.

A method is found in METHODS and nowhere else: no attribute of anything is ever
looked up by a name that a client sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kvmlog.bridge.control import SwitchClient
from kvmlog.bridge.errors import BudgetError, RingError, RingMissingError, SwitchError
from kvmlog.bridge.ring import RingReader
from kvmlog.rpcserver import faults, legacy, status
from kvmlog.rpcserver.log import log
from kvmlog.rpcserver.newest import newest_exits

_SWITCH_VALUES: Final[Mapping[str, bool]] = {
    "on": True,
    "true": True,
    "1": True,
    "off": False,
    "false": False,
    "0": False,
}


@dataclass(frozen=True)
class Call:
    """One call of one client."""

    ring_path: str
    switch_path: str
    client: str
    """Who called, for the log: "127.0.0.1:40312"."""

    parameters: tuple[Any, ...]


@dataclass(frozen=True)
class Method:
    """An entry of the table: what to run, and how many parameters it takes."""

    run: Callable[[Call], object]
    parameters: int


def call_method(name: str, call: Call) -> object:
    """Returns a method's result; raises Fault for whatever goes wrong."""
    method = METHODS.get(name)
    if method is None:
        raise faults.fault(
            faults.UNKNOWN_METHOD,
            f"There is no method {faults.shown(name)}; known are {', '.join(METHODS)}.",
        )
    if len(call.parameters) != method.parameters:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"{name} takes {method.parameters} parameter(s), not {len(call.parameters)}.",
        )
    return method.run(call)


def switch_value(value: object) -> bool:
    """Returns which way to switch; raises Fault for a value that says neither way."""
    if isinstance(value, bool):
        return value
    wanted = None
    if isinstance(value, int | str):
        wanted = _SWITCH_VALUES.get(str(value).lower())
    if wanted is None:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"The switch takes 'on' or 'off' (also true, false, 1, 0, or these as text), "
            f"not {faults.shown(value)}.",
        )
    return wanted


def _switch(call: Call) -> str:
    on = switch_value(call.parameters[0])
    word = "on" if on else "off"
    try:
        SwitchClient(call.switch_path).switch(on)
    except BudgetError as error:
        log(f"{call.client} asked for tracing {word} and was told: {error}")
        raise faults.fault(faults.OVER_BUDGET, str(error)) from error
    except SwitchError as error:
        log(f"{call.client} asked for tracing {word}, not done: {error}")
        raise faults.fault(
            faults.SWITCH_FAILED, f"Tracing was not switched {word}: {error}"
        ) from error
    log(f"{call.client} switched tracing {word}")
    return "true"


def _log_text(call: Call) -> str:
    try:
        with RingReader(call.ring_path) as ring:
            exits = newest_exits(ring, legacy.MAX_RECORDS)
            info = ring.info()
    except RingMissingError as error:
        raise faults.fault(faults.NO_RING, str(error)) from error
    except RingError as error:
        raise faults.fault(faults.RING_UNREADABLE, str(error)) from error
    return legacy.encode(exits, info.realtime_ns - info.monotonic_ns, info.utc_offset_s)


def _status(call: Call) -> dict[str, str]:
    return status.status(call.ring_path, call.switch_path)


# The only place where a method's public name stands.
METHODS: Final[Mapping[str, Method]] = {
    "kvmLogSwitch": Method(_switch, 1),
    "kvmLogSwitchSC": Method(_switch, 1),
    "getKvmLog": Method(_log_text, 0),
    "getKvmLogSC": Method(_log_text, 0),
    "kvmLogStatus": Method(_status, 0),
}
