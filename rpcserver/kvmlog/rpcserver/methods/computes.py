# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts as Nova has them: hypervisors, hosts, totals, and the limits of owners."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kvmlog.guests.sanitize import NAME_CHARACTERS
from kvmlog.rpcserver.methods import params
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.methods.params import Check
from kvmlog.rpcserver.methods.polls import given_word, newest, past
from kvmlog.rpcserver.vms import computes
from kvmlog.rpcserver.vms.computes import HYPERVISORS
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.vmstats.views.hypervisor import Reserved, Services

_LIST: Final[Mapping[str, Check]] = {
    "pattern": params.word(NAME_CHARACTERS),
    "servers": params.boolean,
}


def details(call: Call) -> list[Any]:
    """Serve hypervisorDetail: Nova's detail of each host."""
    kind = given_word(call, 0, "hypervisorDetail: the format", HYPERVISORS) or HYPERVISORS[-1]
    with _newest(call) as (poll, services):
        return computes.details(poll, kind, services, reserved=Reserved.of(call.limits))


def listed(call: Call) -> list[Any]:
    """Serve hypervisorList: Nova's list of hosts, all or those with a pattern in their names."""
    given = params.parse(call.parameters, "hypervisorList", _LIST)
    with _newest(call) as (poll, services):
        return computes.listed(
            poll,
            services,
            pattern=given.get("pattern"),
            with_servers=given.get("servers", False),
        )


def statistics(call: Call) -> dict[str, Any]:
    """Serve hypervisorStatistics: sums over all hosts that are enabled."""
    with _newest(call) as (poll, services):
        return computes.statistics(poll, services, Reserved.of(call.limits))


def hosts(call: Call) -> list[Any]:
    """Serve hostList: hosts of VMs, and of enabled services."""
    with _newest(call) as (poll, services):
        return computes.hosts(poll, services, past(call).known())


def limits(call: Call) -> dict[str, Any]:
    """Serve projectLimits: an owner's limits, without one those of all VMs together."""
    project = given_word(call, 0, "projectLimits: the project") or None
    with _newest(call) as (poll, _):
        return computes.limits(poll, project, call.limits)


@contextlib.contextmanager
def _newest(call: Call) -> Iterator[tuple[Poll, Services]]:
    """Give the newest poll, and the services of its hosts; refusals are faults."""
    with newest(call) as (_, poll):
        yield poll, past(call).of_hosts(poll.snapshot.hosts)
