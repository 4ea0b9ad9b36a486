# SPDX-License-Identifier: GPL-2.0-or-later
"""Generic netlink against this machine's kernel: its own control family answers anybody."""

from __future__ import annotations

import errno

import pytest
from pyroute2.netlink import GENL_ID_CTRL, ctrlmsg, genlmsg

from kvmlog.bridge.family import Message, configure, parse_counters, parse_status
from kvmlog.bridge.genl import GenlError, GenlSocket
from kvmlog.bridge.source import CpuStatus, SwitchConfig
from kvmlog.native import lib


def test_a_family_is_found_by_its_name() -> None:
    """nlctrl is always number 16."""
    link = GenlSocket()
    assert link.family("nlctrl") == GENL_ID_CTRL
    assert link.port > 0
    link.close()


def test_a_missing_family_is_enoent() -> None:
    """In errno's own words when the kernel says nothing more."""
    link = GenlSocket()
    with pytest.raises(GenlError) as refused:
        link.family("no_such_family")
    assert refused.value.code == errno.ENOENT
    link.close()


def test_a_refusal_carries_the_kernels_own_words() -> None:
    """The extended ack's text behind the refused request (a name that is too long)."""
    link = GenlSocket()
    message = ctrlmsg()
    message["cmd"] = 3  # CTRL_CMD_GETFAMILY
    message["version"] = 1
    message["attrs"] = [("CTRL_ATTR_FAMILY_NAME", "x" * 40)]
    with pytest.raises(GenlError) as refused:
        link.request(GENL_ID_CTRL, message, ctrlmsg)
    assert refused.value.code == errno.EINVAL
    assert refused.value.text == "Attribute failed policy validation"
    link.close()


def test_a_dump_gives_all_its_messages() -> None:
    """Over several datagrams, until its end."""
    link = GenlSocket()
    message = ctrlmsg()
    message["cmd"] = 3  # CTRL_CMD_GETFAMILY
    message["version"] = 1
    families = link.request(GENL_ID_CTRL, message, ctrlmsg, dump=True)
    assert "nlctrl" in {family.get_attr("CTRL_ATTR_FAMILY_NAME") for family in families}
    # The next request is not confused by what came before.
    assert link.family("nlctrl") == GENL_ID_CTRL
    link.close()


def decoded(message: genlmsg) -> Message:
    """Through its bytes and back."""
    message.encode()
    result = Message(bytes(message.data))
    result.decode()
    return result


def test_a_configuration_survives_its_encoding() -> None:
    """What the module will read."""
    config = SwitchConfig(on=True, tgids=(7, 70_000), one_in=10, on_ms=5, off_ms=95)
    message = decoded(configure(config, {"kvm_exit": "struct kvm_vcpu *, unsigned int"}))
    assert message["cmd"] == lib.KVMLOG_CMD_CONFIGURE
    status = parse_status(message)
    assert (status.on, status.tgids, status.one_in) == (True, (7, 70_000), 10)
    assert (status.on_ms, status.off_ms) == (5, 95)
    assert status.prototypes == {"kvm_exit": "struct kvm_vcpu *, unsigned int"}


def test_a_plain_configuration_says_only_its_state() -> None:
    """Defaults are the module's."""
    assert configure(SwitchConfig(on=False), {})["attrs"] == [("KVMLOG_A_STATE", 0)]


def test_a_status_is_read_whole() -> None:
    """Nested CPUs, 64-bit counts, counters of a shorter and older struct."""
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
        ("KVMLOG_A_CPU", {"attrs": cpu}),
    ]
    status = parse_status(decoded(message))
    assert (status.on, status.waiting_for, status.receiver) == (True, "kvm_amd", 4711)
    assert (status.counters["seen"], status.counters["emitted"]) == (5, 0)
    assert status.cpus == {3: CpuStatus(dropped=2**40, messages=9, buffer_bytes=32_768)}


def test_counters_of_a_newer_struct_are_cut() -> None:
    """Fields behind those that this build knows are ignored."""
    assert parse_counters(bytes([1, *bytes(7)]) * 100)["notes"] == 1
