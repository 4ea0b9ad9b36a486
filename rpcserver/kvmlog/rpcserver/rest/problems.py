# SPDX-License-Identifier: GPL-2.0-or-later
"""Refusals as JSON: problem details (RFC 9457), on Nova's paths as Nova has them."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, Final
from xmlrpc.client import Fault

from aiohttp import web

from kvmlog.history.views.times import TimeError
from kvmlog.rpcserver import log
from kvmlog.rpcserver.auth.caller import Caller
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.rest.nova.paths import PREFIX
from kvmlog.rpcserver.vms import errors
from kvmlog.util.errors import (
    HistoryError,
    HistoryMarkerError,
    HistoryMissingError,
    KvmlogError,
)
from kvmlog.util.shortage import shortage
from kvmlog.vmstats.views import errors as views

PROBLEM: Final = "application/problem+json"
_STATUSES: Final[Mapping[type[KvmlogError], HTTPStatus]] = {
    errors.NoCollectorError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnusableStatisticsError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LateCollectorError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnknownVmError: HTTPStatus.NOT_FOUND,
    errors.InvalidRequestError: HTTPStatus.BAD_REQUEST,
    views.NotRunningError: HTTPStatus.CONFLICT,
    views.UnknownFormatError: HTTPStatus.BAD_REQUEST,
    views.UnknownGroupError: HTTPStatus.BAD_REQUEST,
    views.NoHypervisorError: HTTPStatus.NOT_FOUND,
    errors.NotServedError: HTTPStatus.NOT_FOUND,
    errors.UnknownServiceError: HTTPStatus.NOT_FOUND,
    errors.UnknownActionError: HTTPStatus.NOT_FOUND,
    errors.InvalidChangeError: HTTPStatus.BAD_REQUEST,
    errors.ServiceNotChangedError: HTTPStatus.SERVICE_UNAVAILABLE,
    TimeError: HTTPStatus.BAD_REQUEST,
    HistoryMarkerError: HTTPStatus.BAD_REQUEST,
    HistoryMissingError: HTTPStatus.SERVICE_UNAVAILABLE,
    HistoryError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# The others begin with a path, or with the name of a VM, which stay as they are.
_BEGIN_WITH_A_WORD: Final = (
    errors.LateCollectorError,
    errors.UnknownVmError,
    errors.NotServedError,
    errors.UnknownServiceError,
    errors.UnknownActionError,
    views.NoHypervisorError,
    HistoryMarkerError,
)
_RETRY_S: Final = "10"
# nova/api/openstack/wsgi.py, Fault: the member that has the sentence.
_NOVA_NAMES: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "badRequest",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "itemNotFound",
    HTTPStatus.METHOD_NOT_ALLOWED: "badMethod",
    HTTPStatus.CONFLICT: "conflictingRequest",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "overLimit",
    HTTPStatus.TOO_MANY_REQUESTS: "overLimit",
    HTTPStatus.SERVICE_UNAVAILABLE: "serviceUnavailable",
}


def refusal_of(error: KvmlogError | Fault) -> RefusalError:
    """Return the refusal of a request that cannot be answered."""
    if isinstance(error, Fault):
        return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, error.faultString)
    status = _STATUSES[type(error)]
    headers = {"Retry-After": _RETRY_S} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    sentence = f"{error}."
    if isinstance(error, _BEGIN_WITH_A_WORD):
        sentence = sentence[0].upper() + sentence[1:]
    return RefusalError(status, sentence, headers)


def not_routed(error: web.HTTPException, path: str) -> RefusalError:
    """Return the refusal of a path or a method that is not served."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = error.headers["Allow"]
        sentence = "This is read-only: send GET. XML-RPC switches tracing."
        if HTTPMethod.GET not in error.allowed_methods:
            sentence = f"This path takes changes only: send {allowed}."
        return RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, sentence, {"Allow": allowed})
    if error.status == HTTPStatus.NOT_FOUND:
        return RefusalError(
            HTTPStatus.NOT_FOUND, "There is no such path; /v1/openapi.json describes all of them."
        )
    return RefusalError(HTTPStatus(error.status), f"{error.reason}.")


def defect(caller: Caller | None, error: Exception) -> RefusalError:
    """Log the exception that is being handled; return what the caller is told of it."""
    told = shortage(error) or f"internal error\n{traceback.format_exc().rstrip()}"
    log(f"{caller or 'a caller'} {told}")
    return RefusalError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error; the server's log has it."
    )


def response(refusal: RefusalError, path: str) -> web.Response:
    """Return a refusal in the words of the path's dialect."""
    status = refusal.status
    document: dict[str, Any]
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        name = _NOVA_NAMES.get(status, "computeFault")
        document = {name: {"code": int(status), "message": refusal.sentence}}
        content_type = "application/json"
    else:
        document = {
            "type": "about:blank",
            "title": status.phrase,
            "status": int(status),
            "detail": refusal.sentence,
        }
        content_type = PROBLEM
    return web.Response(
        body=json.dumps(document).encode(),
        status=int(status),
        content_type=content_type,
        headers={"Server": "kvmlog", **refusal.headers},
    )
