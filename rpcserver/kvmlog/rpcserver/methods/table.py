# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of methods: names, signatures, roles, help, and where each is. In full: docs/rpc.md.

A method is found in METHODS and nowhere else: no attribute of anything is ever looked up by a name
that a client sent. Modules of methods are imported with the first call that needs them.
"""

from __future__ import annotations

import difflib
import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.auth.caller import NO_ROLES, Role
from kvmlog.rpcserver.methods.call import Call

Function: TypeAlias = Callable[[Call], object]


@dataclass(frozen=True)
class Method:
    """An entry of the table."""

    module: str
    """The module in this package that has the function."""

    function: str
    role: Role
    signatures: tuple[tuple[str, ...], ...]
    """Types of XML-RPC, the result's first, as system.methodSignature returns them."""

    help: str

    def takes(self, count: int) -> bool:
        """Return whether it can be called with so many parameters."""
        return any(len(signature) - 1 == count for signature in self.signatures)


def find(name: object) -> Method:
    """Return the method of a name; an UNKNOWN_METHOD fault names the closest one, and all."""
    method = METHODS.get(name) if isinstance(name, str) else None
    if method is None:
        close = difflib.get_close_matches(str(name)[:64], METHODS, 1, 0.7)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise faults.fault(
            faults.UNKNOWN_METHOD,
            f"There is no method {faults.shown(name)}{meant}; known are {', '.join(METHODS)}.",
        )
    return method


def run(name: object, method: Method, call: Call) -> object:
    """Return a method's result; raises Fault for whatever the call is refused for."""
    if not method.takes(len(call.parameters)):
        counts = sorted({len(signature) - 1 for signature in method.signatures})
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"{name} takes {' or '.join(map(str, counts))} parameter(s), not "
            f"{len(call.parameters)}.",
        )
    return load(method)(call)


def load(method: Method) -> Function:
    """Return a method's function, importing its module where that has not been done.

    ImportError, or whatever else the import raises, is a defect: the next call tries again.
    """
    found = _loaded.get(method)
    if found is None:
        with _loading:
            module = importlib.import_module(f"{__package__}.{method.module}")
            found = _loaded[method] = getattr(module, method.function)
    return found


def tidy() -> None:
    """Free what methods keep for the next calls, where there have been none for a while."""
    for free in _tidying:
        free()


def tidied_by(free: Callable[[], None]) -> None:
    """Have tidy() call this function, once the module that has it is complete."""
    _tidying.append(free)


def load_all() -> None:
    """Import the modules of all methods.

    For a server that is about to become another user, who may not be able to read the files it
    runs from: after that nothing can be imported any more.
    """
    for method in METHODS.values():
        load(method)


_loaded: Final[dict[Method, Function]] = {}
_tidying: Final[list[Callable[[], None]]] = []
# One import at a time, so that no thread sees a module half done, whatever the modules import.
_loading: Final = threading.Lock()

_SWITCH: Final = Method(
    "legacy",
    "switch",
    Role.SWITCH,
    (("string", "string"), ("string", "boolean"), ("string", "int")),
    "Switches tracing of all guests on or off; 'true' once the bridge has done it.",
)
_LOG: Final = Method(
    "legacy",
    "log_text",
    Role.READ,
    (("string",),),
    "The newest 1,024 exits as text, 9 characters each, newest first; 'none' without any.",
)
# The only place where a method's public name stands.
METHODS: Final[Mapping[str, Method]] = {
    "kvmLogSwitch": _SWITCH,
    "kvmLogSwitchSC": _SWITCH,
    "getKvmLog": _LOG,
    "getKvmLogSC": _LOG,
    "kvmLogStatus": Method(
        "legacy",
        "log_status",
        Role.READ,
        (("struct",),),
        "What bridge and ring are doing, as a flat struct of strings.",
    ),
    "kvmSwitch": Method(
        "switch",
        "switch",
        Role.SWITCH,
        (("struct", "struct"),),
        "Switches tracing. Members: on (boolean); with true also vm (array of names, UUIDs, "
        "pids), for_s (seconds), one_in, on_ms and off_ms (sampling), max_per_s (cap). Returns "
        "what was granted.",
    ),
    "kvmStatus": Method(
        "host",
        "status",
        Role.READ,
        (("struct",),),
        "All that bridge and ring tell: bridge, ring, or bridge_error and ring_error.",
    ),
    "kvmRecords": Method(
        "records",
        "records",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "Records, the newest or from a position on. Members: count, since and ring_id "
        "(next_index and ring_id of an earlier reply), vm, reason (arrays), slower_than_ns, "
        "form (binary: one block; structs: at most 1,024).",
    ),
    "kvmStatistics": Method(
        "statistics",
        "statistics",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "Exits counted by guest and reason, and who spent the time. Members: by (array of "
        "guest, reason, vcpu, detail, return), vm (array), sort, top, halts (boolean), exact "
        "(boolean: by detail, each address of a device on its own), octaves (boolean: with the "
        "distribution of durations), over_s (seconds from now; "
        "without: since the statistics began), fresh (boolean: wait until all exits until now are "
        "counted; without: as the bridge wrote them last, at once).",
    ),
    "kvmWhy": Method(
        "why",
        "why",
        Role.READ,
        (("struct", "struct"),),
        "Watches a VM for some seconds and says what slows it down, with figures and remedies. "
        "Members: vm (name, UUID or pid), for_s (1 to 60, default 10), trace (boolean: where "
        "tracing is off, switch it on for that time; takes the role switch).",
    ),
    "kvmPending": Method(
        "records",
        "pending",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "vCPUs that are in an exit now, longest first. Members: vm (array), form (structs or "
        "binary).",
    ),
    "kvmGuests": Method(
        "host",
        "guests",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "The guests of the host. Members: all (boolean; those that have ended, too).",
    ),
    "kvmExplain": Method(
        "host",
        "explain_reasons",
        Role.READ,
        (("array",), ("array", "string"), ("array", "string", "string")),
        "What an exit reason (name or number; without: all) is, what causes many of it, what "
        "to try; second: of vmx, svm or arm64 only.",
    ),
    "vmList": Method(
        "vms",
        "listed",
        Role.READ,
        (("struct",),),
        "The VMs that libvirt knows, without figures.",
    ),
    "vmStats": Method(
        "vms",
        "stats",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "State and use of VMs. Members: vm (array of names, UUIDs, pids), groups (array of state, "
        "cpu, memory, disk, network, definition, rates, accumulated), form (structs; binary: one "
        "block, as the collector's file).",
    ),
    "vmDiagnostics": Method(
        "vms",
        "diagnostics",
        Role.READ,
        (("struct", "string"), ("struct", "string", "string")),
        "A VM in an engine's format. Second: nova-2.48 (OpenStack), nova (flat, "
        "before 2.48), vdsm (oVirt) or kvmlog.",
    ),
    "vmVdsm": Method(
        "vms",
        "vdsm",
        Role.READ,
        (("struct", "string"),),
        "A VM's statistics as oVirt's VDSM has them.",
    ),
    "vmCloudStack": Method(
        "vms",
        "cloudstack",
        Role.READ,
        (("struct",), ("struct", "string")),
        "VmStatsEntry of each running VM, as CloudStack's agents send them: since the caller's "
        "call before (vmStatsMap), and since the collector began (accumulated). First: a name of "
        "the caller's own, where several have the same credential.",
    ),
    "vmSamples": Method(
        "vms",
        "samples",
        Role.READ,
        (("array",), ("array", "string")),
        "Samples of all meters of OpenStack's Ceilometer for running VMs. First: as vmCloudStack.",
    ),
    "vmExits": Method(
        "exits",
        "of_vms",
        Role.READ,
        (("struct",),),
        "The exits of each VM that runs, for engines: counters since the statistics began, who "
        "spent the time, reasons, rates of the last seconds, and what the host lost.",
    ),
    "hostStats": Method(
        "vms",
        "hosts",
        Role.READ,
        (("struct",),),
        "The hosts of the VMs: CPUs, memory, huge pages, KSM, pressure, load, and what collecting "
        "costs.",
    ),
    "hypervisorDetail": Method(
        "computes",
        "details",
        Role.READ,
        (("array",), ("array", "string")),
        "Each host as Nova's hypervisor detail. First: nova-2.88 or nova-2.53 (with capacities).",
    ),
    "hypervisorList": Method(
        "computes",
        "listed",
        Role.READ,
        (("array",), ("array", "struct")),
        "The hosts of the VMs as Nova lists hypervisors. Members: pattern (part of the name; none "
        "found is a fault), servers (boolean: with their VMs).",
    ),
    "hypervisorStatistics": Method(
        "computes",
        "statistics",
        Role.READ,
        (("struct",),),
        "Sums over all hosts that are enabled, whether they are up or down.",
    ),
    "hostList": Method(
        "computes",
        "hosts",
        Role.READ,
        (("array",),),
        "Hosts of VMs and of enabled services, as Nova's os-hosts.",
    ),
    "projectLimits": Method(
        "computes",
        "limits",
        Role.READ,
        (("struct",), ("struct", "string")),
        "The limits of an owner (a project's id; without: all VMs together) on these hosts, and "
        "what is used of them.",
    ),
    "serviceList": Method(
        "past",
        "services",
        Role.READ,
        (("array",), ("array", "struct")),
        "The services of this host, as Nova's os-services. Members: host, binary (exactly).",
    ),
    "serviceUpdate": Method(
        "past",
        "change",
        Role.SWITCH,
        (("struct", "string", "struct"),),
        "Changes the service of an id. Members: status (enabled, disabled), disabled_reason, "
        "forced_down (boolean). Returns it as it is then.",
    ),
    "vmActions": Method(
        "past",
        "actions",
        Role.READ,
        (("array",), ("array", "struct")),
        "What was done to VMs, newest first, as Nova's instance actions. Members: vm, limit, "
        "marker (request_id of the last one of the page before), since, before (times, ISO 8601).",
    ),
    "vmAction": Method(
        "past",
        "action",
        Role.READ,
        (("struct", "string", "string"),),
        "One action of a VM, by its request_id, with its events.",
    ),
    "vmFaults": Method(
        "past",
        "faults",
        Role.READ,
        (("array",), ("array", "struct")),
        "What went wrong with VMs, newest first. Members: vm, limit, since (a time, ISO 8601).",
    ),
    "projectUsage": Method(
        "past",
        "usage",
        Role.READ,
        (("struct",), ("struct", "struct")),
        "What each owner used over a period, as Nova's simple tenant usage. Members: start, end "
        "(times, ISO 8601), project, detailed (boolean: with each VM), limit, marker.",
    ),
    "system.listMethods": Method(
        "system",
        "list_methods",
        NO_ROLES,
        (("array",),),
        "The names of all methods.",
    ),
    "system.methodHelp": Method(
        "system",
        "method_help",
        NO_ROLES,
        (("string", "string"),),
        "What a method does, in words.",
    ),
    "system.multicall": Method(
        "system",
        "multicall",
        NO_ROLES,
        (("array", "array"),),
        "Several calls in one: an array of structs methodName and params. Of each an array with "
        "its result, or a fault as a struct.",
    ),
    "system.methodSignature": Method(
        "system",
        "method_signature",
        NO_ROLES,
        (("array", "string"),),
        "The types of a method: arrays of the result's type and those of its parameters.",
    ),
}
