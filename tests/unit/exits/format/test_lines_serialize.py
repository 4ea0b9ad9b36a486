# SPDX-License-Identifier: GPL-2.0-or-later
"""Readable lines and JSON objects, from records as the C structs lay them out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kvmlog.exits.format import lines, serialize
from kvmlog.guests.labels import Label
from kvmlog.guests.names import Guest
from kvmlog.native import lib
from kvmlog.ring.records import Record, decode_record
from tests.support import records as make

WALL_NS = 1_700_000_000_123_456_789  # 2023-11-14 22:13:20.123456789 UTC
NESTED = lib.KVMLOG_F_NESTED
TIME = "11-14 23:13:20.123456"
OFFSET_S = 3_600
UUID = "11111111-2222-3333-4444-555555555555"
GUEST = Guest(4242, 7, comm="qemu-system-x86", kind="qemu", name="web1", named=True, uuid=UUID)


def line(record: bytes) -> str:
    """The line of one record, taken at WALL_NS, an hour east of UTC."""
    return lines.format_record(decode_record(record), WALL_NS, OFFSET_S)


def test_exit_line_has_all_columns() -> None:
    """Every column stands under its head, and the notes say what else there is."""
    record = make.exit_bytes(
        reason=0x7B,
        detail=0x3F8,
        guest=12,
        vcpu=3,
        cpu=41,
        total_ns=12_345,
        user_ns=8_000,
        user_reason=2,
        user_exits=1,
        flags=lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_USER_REASON | lib.KVMLOG_F_MIGRATED,
    )
    assert line(record).split() == [
        *TIME.split(),
        *("12", "3", "41", "io", "port", "0x3f8", "(com1)", "12.3us", "8.00us", "-"),
        *("KVM_EXIT_IO,", "migrated"),
    ]
    for column, value in (("VCPU", "3"), ("CPU", "41"), ("TOTAL", "12.3us"), ("VMM", "8.00us")):
        end = lines.HEADER.index(f" {column} ") + 1 + len(column)
        assert line(record)[:end].endswith(value)


def test_a_guest_has_its_name_in_its_column() -> None:
    """Numbers and names begin under the head, and move no other column."""
    record = decode_record(make.exit_bytes(reason=0x7B, guest=12, vcpu=3))
    shown = lines.format_record(record, WALL_NS, OFFSET_S, Label("sixteen-letters1", GUEST))
    assert shown.split()[2:5] == ["sixteen-letters1", "3", "0"]
    at = lines.HEADER.index("GUEST")
    assert shown[at:].startswith("sixteen-letters1 ")
    bare = lines.format_record(record, WALL_NS, OFFSET_S)
    assert bare[at:].startswith("12 ")
    assert bare[at + 16 :] == shown[at + 16 :]


def test_an_announced_guest_is_told_by_name_and_uuid() -> None:
    """The sentence has the name and the UUID only where they are the guest's own."""
    record = decode_record(make.guest_bytes(b"qemu-system-x86", guest=3, tgid=4242))

    def reported(guest: Guest) -> str:
        return lines.format_record(record, WALL_NS, OFFSET_S, Label("x", guest)).split(" -- ")[1]

    process = "process 4242 (qemu-system-x86), started 0ns after boot"
    assert reported(GUEST) == f"guest 3 is web1 (uuid {UUID}), {process}"
    assert reported(replace(GUEST, uuid=None)) == f"guest 3 is web1, {process}"
    assert reported(replace(GUEST, uuid=None, named=False)) == f"guest 3 is {process}"


def test_json_has_the_guest_where_it_is_known() -> None:
    """Name, UUID or null, and pid; of announcements too."""
    for raw in (make.exit_bytes(reason=0x7B), make.guest_bytes(b"q")):
        record = decode_record(raw)
        found = serialize.record_object(record, WALL_NS, OFFSET_S, GUEST)
        reported = {key: value for key, value in found.items() if key.startswith("guest_")}
        assert reported == {
            "guest_name": "web1",
            "guest_uuid": UUID,
            "guest_pid": 4242,
            "guest_running": True,
        }
        gone = replace(GUEST, ended_realtime_ns=WALL_NS)
        found = serialize.record_object(record, WALL_NS, OFFSET_S, gone)
        assert found["guest_running"] is False
        bare = serialize.record_object(record, WALL_NS, OFFSET_S)
        assert not [key for key in bare if key.startswith("guest_")]


def test_invalid_detail_is_not_shown() -> None:
    """The field means nothing without its flag, whatever it holds."""
    assert "0x3f8" not in line(make.exit_bytes(reason=0x7B, detail=0x3F8))


def test_a_long_detail_moves_no_other_column() -> None:
    """It begins further left, where its reason leaves room."""
    fields = {"reason": 0x7C, "total_ns": 7, "flags": lib.KVMLOG_F_DETAIL_VALID}
    shown = line(make.exit_bytes(**fields, detail=0x4B564D05))
    assert shown.split()[5:9] == ["msr", "msr", "0x4b564d05", "(kvm-poll-control)"]
    end = lines.HEADER.index(" TOTAL ") + len(" TOTAL")
    assert shown[end - 4 : end] == " 7ns"


def test_vmx_register_access_is_shown_with_its_direction() -> None:
    """If the qualification is valid."""
    flags = lib.KVMLOG_F_DETAIL_VALID
    fields = {"isa": lib.KVMLOG_ISA_VMX, "reason": 28, "detail": 3, "info1": 0x13}
    assert " cr3 " in line(make.exit_bytes(**fields, flags=flags))
    shown = line(make.exit_bytes(**fields, flags=flags | lib.KVMLOG_F_INFO_VALID))
    assert " mov from cr3 " in shown


def test_flags_in_words() -> None:
    """Each flag that says something has its words; times of waiting are summed."""
    record = make.exit_bytes(
        reason=0x78,
        halt_ns=2_000_000_000,
        total_ns=2_000_001_000,
        user_exits=3,
        user_reason=10,
        user_errno=-11,
        delay_kernel_us=5,
        delay_user_us=7,
        flags=lib.KVMLOG_F_NESTED
        | lib.KVMLOG_F_PROTECTED
        | lib.KVMLOG_F_NO_REENTRY
        | lib.KVMLOG_F_HALT_SLEPT
        | lib.KVMLOG_F_USER_REASON
        | lib.KVMLOG_F_USER_EINTR
        | lib.KVMLOG_F_DELAY_VALID,
    )
    assert line(record).endswith(
        "KVM_EXIT_INTR, EAGAIN, 3 returns to the VMM, nested, protected, no re-entry, slept, "
        "interrupted, waited 12.0us for a CPU"
    )


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (NESTED, "nested"),
        (NESTED | lib.KVMLOG_F_NESTED_L0, "nested, by L0"),
        (NESTED | lib.KVMLOG_F_NESTED_L1, "nested, to L1"),
    ],
)
def test_who_handles_an_exit_of_a_nested_guest(flags: int, note: str) -> None:
    """The host or the guest's hypervisor, whose hypercalls and devices have no names here."""
    call = {"reason": 0x81, "detail": 5, "flags": flags | lib.KVMLOG_F_DETAIL_VALID}
    text = line(make.exit_bytes(**call))
    assert text.endswith(note)
    assert "hypercall 5  " in text
    fault = {**call, "reason": 0x400, "detail": 0xFEE000B0}
    found = serialize.record_object(decode_record(make.exit_bytes(**fault)), 0, 0)
    assert found["detail_words"] == "gpa 0xfee000b0"
    assert not found.keys() & {"detail_name", "detail_note"}


@pytest.mark.parametrize(
    ("paused_ns", "vmm", "note"),
    [
        (0, "3.25s", "interrupted"),
        (999_999, "3.25s", "interrupted"),
        (1_000_000, "3.25s", "paused 1.00ms"),
        (3_200_000_000, "50.0ms", "paused 3.20s"),
        (3_250_000_000, "-", "paused 3.25s"),
    ],
)
def test_a_pause_is_told_and_is_no_time_of_the_vmm(paused_ns: int, vmm: str, note: str) -> None:
    """An interruption that held the vCPU for long; a short one is only named."""
    times = {"total_ns": 3_250_001_000, "user_ns": 3_250_000_000, "paused_ns": paused_ns}
    flags = lib.KVMLOG_F_USER_REASON | lib.KVMLOG_F_USER_EINTR
    record = make.exit_bytes(reason=0x7B, **times, user_exits=2, user_reason=2, flags=flags)
    shown = line(record)
    assert shown.split()[6:9] == ["3.25s", vmm, "-"]
    assert shown.endswith(f"  KVM_EXIT_IO, 2 returns to the VMM, {note}")
    assert serialize.record_object(decode_record(record), WALL_NS, 0)["paused_ns"] == paused_ns


@pytest.mark.parametrize(
    ("isa", "reason"),
    [
        (lib.KVMLOG_ISA_VMX, 12),
        (lib.KVMLOG_ISA_SVM, 0x78),
        (lib.KVMLOG_ISA_SVM, 0xA6),
        (lib.KVMLOG_ISA_ARM64, 0x01),
    ],
)
def test_a_halt_under_way_is_told_up_to_now(isa: int, reason: int) -> None:
    """KVM tells how long one was at its end; not if the vCPU was interrupted in it."""
    record = {"isa": isa, "reason": reason, "total_ns": 3_250_000_000}
    under_way = line(make.exit_bytes(**record, flags=lib.KVMLOG_F_NO_REENTRY))
    assert under_way.split()[-5:] == ["3.25s", "-", "3.25s", "no", "re-entry"]
    ended = line(make.exit_bytes(**record, flags=0))
    assert ended.split()[-3:] == ["3.25s", "-", "-"]
    flags = lib.KVMLOG_F_NO_REENTRY | lib.KVMLOG_F_USER_EINTR
    left = line(make.exit_bytes(**record, user_exits=1, flags=flags))
    assert left.split()[-6:] == ["3.25s", "-", "-", "no", "re-entry,", "interrupted"]


def test_what_goes_without_saying_is_left_out() -> None:
    """The flag that all pending exits share, no re-entry, can be left out."""
    flags = lib.KVMLOG_F_NO_REENTRY | lib.KVMLOG_F_NESTED
    record = decode_record(make.exit_bytes(reason=0x78, flags=flags))
    assert isinstance(record, Record)
    assert lines.exit_cells(record).notes == "nested, no re-entry"
    assert lines.exit_cells(record, unsaid=lib.KVMLOG_F_NO_REENTRY).notes == "nested"


def test_a_pause_is_not_told_without_its_flag() -> None:
    """Only KVM_RUN's -EINTR begins one."""
    assert "paused" not in line(make.exit_bytes(reason=0x7B, paused_ns=10**9))


def test_vmx_flags_are_shown_beside_the_name() -> None:
    """The name column has the basic reason; the flag is a note."""
    shown = line(make.exit_bytes(isa=lib.KVMLOG_ISA_VMX, reason=0x80000021))
    assert " INVALID_STATE " in shown
    assert shown.endswith("FAILED_VMENTRY")


RETURN = {
    "isa": lib.KVMLOG_ISA_NONE,
    "source": lib.KVMLOG_SOURCE_BPF,
    "vcpu": lib.KVMLOG_NO_VCPU,
    "user_exits": 1,
}


@pytest.mark.parametrize(
    ("flags", "user_reason", "user_errno", "shown"),
    [
        (lib.KVMLOG_F_USER_REASON, 6, 0, "KVM_EXIT_MMIO - - -"),
        (lib.KVMLOG_F_USER_REASON, 7, 0, "KVM_EXIT_IRQ_WINDOW_OPEN - - -"),
        (lib.KVMLOG_F_USER_REASON, 39, -14, "KVM_EXIT_MEMORY_FAULT - - - EFAULT"),
        (lib.KVMLOG_F_USER_EINTR, 0, 0, "- - - - interrupted"),
    ],
)
def test_without_a_reason_the_return_is_named(
    flags: int, user_reason: int, user_errno: int, shown: str
) -> None:
    """No reason 0x0, no time of 0 ns, and no re-entry goes without saying; columns hold."""
    record = make.exit_bytes(
        **RETURN,
        user_reason=user_reason,
        user_errno=user_errno,
        flags=flags | lib.KVMLOG_F_NO_REENTRY,
    )
    assert line(record).split() == [*TIME.split(), "1", "-", "0", *shown.split()]
    total = lines.HEADER.index(" TOTAL ") + len(" TOTAL")
    assert line(record)[total - 2 : total] == " -"


def test_what_is_known_without_an_isa_is_shown() -> None:
    """Another module's record may have a reason that has no table, and times."""
    record = make.exit_bytes(isa=lib.KVMLOG_ISA_NONE, reason=9, total_ns=7)
    assert line(record).split()[5:] == ["0x9", "7ns", "-", "-"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            make.guest_bytes(b"qemu-kvm", guest=3, tgid=812, start_boottime_ns=61_000_000_000),
            "guest 3 is process 812 (qemu-kvm), started 61.0s after boot",
        ),
        (
            make.guest_bytes(b"a\x1b[2J\xff", guest=4, tgid=1),
            "guest 4 is process 1 (a\\x1b[2J\\xff), started 0ns after boot",
        ),
        (
            make.loss_bytes(lost=65_536, cause=lib.KVMLOG_LOSS_BUFFER_FULL, cpu=2, total=70_000),
            "LOST 65,536 records on CPU 2: the source's buffers were full; "
            "70,000 since switched on",
        ),
        (
            make.loss_bytes(lost=1, cause=lib.KVMLOG_LOSS_MESSAGE, cpu=0, total=1),
            "LOST 1 message on CPU 0: messages of the source did not arrive; 1 since switched on",
        ),
        (
            make.loss_bytes(lost=0, cause=lib.KVMLOG_LOSS_RESTART),
            "LOST an unknown number of records: the bridge ended without stopping",
        ),
        (make.loss_bytes(lost=2, cause=77), "LOST 2 records: cause 77"),
        (
            make.switch_bytes(
                on=1,
                cause=lib.KVMLOG_SWITCH_COMMAND,
                one_in=100,
                on_ms=5,
                off_ms=95,
                filter_tgids=2,
                config_epoch=7,
            ),
            "tracing is on: by command, one exit in 100 on average, "
            "sampling window 5 ms on, 95 ms off, only 2 chosen process(es) (configuration 7)",
        ),
        (
            make.switch_bytes(on=0, cause=lib.KVMLOG_SWITCH_RECEIVER_GONE),
            "tracing is off: the receiver closed its socket",
        ),
        (make.clock_bytes(event=lib.KVMLOG_CLOCK_ANCHOR), "clocks noted"),
        (
            make.clock_bytes(event=lib.KVMLOG_CLOCK_STEP, delta_ns=-1_500_000_000),
            "wall time was set back by 1.50s",
        ),
        (
            make.clock_bytes(event=lib.KVMLOG_CLOCK_STEP, delta_ns=20_000_000),
            "wall time was set forward by 20.0ms",
        ),
        (
            make.clock_bytes(event=lib.KVMLOG_CLOCK_SUSPEND, delta_ns=7_200_000_000_000),
            "the host slept for 120m00s",
        ),
        (
            make.clock_bytes(event=lib.KVMLOG_CLOCK_ZONE, delta_ns=-1_800_000_000_000),
            "local time was moved back by 30m00s",
        ),
        (make.cpu_bytes(cpu=5, online=1), "host CPU 5 went online"),
        (make.cpu_bytes(cpu=5, online=0), "host CPU 5 went offline"),
        (
            bytes([200]) + make.cpu_bytes()[1:],
            "a record of type 200, which this version of kvmlog does not know",
        ),
    ],
)
def test_other_records_are_sentences(record: bytes, words: str) -> None:
    """The words stand after the time."""
    assert line(record) == f"{TIME} -- {words}"


def test_exit_object_has_numbers_and_names() -> None:
    """Every valid field as a number, with its name beside it."""
    record = make.exit_bytes(
        reason=0x400,
        detail=0xFEE000B0,
        rip=2**64 - 1,
        exit_ns=99,
        flags=lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_RIP_VALID,
    )
    found = json.loads(
        json.dumps(serialize.record_object(decode_record(record), WALL_NS, OFFSET_S))
    )
    expected = {
        "time": "2023-11-14T23:13:20.123456789+01:00",
        "wall_ns": WALL_NS,
        "exit_ns": 99,
        "type_name": "exit",
        "isa": 2,
        "isa_name": "svm",
        "source_name": "kmod",
        "reason": 0x400,
        "reason_name": "npf",
        "detail": 0xFEE000B0,
        "detail_kind": "gpa",
        "rip": 2**64 - 1,
        "flag_names": ["detail_valid", "rip_valid"],
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"reason": 0x400, "user_reason": 6, "flags": lib.KVMLOG_F_USER_REASON}, "ecam 00:1f.2"),
        ({"reason": 0x400, "user_reason": 2, "flags": lib.KVMLOG_F_USER_REASON}, None),
        ({"reason": 0x400, "user_reason": 6}, None),
        ({"isa": lib.KVMLOG_ISA_VMX, "reason": 49}, "ecam 00:1f.2"),
        ({"isa": lib.KVMLOG_ISA_VMX, "reason": 48}, None),
    ],
)
def test_an_address_that_no_ram_has_is_a_devices(fields: dict[str, int], name: str | None) -> None:
    """Lines and objects alike name what is likely at an address that the VMM emulated."""
    flags = fields.pop("flags", 0) | lib.KVMLOG_F_DETAIL_VALID
    record = make.exit_bytes(detail=0xB00FA040, flags=flags, **fields)
    found = serialize.record_object(decode_record(record), WALL_NS, OFFSET_S)
    words = "gpa 0xb00fa040" + (f" ({name})" if name else "")
    assert (found.get("detail_name"), found["detail_words"]) == (name, words)
    assert f" {words}  " in line(record)


def test_json_keeps_all_bits_where_its_numbers_are_doubles() -> None:
    """What jq and browsers make of the numbers is not what was recorded; the texts are."""
    bits = {"rip": 2**64 - 1, "info1": 2**63 + 1, "info2": 2**53 + 1, "detail": 2**64 - 2**11 - 1}
    flags = lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_RIP_VALID | lib.KVMLOG_F_INFO_VALID
    record = decode_record(make.exit_bytes(reason=0x81, flags=flags, **bits))
    text = json.dumps(serialize.json_object(record, WALL_NS, OFFSET_S))
    found = json.loads(text, parse_int=float)
    assert all(found[name] != value for name, value in bits.items())
    assert {name: int(found[f"{name}_hex"], 16) for name in bits} == bits
    assert found["wall_ns"] != WALL_NS
    assert found["time"] == "2023-11-14T23:13:20.123456789+01:00"
    assert json.loads(text)["rip"] == bits["rip"]
    without = serialize.json_object(decode_record(make.exit_bytes(reason=0x78)), WALL_NS, OFFSET_S)
    assert not [name for name in without if name.endswith("_hex")]


def test_exit_object_tells_what_the_cpu_said() -> None:
    """Only if info1 and info2 are valid, and only what there is to tell."""
    fields = {"isa": lib.KVMLOG_ISA_VMX, "reason": 48, "detail": 0xFEE00300, "info1": 0x182}
    flags = lib.KVMLOG_F_DETAIL_VALID | lib.KVMLOG_F_INFO_VALID
    record = decode_record(make.exit_bytes(**fields, flags=flags))
    found = json.loads(json.dumps(serialize.record_object(record, WALL_NS, 0)))
    assert found["detail_name"] == "lapic icr"
    assert found["detail_note"] == "local APIC in xAPIC mode"
    assert found["info_words"] == "write, nothing mapped"
    assert found["info_facts"]["access"] == ["write"]
    record = decode_record(make.exit_bytes(**fields, flags=lib.KVMLOG_F_DETAIL_VALID))
    assert not {"info_words", "info_facts"} & serialize.record_object(record, WALL_NS, 0).keys()
    record = decode_record(make.exit_bytes(reason=0x78, flags=lib.KVMLOG_F_INFO_VALID))
    reported = {"info_words", "info_facts", "detail_name", "detail_note"}
    assert not reported & serialize.record_object(record, WALL_NS, 0).keys()


def test_exit_object_leaves_out_what_is_not_valid() -> None:
    """A zero that was never measured does not appear."""
    found = serialize.record_object(decode_record(make.exit_bytes(reason=0x78)), WALL_NS, 0)
    absent = {"rip", "info1", "info2", "detail", "user_reason", "user_errno", "delay_user_us"}
    assert not absent & found.keys()


def test_exit_object_claims_no_reason_that_is_not_known() -> None:
    """A return from KVM_RUN has that alone; a known time or reason brings all fields back."""
    fields = {"flags": lib.KVMLOG_F_USER_REASON | lib.KVMLOG_F_NO_REENTRY, "user_reason": 2}
    found = serialize.record_object(decode_record(make.exit_bytes(**RETURN, **fields)), WALL_NS, 0)
    exits_own = {"reason", "reason_name", "reason_flags"}
    exits_own |= {"total_ns", "user_ns", "halt_ns", "paused_ns"}
    assert not exits_own & found.keys()
    assert (found["isa_name"], found["user_reason_name"]) == ("none", "KVM_EXIT_IO")
    assert (found["vcpu"], found["flag_names"]) == (None, ["no_reentry", "user_reason"])
    for known in ({"reason": 9}, {"total_ns": 7}):
        record = decode_record(make.exit_bytes(**RETURN, **fields, **known))
        assert exits_own <= serialize.record_object(record, WALL_NS, 0).keys()


@pytest.mark.parametrize(
    "record",
    [
        make.guest_bytes(b"x"),
        make.loss_bytes(),
        make.switch_bytes(),
        make.clock_bytes(),
        make.cpu_bytes(),
        bytes([200]) + make.cpu_bytes()[1:],
    ],
)
def test_every_record_is_json(record: bytes) -> None:
    """No type has a field that JSON cannot carry."""
    found = serialize.record_object(decode_record(record), WALL_NS, 0)
    assert json.loads(json.dumps(found))["words"]
