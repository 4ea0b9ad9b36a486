# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of methods without a connection: on an account of their own, with the real limits."""

from __future__ import annotations

from typing import Any
from xmlrpc.client import loads

from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.rpcserver.auth.caller import ALL_ROLES, Caller
from kvmlog.rpcserver.http.work import Accounts, Work
from kvmlog.rpcserver.limits import Limits
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import NO_HISTORY, Call, HistoryPaths
from kvmlog.rpcserver.methods.reply import reply_pieces
from kvmlog.rpcserver.service import NO_LIMITS, RpcService

ROOT = Caller("root", ALL_ROLES, "root", "127.0.0.1:9")


def call_of(
    ring: str,
    *parameters: Any,
    switch: str = "",
    vmstats: str = "",
    history: HistoryPaths = NO_HISTORY,
    limits: LimitsKeys = NO_LIMITS,
) -> Call:
    """Return root's call with these parameters.

    switch: the bridge's socket, if there is one; vmstats: the collector's file, if there is one.
    """

    def dispatch(name: object, parameters: tuple[Any, ...]) -> object:
        inner = call_of(
            ring, *parameters, switch=switch, vmstats=vmstats, history=history, limits=limits
        )
        return table.run(name, table.find(name), inner)

    return Call(
        ring,
        switch or f"{ring}.switch",
        vmstats or f"{ring}.vms",
        history,
        limits,
        str(ROOT),
        parameters,
        ROOT.key,
        work(),
        dispatch,
    )


def work() -> Work:
    """Return the account of a request of root's."""
    return Work(Accounts(Limits()), ROOT.key)


def answer(service: RpcService, body: bytes, caller: Caller = ROOT) -> bytes:
    """Return a service's reply to the body of a call, as a whole."""
    with work() as account:
        return b"".join(service.answer(body, caller, account))


def as_received(result: Any) -> Any:
    """Return a method's result as a stock client gets it."""
    (found,), _ = loads(b"".join(reply_pieces(result)), use_builtin_types=True)
    return found
