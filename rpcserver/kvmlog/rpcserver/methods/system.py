# SPDX-License-Identifier: GPL-2.0-or-later
"""Introspection, system.* (https://xmlrpc-c.sourceforge.io/introspection.html)."""

from __future__ import annotations

from typing import Any

from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import Call


def list_methods(_call: Call) -> list[str]:
    """Serve system.listMethods: the names of all methods."""
    return sorted(table.METHODS)


def method_help(call: Call) -> str:
    """Serve system.methodHelp: what a method does."""
    return table.find(call.parameters[0]).help


def method_signature(call: Call) -> list[Any]:
    """Serve system.methodSignature: the types of a method's result and parameters."""
    return [list(one) for one in table.find(call.parameters[0]).signatures]
