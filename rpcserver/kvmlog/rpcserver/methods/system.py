# SPDX-License-Identifier: GPL-2.0-or-later
"""Introspection, system.* (https://xmlrpc-c.sourceforge.io/introspection.html)."""

from __future__ import annotations

from typing import Any, Final
from xmlrpc.client import Fault

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.limits import MOST_CALLS
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import Call

_MULTICALL: Final = "system.multicall"


def list_methods(_call: Call) -> list[str]:
    """Serve system.listMethods: the names of all methods."""
    return sorted(table.METHODS)


def method_help(call: Call) -> str:
    """Serve system.methodHelp: what a method does."""
    return table.find(call.parameters[0]).help


def method_signature(call: Call) -> list[Any]:
    """Serve system.methodSignature: the types of a method's result and parameters."""
    return [list(one) for one in table.find(call.parameters[0]).signatures]


def multicall(call: Call) -> list[Any]:
    """Serve system.multicall: several calls, each as if it had come by itself, in their order.

    Of each an array with its result, or a struct with faultCode and faultString.
    """
    given = call.parameters[0]
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_CALLS:
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"{_MULTICALL} takes an array of 1 to {MOST_CALLS} structs methodName and params, not "
            f"{faults.shown(given)}.",
        )
    results: list[Any] = []
    for number, one in enumerate(given):
        if number:
            # The first is the request itself.
            call.work.count_call()
        try:
            results.append([call.dispatch(*_called(one))])
        except Fault as fault:
            results.append(fault)
    return results


def _called(one: object) -> tuple[object, tuple[Any, ...]]:
    """Return the method and the parameters of a call within system.multicall."""
    if (
        not isinstance(one, dict)
        or one.keys() != {"methodName", "params"}
        or not isinstance(one["params"], list)
    ):
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"{_MULTICALL} takes structs with methodName and an array params, not "
            f"{faults.shown(one)}.",
        )
    if one["methodName"] == _MULTICALL:
        raise faults.fault(faults.INVALID_PARAMETERS, f"{_MULTICALL} cannot call itself.")
    return one["methodName"], tuple(one["params"])
