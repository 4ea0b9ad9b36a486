# SPDX-License-Identifier: GPL-2.0-or-later
"""system.*: what there is to call (https://xmlrpc-c.sourceforge.io/introspection.html)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods.call import Call, Method


def found(table: Mapping[str, Method], name: object) -> Method:
    """The method of a name; Fault UNKNOWN_METHOD that tells the nearest one, and all."""
    method = table.get(name) if isinstance(name, str) else None
    if method is None:
        close = difflib.get_close_matches(str(name)[:64], table, 1, 0.7)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise faults.fault(
            faults.UNKNOWN_METHOD,
            f"There is no method {faults.shown(name)}{meant}; known are {', '.join(table)}.",
        )
    return method


def list_methods(table: Mapping[str, Method]) -> Callable[[Call], list[str]]:
    """system.listMethods."""
    return lambda _call: sorted(table)


def method_help(table: Mapping[str, Method]) -> Callable[[Call], str]:
    """system.methodHelp."""
    return lambda call: found(table, call.parameters[0]).help


def method_signature(table: Mapping[str, Method]) -> Callable[[Call], list[Any]]:
    """system.methodSignature."""
    return lambda call: [list(one) for one in found(table, call.parameters[0]).signatures]
