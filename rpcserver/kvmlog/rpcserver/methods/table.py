# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of methods: names, signatures, roles and help. In full: docs/rpc.md.

A method is found in METHODS and nowhere else: no attribute of anything is ever
looked up by a name that a client sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.auth.caller import NO_ROLES, Role
from kvmlog.rpcserver.methods import host, legacy, records, statistics, switch, system
from kvmlog.rpcserver.methods.call import Call, Method

__all__ = ["METHODS", "Call", "Method", "call_method", "find"]


def find(name: str) -> Method:
    """Returns the method of a name, with its role; raises Fault UNKNOWN_METHOD for none."""
    return system.found(METHODS, name)


def call_method(name: str, call: Call) -> object:
    """Returns a method's result; raises Fault for whatever goes wrong."""
    method = find(name)
    if not method.takes(len(call.parameters)):
        counts = sorted({len(signature) - 1 for signature in method.signatures})
        raise faults.fault(
            faults.INVALID_PARAMETERS,
            f"{name} takes {' or '.join(map(str, counts))} parameter(s), not "
            f"{len(call.parameters)}.",
        )
    return method.run(call)


_SWITCH: Final = Method(
    legacy.switch,
    Role.SWITCH,
    (("string", "string"), ("string", "boolean"), ("string", "int")),
    "Switches tracing of all guests on or off; 'true' once the bridge has done it.",
)
_LOG: Final = Method(
    legacy.log_text,
    Role.READ,
    (("string",),),
    "The newest 1,024 exits as text, 9 characters each, newest first; 'none' without any.",
)
_TABLE: Final[dict[str, Method]] = {}

# The only place where a method's public name stands.
METHODS: Final[Mapping[str, Method]] = _TABLE
_TABLE.update(
    {
        "kvmLogSwitch": _SWITCH,
        "kvmLogSwitchSC": _SWITCH,
        "getKvmLog": _LOG,
        "getKvmLogSC": _LOG,
        "kvmLogStatus": Method(
            legacy.log_status,
            Role.READ,
            (("struct",),),
            "What bridge and ring are doing, as a flat struct of strings.",
        ),
        "kvmSwitch": Method(
            switch.switch,
            Role.SWITCH,
            (("struct", "struct"),),
            "Switches tracing. Members: on (boolean); with true also vm (array of names, UUIDs, "
            "pids), for_s (seconds), one_in, on_ms and off_ms (sampling), max_per_s (cap). Returns "
            "what was granted.",
        ),
        "kvmStatus": Method(
            host.status,
            Role.READ,
            (("struct",),),
            "All that bridge and ring tell: bridge, ring, or bridge_error and ring_error.",
        ),
        "kvmRecords": Method(
            records.records,
            Role.READ,
            (("struct",), ("struct", "struct")),
            "Records, the newest or from a position on. Members: count, since and ring_id "
            "(next_index and ring_id of an earlier reply), vm, reason (arrays), slower_than_ns, "
            "form (binary: one block; structs: at most 1,024).",
        ),
        "kvmStatistics": Method(
            statistics.statistics,
            Role.READ,
            (("struct",), ("struct", "struct")),
            "Exits counted by guest and reason, and who spent the time. Members: by (array of "
            "guest, reason, vcpu, detail, return), vm (array), sort, top, halts (boolean), over_s "
            "(seconds from now; without: since the statistics began).",
        ),
        "kvmPending": Method(
            records.pending,
            Role.READ,
            (("struct",), ("struct", "struct")),
            "vCPUs that are in an exit now, longest first. Members: vm (array), form (structs or "
            "binary).",
        ),
        "kvmGuests": Method(
            host.guests,
            Role.READ,
            (("struct",), ("struct", "struct")),
            "The guests of the host. Members: all (boolean; those that have ended, too).",
        ),
        "kvmExplain": Method(
            host.explained,
            Role.READ,
            (("array",), ("array", "string"), ("array", "string", "string")),
            "What an exit reason (name or number; without: all) is, what causes many of it, what "
            "to try; second: of vmx, svm or arm64 only.",
        ),
        "system.listMethods": Method(
            system.list_methods(_TABLE),
            NO_ROLES,
            (("array",),),
            "The names of all methods.",
        ),
        "system.methodHelp": Method(
            system.method_help(_TABLE),
            NO_ROLES,
            (("string", "string"),),
            "What a method does, in words.",
        ),
        "system.methodSignature": Method(
            system.method_signature(_TABLE),
            NO_ROLES,
            (("array", "string"),),
            "The types of a method: arrays of the result's type and those of its parameters.",
        ),
    }
)
