# SPDX-License-Identifier: GPL-2.0-or-later
"""The columns of exported records: docs/export.md has this table.

Names are those of `kvmlog dump --json`, times in ns unless named otherwise. All kinds of records
are rows of one table, told apart by `type`. Integers are signed, since neither Spark nor Trino
has others: the 64 bits of addresses are kept as they are, so that those of a kernel are negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TEXT: Final = "text"
INT: Final = "int64"
SMALL: Final = "int32"
TRUTH: Final = "bool"
TIME: Final = "timestamp[us, UTC]"

EVERY: Final = "every record"
EXITS: Final = "exits"


@dataclass(frozen=True)
class Field:
    """A column; null where `has` does not hold for the record."""

    name: str
    kind: str
    unit: str
    has: str
    meaning: str

    @property
    def nullable(self) -> bool:
        """Whether a row may have none."""
        return self.has != EVERY


_NOTED: Final = "exits with a re-entry or a return"
_OF_A_GUEST: Final = "exits and announcements of known guests"
_TIMED: Final = "exits whose reason is known"
_RETURNED: Final = "exits with a return to the VMM"

FIELDS: Final = (
    Field("type", TEXT, "", EVERY, "`exit`, `loss`, `guest`, `switch`, `clock`, `cpu`"),
    Field("time", TIME, "", EVERY, "when: of an exit, when the vCPU left the guest"),
    Field("wall_ns", INT, "ns since 1970, UTC", EVERY, "the same, to the ns (CLOCK_REALTIME)"),
    Field("monotonic_ns", INT, "ns", EVERY, "the same by CLOCK_MONOTONIC, which is never set"),
    Field("utc_offset_s", SMALL, "s", EVERY, "how far local time was east of UTC"),
    Field("recording", TEXT, "", EVERY, "the recording's identity, the same in each export of it"),
    Field("guest", INT, "", EVERY, "the source's number for the guest; 0: none"),
    Field("guest_name", TEXT, "", _OF_A_GUEST, "name; `comm:pid` for a guest without one"),
    Field("guest_uuid", TEXT, "", "guests with a UUID", "UUID, lower case, with dashes"),
    Field("guest_pid", INT, "", _OF_A_GUEST, "process"),
    Field("vcpu", SMALL, "", "records of a vCPU", "number within the guest"),
    Field("cpu", SMALL, "", "records of a CPU", "host CPU"),
    Field("tid", INT, "", EVERY, "thread that ran the vCPU"),
    Field("isa", TEXT, "", EVERY, "`svm`, `vmx`, `arm64`, `none`: whose reason it is"),
    Field("source", TEXT, "", EVERY, "`kmod`, `bpf`, `foreign`, `engine`"),
    Field("reason", INT, "", _TIMED, "exit reason as the CPU has it, VMX's flags included"),
    Field("reason_name", TEXT, "", _TIMED, "its name; a number where it has none"),
    Field("reason_flags", TEXT, "", "VMX reasons with flags", "flags in words, by `, `"),
    Field("detail", INT, "bits", "exits with a detail", "port, MSR, address, ...: 64 bits"),
    Field("detail_kind", TEXT, "", "exits with a detail", "`port`, `msr`, `gpa`, ..."),
    Field("detail_words", TEXT, "", "exits with a detail", "`port 0x3f8 (com1)`"),
    Field("user_reason", SMALL, "", _RETURNED, "`KVM_EXIT_*` of the first return"),
    Field("user_reason_name", TEXT, "", _RETURNED, "its name"),
    Field("user_errno", SMALL, "", _RETURNED, "0, or -errno of that return"),
    Field("user_exits", SMALL, "returns", EXITS, "returns from KVM_RUN during the exit"),
    Field("total_ns", INT, "ns", _TIMED, "from the exit to the re-entry: the next five together"),
    Field("kvm_ns", INT, "ns", _TIMED, "of it in KVM"),
    Field("vmm_ns", INT, "ns", _TIMED, "of it in the VMM, QEMU for example"),
    Field("wait_ns", INT, "ns", _TIMED, "of it runnable without a CPU"),
    Field("idle_ns", INT, "ns", _TIMED, "of it halted and asleep"),
    Field("paused_ns", INT, "ns", _TIMED, "of it held by the VMM after an interruption"),
    Field("halt", TRUTH, "", _TIMED, "whether the exit was a halt"),
    Field("nested", TRUTH, "", EXITS, "whether it left a guest within the guest"),
    Field(
        "handled_by", TEXT, "", "nested exits", "`l0`: this host; `l1`: the hypervisor in the guest"
    ),
    Field("user_ns", INT, "ns", _TIMED, "as recorded: after the first return from KVM_RUN"),
    Field("halt_ns", INT, "ns", _TIMED, "as recorded: halted in the kernel"),
    Field(
        "delay_kernel_us", INT, "us", "exits with measured waits", "without a CPU, in the kernel"
    ),
    Field("delay_user_us", INT, "us", "exits with measured waits", "and in the VMM"),
    Field("flag_names", TEXT, "", "exits with flags", "names of `enum kvmlog_flag`, by blanks"),
    Field("rip", INT, "bits", "exits whose RIP is known", "the guest's instruction pointer"),
    Field("info1", INT, "bits", "exits with it", "VMX: exit qualification; SVM: EXITINFO1"),
    Field("info2", INT, "bits", "exits with it", "VMX: IDT-vectoring; SVM: EXITINFO2"),
    Field("info_words", TEXT, "", "exits with words for it", "both in words"),
    Field("config_epoch", INT, "", EVERY, "number of the configuration it was taken under"),
    Field("lost", INT, "records", "losses", "missing records, or messages; 0: unknown how many"),
    Field("lost_total", INT, "records", "losses", "of this CPU since tracing was switched on"),
    Field("cause", TEXT, "", "losses, switches", "`buffer_full`, `message`, `command`, ..."),
    Field("event", TEXT, "", "clocks", "`anchor`, `step`, `suspend`, `zone`"),
    Field("delta_ns", INT, "ns", "clocks", "by how much the clock was moved"),
    Field("words", TEXT, "", "all but exits", "the record as a sentence"),
)
# Of a data set; they are in the names of its folders.
PARTITIONS: Final = (
    Field("host", TEXT, "", EVERY, "the host that was traced"),
    Field("day", TEXT, "", EVERY, "`2026-11-30`, UTC"),
)
