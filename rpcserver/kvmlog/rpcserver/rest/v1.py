# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of our own routes, /v1."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from kvmlog.rpcserver.rest.encode import encoded
from kvmlog.rpcserver.rest.routes import TEXT, Parameter, Question, Route, one_of, text
from kvmlog.rpcserver.vms.computes import HYPERVISORS
from kvmlog.rpcserver.vms.documents import DIAGNOSTICS, GROUPS

_LATE: Final = {
    "type": ["string", "null"],
    "description": "Why the figures are older than they should be",
}
_ORIGIN: Final[Mapping[str, Any]] = {
    "written": {"type": "string", "description": "When the collector wrote these figures"},
    "age_s": {"type": "number", "minimum": 0, "description": "How long ago that was"},
    "late": _LATE,
}
_VM: Final = Parameter("vm", "Name, UUID or pid", TEXT, text)
_VMS: Final = Parameter("vm", "Names, UUIDs, pids; all VMs without", TEXT, text, several=True)
_GROUPS: Final = Parameter(
    "groups",
    "Groups of figures; all without",
    {"type": "string", "enum": list(GROUPS)},
    one_of(GROUPS),
    several=True,
    commas=True,
)
_FORMAT: Final = Parameter(
    "format",
    "Format; nova-2.48 without",
    {"type": "string", "enum": list(DIAGNOSTICS)},
    one_of(DIAGNOSTICS),
)
_HYPERVISOR: Final = Parameter(
    "format",
    f"Format; {HYPERVISORS[-1]} without",
    {"type": "string", "enum": list(HYPERVISORS)},
    one_of(HYPERVISORS),
)
_CALLER: Final = Parameter(
    "caller",
    "A name of the caller's own, where several have the same credential: each gets its own growth",
    TEXT,
    text,
)


def _vms(question: Question) -> bytes:
    words = question.query.get("vm", ())
    poll = question.poll(len(words) or None)
    origin, vms = question.vms.stats(poll, words, question.query.get("groups", ()), encoded)
    # The VMs have been encoded before, for all callers of this poll.
    return b'%s,"vms":[%s]}' % (encoded(origin)[:-1], b",".join(vms))


def _vm(question: Question) -> Any:
    groups = question.query.get("groups", ())
    return question.vms.one(question.poll(1), question.path["vm"], groups)


def _diagnostics(question: Question) -> Any:
    kind = question.query.get("format", "nova-2.48")
    return question.vms.of_vm(question.poll(1), question.path["vm"], kind)


def _vdsm(question: Question) -> Any:
    return question.vms.of_vm(question.poll(1), question.path["vm"], "vdsm")


def _cloudstack(question: Question) -> Any:
    word = question.query.get("caller", "")
    return question.vms.cloudstack(question.poll(), question.caller.key, word)


def _samples(question: Question) -> Any:
    word = question.query.get("caller", "")
    return question.vms.samples(question.poll(), question.caller.key, word)


def _exits(question: Question) -> Any:
    return question.service.result("vmExits", (), question.caller, question.work)


def _host(question: Question) -> Any:
    return question.vms.hosts(question.poll(0))


def _hypervisor(question: Question) -> Any:
    kind = question.query.get("format", HYPERVISORS[-1])
    return question.computes.details(kind)


def _status(question: Question) -> Any:
    return question.service.result("kvmStatus", (), question.caller, question.work)


_NO_VM: Final = (HTTPStatus.NOT_FOUND,)
_NOT_RUNNING: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)

# A VM called cloudstack is found by its UUID.
ROUTES: Final = (
    Route(
        "/v1/vms",
        "vms",
        "State and use of VMs, as the collector sampled them last; ages are counted to `written`",
        _vms,
        {
            "type": "object",
            "required": [*_ORIGIN, "vms"],
            "properties": {**_ORIGIN, "vms": {"type": "array", "items": {"$ref": "vmstats"}}},
        },
        query=(_VMS, _GROUPS),
        refusals=_NO_VM,
    ),
    Route(
        "/v1/vms/cloudstack",
        "cloudstack",
        "VmStatsEntry of each running VM by instance name, as CloudStack's agents send them: since "
        "the caller's request before, and since the collector began",
        _cloudstack,
        {
            "type": "object",
            "required": ["vmStatsMap", "accumulated"],
            "properties": {
                "vmStatsMap": {"$ref": "cloudstack"},
                "accumulated": {"$ref": "cloudstack-accumulated"},
            },
        },
        query=(_CALLER,),
    ),
    Route(
        "/v1/vms/{vm}",
        "vm",
        "State and use of one VM; ages are counted to now",
        _vm,
        {"$ref": "vmstats"},
        in_path=(_VM,),
        query=(_GROUPS,),
        refusals=_NO_VM,
    ),
    Route(
        "/v1/vms/{vm}/diagnostics",
        "diagnostics",
        "One VM in an engine's format",
        _diagnostics,
        {
            "anyOf": [
                {"$ref": name}
                for name in ("nova-diagnostics-2.48", "nova-diagnostics", "vdsm-vm", "vmstats")
            ]
        },
        in_path=(_VM,),
        query=(_FORMAT,),
        refusals=_NOT_RUNNING,
    ),
    Route(
        "/v1/vms/{vm}/vdsm",
        "vdsm",
        "One VM's statistics as oVirt's VDSM has them",
        _vdsm,
        {"$ref": "vdsm-vm"},
        in_path=(_VM,),
        refusals=_NO_VM,
    ),
    Route(
        "/v1/samples",
        "samples",
        "Samples of all meters of OpenStack's Ceilometer; deltas are since the caller's request "
        "before",
        _samples,
        {"$ref": "ceilometer"},
        query=(_CALLER,),
    ),
    Route(
        "/v1/exits",
        "exits",
        "Exits of the VMs that run: counters since the statistics began, and rates",
        _exits,
        {"$ref": "exits"},
    ),
    Route(
        "/v1/host",
        "host",
        "The hosts, in our own form and, in the same order, in VDSM's; the collector's state and "
        "cost",
        _host,
        {
            "type": "object",
            "required": ["collector", "hosts", "vdsm"],
            "properties": {
                "collector": {"$ref": "collector"},
                "hosts": {"type": "array", "items": {"$ref": "host"}},
                "vdsm": {"type": "array", "items": {"$ref": "vdsm-host"}},
            },
        },
    ),
    Route(
        "/v1/hypervisor",
        "hypervisor",
        "Each host as Nova's hypervisor detail",
        _hypervisor,
        {
            "type": "array",
            "items": {"anyOf": [{"$ref": "hypervisor-2.88"}, {"$ref": "hypervisor-2.53"}]},
        },
        query=(_HYPERVISOR,),
    ),
    Route(
        "/v1/status",
        "status",
        "What bridge and ring are doing, as kvmStatus has it",
        _status,
        {
            "type": "object",
            "required": ["version", "bridge", "bridge_error", "ring", "ring_error"],
            "properties": {
                "version": {"type": "string"},
                "bridge": {"type": "object"},
                "bridge_error": {"type": "string"},
                "ring": {"type": "object"},
                "ring_error": {"type": "string"},
            },
        },
    ),
)
