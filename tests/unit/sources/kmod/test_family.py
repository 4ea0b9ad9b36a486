# SPDX-License-Identifier: GPL-2.0-or-later
"""The family's socket against this machine's kernel, and its messages against their bytes.

The control family of generic netlink, which every kernel has, answers in the place of ours.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Iterator

import pytest
from pyroute2.netlink import GENL_ID_CTRL, NLM_F_ACK, NLM_F_DUMP, ctrlmsg, genlmsg
from pyroute2.netlink.exceptions import NetlinkError

from kvmlog.native import ffi, lib
from kvmlog.sources.base import CpuStatus, SourceCost, SwitchConfig
from kvmlog.sources.btf import Field, KernelTypes
from kvmlog.sources.kmod.family import (
    Kvmlog,
    Message,
    configure_message,
    parse_cost,
    parse_counters,
    parse_status,
)

GETFAMILY = 3  # CTRL_CMD_GETFAMILY


class ControlFamily(Kvmlog):
    """The same socket on the control family."""

    family_name = "nlctrl"
    message_class = ctrlmsg


@pytest.fixture
def control() -> Iterator[ControlFamily]:
    """Open for one test."""
    link = ControlFamily()
    yield link
    link.close()


def family_request(name: str | None = None) -> ctrlmsg:
    """Return a request for the family of that name, or for all of them."""
    message = ctrlmsg()
    message["cmd"] = GETFAMILY
    message["version"] = 1
    if name is not None:
        message["attrs"] = [("CTRL_ATTR_FAMILY_NAME", name)]
    return message


def test_a_family_is_found_by_its_name(control: ControlFamily) -> None:
    """Family nlctrl is always number 16, and the socket knows its own port id."""
    assert control.prid == GENL_ID_CTRL
    (found,) = control.request(family_request("nlctrl"))
    assert found.get_attr("CTRL_ATTR_FAMILY_ID") == GENL_ID_CTRL
    assert control.port_id == control.getsockname()[0] > 0


def test_a_missing_family_is_enoent(caplog: pytest.LogCaptureFixture) -> None:
    """The error has errno's own words, nothing is logged, and no descriptor stays open."""

    class Missing(Kvmlog):
        family_name = "no_such_family"

    before = os.listdir("/proc/self/fd")
    with caplog.at_level(logging.INFO), pytest.raises(NetlinkError) as refused:
        Missing()
    assert refused.value.code == errno.ENOENT
    assert refused.value.args[1] == os.strerror(errno.ENOENT)
    assert caplog.records == []
    assert os.listdir("/proc/self/fd") == before


def test_a_refusal_carries_the_kernels_own_words(control: ControlFamily) -> None:
    """The extended ack's text stands behind the refused request (a name that is too long)."""
    for length in (40, 41, 42, 43):  # each alignment of the request
        with pytest.raises(NetlinkError) as refused:
            control.request(family_request("x" * length))
        assert refused.value.code == errno.EINVAL
        assert refused.value.args[1] == "Attribute failed policy validation"


def test_a_dump_gives_all_its_messages(control: ControlFamily) -> None:
    """It is read over several datagrams, until its end."""
    families = control.request(family_request(), NLM_F_DUMP)
    assert "nlctrl" in {family.get_attr("CTRL_ATTR_FAMILY_NAME") for family in families}
    # The next request is not confused by what came before.
    (found,) = control.request(family_request("nlctrl"))
    assert found.get_attr("CTRL_ATTR_FAMILY_ID") == GENL_ID_CTRL


def test_an_unread_ack_does_not_disturb_the_next_request(control: ControlFamily) -> None:
    """A reply ends a request, though its ack is still to come."""
    for _ in range(600):  # more than the sequence numbers that are kept back
        (found,) = control.request(family_request("nlctrl"), NLM_F_ACK)
        assert found.get_attr("CTRL_ATTR_FAMILY_NAME") == "nlctrl"
    assert control.backlog == {0: []}


def test_two_sockets_have_two_port_ids(control: ControlFamily) -> None:
    """A second socket of the process, as the receiver is, is told from the first."""
    other = ControlFamily()
    assert other.port_id != control.port_id
    assert other.gettimeout() == control.gettimeout() == 5.0
    other.close()


def decoded(message: genlmsg) -> Message:
    """Return the message that its bytes decode to."""
    message.encode()
    result = Message(bytes(message.data))
    result.decode()
    return result


def test_a_configuration_survives_its_encoding() -> None:
    """The module reads every field as it was given."""
    config = SwitchConfig(on=True, tgids=(7, 70_000), one_in=10, on_ms=5, off_ms=95)
    types = KernelTypes(
        {"kvm_exit": "struct kvm_vcpu *, unsigned int"}, {"kvm_vcpu.arch.regs": Field(320, 136)}
    )
    message = decoded(configure_message(config, types))
    assert message["cmd"] == lib.KVMLOG_CMD_CONFIGURE
    status = parse_status(message)
    assert (status.on, status.tgids, status.one_in) == (True, (7, 70_000), 10)
    assert (status.on_ms, status.off_ms) == (5, 95)
    assert status.prototypes == {"kvm_exit": "struct kvm_vcpu *, unsigned int"}
    assert status.fields == ("kvm_vcpu.arch.regs",)
    (member,) = message.get_attrs("KVMLOG_A_FIELD")
    numbers = [member.get_attr(f"KVMLOG_FIELD_A_{name}") for name in ("OFFSET", "BYTES")]
    assert numbers == [320, 136]


def test_a_plain_configuration_says_only_its_state() -> None:
    """Defaults are left to the module."""
    assert configure_message(SwitchConfig(on=False), KernelTypes())["attrs"] == [
        ("KVMLOG_A_STATE", 0)
    ]


def test_a_status_is_read_whole() -> None:
    """It holds nested CPUs, 64-bit counts, and counters of a shorter, older struct."""
    message = Message()
    message["cmd"] = lib.KVMLOG_CMD_GET_STATUS
    cpu = [
        ("KVMLOG_CPU_A_ID", 3),
        ("KVMLOG_CPU_A_DROPPED", 2**40),
        ("KVMLOG_CPU_A_MESSAGES", 9),
        ("KVMLOG_CPU_A_BYTES", 32_768),
    ]
    message["attrs"] = [
        ("KVMLOG_A_STATE", 1),
        ("KVMLOG_A_WAITING_FOR", "kvm_amd"),
        ("KVMLOG_A_COUNTERS", (5).to_bytes(8, "little")),
        ("KVMLOG_A_RECEIVER", 4711),
        ("KVMLOG_A_STOPPING", 1),
        ("KVMLOG_A_NOTES_LOST", 2**33),
        ("KVMLOG_A_CPU", {"attrs": cpu}),
    ]
    status = parse_status(decoded(message))
    assert (status.on, status.waiting_for, status.receiver) == (True, "kvm_amd", 4711)
    assert (status.counters["seen"], status.counters["emitted"]) == (5, 0)
    assert (status.stopping, status.notes_lost) == (True, 2**33)
    assert status.cpus == {3: CpuStatus(dropped=2**40, messages=9, buffer_bytes=32_768)}


def test_counters_of_a_newer_struct_are_cut() -> None:
    """Fields behind those that this build knows are ignored."""
    assert parse_counters(bytes([1, *bytes(7)]) * 100)["notes"] == 1


def test_timed_probes_stand_for_all() -> None:
    """One in 1,024 was timed; the worker all the time."""
    assert parse_cost(struct.pack("=3Q", 700, 3, 55)) == SourceCost(700 * 1024, 55, timed=3)
    assert ffi.sizeof("struct kvmlog_cost") == 24 + 16 + 8 * 32


def test_the_spread_of_timed_probes_is_told() -> None:
    """Upper ends of the buckets that hold half of them, and 95 in 100; outliers are counted."""
    samples = [0] * 32
    samples[8], samples[10], samples[24] = 60, 39, 1  # up to 256 ns, 1,024 ns, 16 ms
    cost = parse_cost(struct.pack("=5Q32Q", 30_000, 100, 0, 1, 9_000_000, *samples))
    assert (cost.timed, cost.outliers) == (100, 1)
    assert (cost.p50_ns, cost.p95_ns) == (256, 1024)


def test_an_older_module_reports_no_cost() -> None:
    """Fields that it does not report are zero."""
    assert parse_cost(b"") == SourceCost(0, 0)
    assert parse_cost(struct.pack("=2Q", 700, 3)) == SourceCost(700 * 1024, 0, timed=3)


def test_only_the_budget_is_sent_as_a_cause() -> None:
    """A module that knows no causes takes all other commands."""
    names = [name for name, _ in configure_message(SwitchConfig(on=False), KernelTypes())["attrs"]]
    assert names == ["KVMLOG_A_STATE"]
    budget = SwitchConfig(on=False, cause=lib.KVMLOG_SWITCH_BUDGET)
    assert ("KVMLOG_A_CAUSE", lib.KVMLOG_SWITCH_BUDGET) in configure_message(budget, KernelTypes())[
        "attrs"
    ]
