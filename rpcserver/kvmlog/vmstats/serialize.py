# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs and hosts as JSON objects of our own: the fields of the model under their names.

The figures of groups that were not asked for are null, as those that are not known.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any, Final

import cattrs

from kvmlog.vmstats.host import Host
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Collector, Snapshot, Vm

# Counters and rates; what else there is of a VM is always there.
GROUPS: Final = ("cpu", "memory", "blocks", "interfaces")


def vm_object(vm: Vm, groups: Collection[str] = GROUPS) -> dict[str, Any]:
    """Return sample, rates and accumulated counters of a VM; groups: of GROUPS."""
    made: dict[str, Any] = _converter().unstructure(vm)
    for group in GROUPS:
        if group not in groups:
            made["sample"][group] = None
            if made["rates"] is not None:
                made["rates"][group] = None
    return made


def listed_object(vm: Vm, now: Moment) -> dict[str, Any]:
    """Return who a VM is and what it does, without figures."""
    sample = vm.sample
    return {
        "uuid": sample.uuid,
        "name": sample.name,
        "uri": sample.uri,
        "state": sample.state.name.lower(),
        "domain_id": sample.domain_id,
        "pid": sample.pid,
        "vcpus": sample.definition.vcpus,
        "memory_bytes": sample.definition.memory_bytes,
        "timed_out": sample.timed_out,
        "age_s": vm.age_s(now),
    }


def host_object(host: Host) -> dict[str, Any]:
    """Return one host."""
    return {**_converter().unstructure(host), "balloon_ratio": host.balloon_ratio}


def collector_object(collector: Collector) -> dict[str, Any]:
    """Return the collector's state and cost."""
    made: dict[str, Any] = _converter().unstructure(collector)
    return made


def moment_object(moment: Moment) -> dict[str, Any]:
    """Return a moment."""
    return {"monotonic_ns": moment.monotonic_ns, "realtime_ns": moment.realtime_ns}


def snapshot_of(boot_id: str, collector: Any, hosts: Any, vms: Any, structure: Any) -> Snapshot:
    """Return what these objects were made of; structure: cattrs' function for their dialect."""
    return Snapshot(
        boot_id,
        structure(collector, Collector),
        tuple(structure(host, Host) for host in hosts),
        tuple(structure(vm, Vm) for vm in vms),
    )


@functools.cache
def _converter() -> cattrs.Converter:
    return cattrs.Converter()
