# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened on this host: services, actions, faults, usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.rpcserver import faults as codes
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.polls import as_faults, given_word, past
from kvmlog.rpcserver.vms import changes
from kvmlog.rpcserver.vms.documents import vms_of
from kvmlog.rpcserver.vms.past import MOST, Page, Period

# Memory for an entry of a reply while that is made, as a struct, then as XML.
_ENTRY_BYTES: Final = 8 * 1024
_WORD: Final = params.word(NAME_CHARACTERS)
_LIMIT: Final = params.integer(1, MOST)
_SERVICES: Final[Mapping[str, Check]] = {"host": _WORD, "binary": _WORD}
_ACTIONS: Final[Mapping[str, Check]] = {
    "vm": _WORD,
    "limit": _LIMIT,
    "marker": _WORD,
    "since": _WORD,
    "before": _WORD,
}
_FAULTS: Final[Mapping[str, Check]] = {"vm": _WORD, "limit": _LIMIT, "since": _WORD}
_USAGE: Final[Mapping[str, Check]] = {
    "start": _WORD,
    "end": _WORD,
    "project": _WORD,
    "detailed": params.boolean,
    "limit": _LIMIT,
    "marker": _WORD,
}


def services(call: Call) -> list[Any]:
    """Serve serviceList: the services of this host."""
    given = params.parse(call.parameters, "serviceList", _SERVICES)
    with as_faults():
        return past(call).own_services(given.get("host"), given.get("binary"))


def change(call: Call) -> dict[str, Any]:
    """Serve serviceUpdate: enable, disable or force down a service; return it as it is then."""
    service_id = given_word(call, 0, "serviceUpdate: the id")
    asked = call.parameters[1]
    if not isinstance(asked, dict):
        raise codes.fault(
            codes.INVALID_PARAMETERS,
            f"serviceUpdate takes a struct, not {codes.shown(asked)}.",
        )
    with as_faults():
        change = changes.parse(asked)
        service = past(call).service(service_id)
        with call.work.waiting():
            return past(call).change(service, change, call.client)


def actions(call: Call) -> list[Any]:
    """Serve vmActions: what was done to a VM, or to any, newest first."""
    given = params.parse(call.parameters, "vmActions", _ACTIONS)
    page = Page(given.get("limit", MOST), given.get("marker"))
    with as_faults():
        uuid = _uuid(call, given["vm"]) if "vm" in given else None
        call.work.reserve(page.limit * _ENTRY_BYTES)
        return past(call).actions(uuid, page, given.get("since"), given.get("before"))


def action(call: Call) -> dict[str, Any]:
    """Serve vmAction: one of these with its events."""
    word = given_word(call, 0, "vmAction: the VM")
    request_id = given_word(call, 1, "vmAction: the request_id")
    with as_faults():
        return past(call).action(_uuid(call, word), request_id)


def faults(call: Call) -> list[Any]:
    """Serve vmFaults: what went wrong with a VM, or with any, newest first."""
    given = params.parse(call.parameters, "vmFaults", _FAULTS)
    limit = given.get("limit", MOST)
    with as_faults():
        uuid = _uuid(call, given["vm"]) if "vm" in given else None
        call.work.reserve(limit * _ENTRY_BYTES)
        return past(call).faults(uuid, limit, given.get("since"))


def usage(call: Call) -> dict[str, Any]:
    """Serve projectUsage: what each owner used over a period."""
    given = params.parse(call.parameters, "projectUsage", _USAGE)
    page = Page(given.get("limit", MOST), given.get("marker"))
    with as_faults():
        call.work.reserve(page.limit * _ENTRY_BYTES)
        found = past(call).usage(
            Period(given.get("start"), given.get("end")),
            page,
            detailed=given.get("detailed", False),
            project=given.get("project"),
        )
    return found.document()


def _uuid(call: Call, word: str) -> str:
    """Return the UUID of a VM that there is or was."""
    vms = vms_of(call.vmstats_path, call.ring_path)
    return past(call).vm(word, lambda word: vms.find(vms.poll(call.work.waiting), word).sample.uuid)
