# SPDX-License-Identifier: GPL-2.0-or-later
"""The service: credentials and methods joined into what the HTTP server serves."""

from __future__ import annotations

import socket
import ssl
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xmlrpc.client import Fault, dumps

from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.rpcserver import faults, log
from kvmlog.rpcserver.auth.caller import Caller, Role
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.http.parse import parse_call
from kvmlog.rpcserver.http.peers import Peer
from kvmlog.rpcserver.http.service import RefusalError, Work
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import NO_HISTORY, Call, HistoryPaths
from kvmlog.rpcserver.methods.reply import reply_pieces
from kvmlog.util.shortage import shortage

NO_LIMITS: Final = LimitsKeys()


class RpcService:
    """The methods over the files and the switch of one host, for callers with these credentials.

    credentials: may be replaced while the server runs; new ones count from the next request on.
    """

    def __init__(
        self,
        ring_path: str,
        switch_path: str,
        vmstats_path: str,
        credentials: Credentials,
        depth: int,
        log_sparingly: Callable[[str], None],
        history: HistoryPaths = NO_HISTORY,
        limits: LimitsKeys = NO_LIMITS,
    ) -> None:
        """depth: nested XML elements in a request at most; log_sparingly: takes refusals.

        limits: of owners, which may be replaced as the credentials.
        """
        self.history = history
        self.limits = limits
        self.credentials = credentials
        self._ring_path = ring_path
        self._switch_path = switch_path
        self._vmstats_path = vmstats_path
        self._depth = depth
        self._log_sparingly = log_sparingly

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS; None for plain HTTP."""
        return self.credentials.context

    def authenticate(
        self, peer: Peer, connection: socket.socket, authorization: str | None
    ) -> CallerSession:
        """Return the caller's session; raises RefusalError, StaleCredentialsError."""
        return CallerSession(self, self.credentials.caller(peer, connection, authorization))

    def tidy(self) -> None:
        """Free what is kept for the next calls, where there have been none for a while."""
        table.tidy()

    def answer(self, body: bytes, caller: Caller, work: Work) -> Sequence[bytes]:
        """Return the reply to one call, a result or a fault, as XML in pieces.

        RefusalError: the caller is over their share, by `work`.
        """
        try:
            name, parameters = parse_call(body, self._depth)
            return reply_pieces(self.result(name, parameters, caller, work))
        except Fault as fault:
            return [dumps(fault, methodresponse=True).encode("utf-8")]
        except RefusalError:
            raise
        except Exception as error:  # noqa: BLE001 - as in _result()
            return [dumps(_defect(caller, error), methodresponse=True).encode("utf-8")]

    def result(
        self, name: object, parameters: tuple[Any, ...], caller: Caller, work: Work
    ) -> object:
        """Return a method's result; raises Fault, also for a defect, and RefusalError."""
        method = table.find(name)
        self._check_role(name, method.role, caller)
        call = Call(
            self._ring_path,
            self._switch_path,
            self._vmstats_path,
            self.history,
            self.limits,
            str(caller),
            parameters,
            caller.key,
            work,
            lambda name, parameters: self.result(name, parameters, caller, work),
        )
        try:
            return table.run(name, method, call)
        except (Fault, RefusalError):
            raise
        except Exception as error:  # noqa: BLE001 - a defect must not take the connection with it
            raise _defect(caller, error) from None

    def _check_role(self, name: object, role: Role, caller: Caller) -> None:
        """Raise a NOT_ALLOWED fault for a method that this caller may not call."""
        if not caller.may(role):
            rights = " and ".join(str(one.name).lower() for one in role)
            self._log_sparingly(f"{caller} may not call {name}: no right to {rights}")
            raise faults.fault(
                faults.NOT_ALLOWED,
                f"{caller.name} ({caller.how}) is not allowed to call {name}; it takes the right "
                f"to {rights}.",
            )


@dataclass(frozen=True)
class CallerSession:
    """An authenticated caller of a service (http.service.Session)."""

    service: RpcService
    caller: Caller

    @property
    def rate_key(self) -> Hashable:
        """The caller, for the limit on requests."""
        return self.caller.key

    def answer(self, body: bytes, work: Work) -> Sequence[bytes]:
        """Return the reply to one call, as XML in pieces; raises RefusalError."""
        return self.service.answer(body, self.caller, work)


def _defect(caller: Caller, error: Exception) -> Fault:
    """Log the exception that is being handled; return what the caller is told of it."""
    told = shortage(error) or f"internal error\n{traceback.format_exc().rstrip()}"
    log(f"{caller} {told}")
    return faults.fault(faults.INTERNAL, "Internal error; the server's log has it.")
