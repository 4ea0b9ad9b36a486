# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans for a kernel: programs and constants, from what it offers."""

from __future__ import annotations

import pytest

from kvmlog.native import lib
from kvmlog.sources.bpf import plan
from kvmlog.sources.bpf.plan import Program, kernel_version
from tests.support.scripted_btf import (
    EVENT,
    EVENT_MACROS,
    FORMAT,
    RAW,
    SVM_MACROS,
    TASK_MACROS,
    TYPED,
    VCPU,
    Event,
    ScriptedBtf,
    Switches,
    functions,
    made,
)


@pytest.fixture
def known_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running kernel is one whose sources were read."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", kernel_version())


@pytest.mark.usefixtures("known_kernel")
def test_svm_with_btf_reads_the_vcpu() -> None:
    """All programs with their types; offsets as BTF has them, of vmcb from the vCPU on."""
    found = made(ScriptedBtf(), "kvm_amd")
    assert (found.reason, found.isa, found.vendor) == ("vcpu", lib.KVMLOG_ISA_SVM, "kvm_amd")
    assert found.words == "reasons from kvm_amd's vCPU, at offsets from BTF"
    assert functions(found) == [
        ("sched_process_exit", TYPED),
        ("kvm_entry", TYPED),
        ("kvm_userspace_exit", TYPED),
        ("kvm_vcpu_wakeup", TYPED),
        ("kvm_exit", TYPED),
    ]
    assert found.programs[0] == Program(
        "kvmlog_sched_process_exit", "sched_process_exit", TYPED, 118
    )
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", TYPED, 108, "kvm")
    assert found.macros == {
        **SVM_MACROS,
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_SVM,
        "KVMLOG_REASON_VCPU": 1,
        "KVMLOG_AT_HFLAGS": 520,
        "KVMLOG_HFLAGS_IDLE": 1,
    }


@pytest.mark.usefixtures("known_kernel")
def test_the_flag_of_interrupts_left_hflags() -> None:
    """Bit 0 of hflags means a nested guest where vcpu_svm has a guest_gif."""
    found = made(ScriptedBtf(offsets={"vcpu_svm.guest_gif": 6800}), "kvm_amd")
    assert found.macros["KVMLOG_HFLAGS_IDLE"] == 0


def test_a_kernel_newer_than_the_known_ones_trusts_no_hflags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their meaning stands in no BTF."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", (0, 0))
    found = made(ScriptedBtf(), "kvm_amd")
    assert found.reason == "vcpu"
    assert not found.macros.keys() & {"KVMLOG_AT_HFLAGS", "KVMLOG_HFLAGS_IDLE"}


@pytest.mark.parametrize("vendor", ["kvm_amd", "kvm_intel"])
@pytest.mark.parametrize(
    ("signature", "is_told"),
    [
        ("unsigned int, long long unsigned int, unsigned int", True),
        ("unsigned int", True),
        (f"{VCPU}, unsigned int", False),
        (None, False),
    ],
)
@pytest.mark.usefixtures("known_kernel")
def test_who_handles_exits_of_nested_guests_where_the_kernel_tells_it(
    event: Event, vendor: str, signature: str | None, is_told: bool
) -> None:
    """Otherwise it is left out, with its flags, and all else is traced."""
    event(FORMAT)
    name = "kvm_nested_vmexit_inject"
    found = made(ScriptedBtf({} if signature is None else {name: signature}), vendor)
    assert ((name, TYPED) in functions(found)) == is_told
    assert found.macros.get("KVMLOG_TELLS_L1", 0) == is_told
    # Whoever completes an exit is attached before whoever begins one, and detached after; and
    # who handles it is told as long as there is somebody who ends it.
    names = [name for name, _ in functions(found)]
    assert names[-1] == "kvm_exit"
    assert not is_told or names.index(name) < names.index("kvm_entry")


def test_kvm_exit_with_the_reason_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vCPU is the second argument before v5.16."""
    monkeypatch.setattr(plan, "NEWEST_KNOWN", (0, 0))
    old = ScriptedBtf({"kvm_exit": f"unsigned int, {VCPU}, unsigned int"})
    expected = {**SVM_MACROS, "KVMLOG_ARGUMENT_VCPU": 1}
    found = made(old, "kvm_amd")
    assert found.reason == "vcpu"
    assert found.macros == {
        **expected,
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_SVM,
        "KVMLOG_REASON_VCPU": 1,
    }


def test_vmx_takes_reasons_from_the_event(event: Event) -> None:
    """And the address of an EPT exit from three more; kvm_exit's own program is the last,

    right behind the event's: so they run, one telling the other.
    """
    event(FORMAT)
    found = made(ScriptedBtf(), "kvm_intel")
    assert (found.reason, found.isa) == ("event", lib.KVMLOG_ISA_VMX)
    assert found.words == "reasons from the fields of the event kvm_exit"
    assert functions(found) == [
        ("sched_process_exit", TYPED),
        ("kvm_entry", TYPED),
        ("kvm_userspace_exit", TYPED),
        ("kvm_vcpu_wakeup", TYPED),
        ("kvm_page_fault", TYPED),
        ("kvm_fast_mmio", TYPED),
        ("kvm_mmio", TYPED),
        ("event_exit", EVENT),
        ("kvm_exit", TYPED),
    ]
    assert found.programs[-2] == Program("kvmlog_event_exit", "kvm_exit", EVENT, event_id=1711)
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", TYPED, 108, "kvm")
    assert found.macros == {
        **{
            name: at for name, at in SVM_MACROS.items() if "VMCB" not in name and "CODE" not in name
        },
        **TASK_MACROS,
        **EVENT_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_VMX,
        "KVMLOG_REASON_EVENT": 1,
        "KVMLOG_AT_LOADED_VMCS": 7000,
        "KVMLOG_AT_VMCS01": 7008,
        "KVMLOG_VMX_ADDRESSES": 1,
        "KVMLOG_ARGUMENT_FAULT_ADDRESS": 1,
    }


def test_kvm_page_fault_with_the_address_in_front(event: Event) -> None:
    """The address is the first argument before v6.2."""
    event(FORMAT)
    old = ScriptedBtf({"kvm_page_fault": "long unsigned int, unsigned int"})
    assert made(old, "kvm_intel").macros["KVMLOG_ARGUMENT_FAULT_ADDRESS"] == 0


@pytest.mark.parametrize("signature", [None, "int, int, void *", "long long unsigned int"])
def test_addresses_of_mmio_are_left_out_where_they_are_not_known(
    event: Event, signature: str | None
) -> None:
    """All else is traced; the address of a fast one stands in another tracepoint."""
    event(FORMAT)
    known = ScriptedBtf({"kvm_mmio": signature})
    names = [name for name, _ in functions(made(known, "kvm_intel"))]
    assert "kvm_mmio" not in names
    assert names[-4:] == ["kvm_page_fault", "kvm_fast_mmio", "event_exit", "kvm_exit"]


def test_svm_can_be_told_to_use_the_event(event: Event) -> None:
    """Registers come from the vCPU all the same; no program that only VMX needs."""
    event(FORMAT)
    found = made(ScriptedBtf(), "kvm_amd", "event")
    assert found.reason == "event"
    assert functions(found)[-2:] == [("event_exit", EVENT), ("kvm_exit", TYPED)]
    assert found.macros["KVMLOG_AT_VMCB"] == 6400
    assert found.macros["KVMLOG_ISA"] == lib.KVMLOG_ISA_SVM
    assert "KVMLOG_VMX_ADDRESSES" not in found.macros
    assert "KVMLOG_REASON_VCPU" not in found.macros


@pytest.mark.usefixtures("module_switch")
@pytest.mark.parametrize(
    ("vendor", "isa"),
    [("kvm_intel", lib.KVMLOG_ISA_VMX), ("kvm_amd", lib.KVMLOG_ISA_SVM)],
)
def test_without_btf_the_event_is_all_there_is(event: Event, vendor: str, isa: int) -> None:
    """Raw tracepoints, no offsets but the event's, and the words say what is missing."""
    event(FORMAT)
    found = made(None, vendor)
    assert (found.reason, found.isa) == ("event", isa)
    assert functions(found) == [
        ("sched_process_exit", RAW),
        ("kvm_entry", RAW),
        ("kvm_userspace_exit", RAW),
        ("kvm_vcpu_wakeup", RAW),
        ("event_exit", EVENT),
        ("kvm_exit", RAW),
    ]
    assert found.programs[-1] == Program("kvmlog_kvm_exit", "kvm_exit", RAW)
    assert found.macros == {
        **EVENT_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": isa,
        "KVMLOG_REASON_EVENT": 1,
    }
    assert "a guest is a process (this kernel shows no BTF)" in found.words


PROTECTING = [("kvm_amd", "kvm_amd/parameters/sev_es"), ("kvm_intel", "kvm_intel/parameters/tdx")]


@pytest.mark.parametrize("value", ["Y", "1"])
@pytest.mark.parametrize(("vendor", "parameter"), PROTECTING)
def test_a_guest_that_may_be_protected_has_no_sure_rip(
    event: Event, module_switch: Switches, vendor: str, parameter: str, value: str
) -> None:
    """The rip is unsure where nothing tells which guests are protected.

    That is so without BTF, and with a vCPU of another layout.
    """
    event(FORMAT)
    module_switch(parameter, value)
    other = ScriptedBtf(offsets={"kvm_vcpu.arch.guest_state_protected": None})
    for known in (None, other):
        found = made(known, vendor)
        assert found.reason == "event"
        assert found.macros["KVMLOG_RIP_UNSURE"] == 1
    for wanted in ("auto", "event"):
        assert "KVMLOG_RIP_UNSURE" not in made(ScriptedBtf(), vendor, wanted).macros


@pytest.mark.parametrize("value", ["N", "0", ""])
@pytest.mark.parametrize(("vendor", "parameter"), PROTECTING)
def test_a_guest_that_cannot_be_protected_has_its_rip(
    event: Event, module_switch: Switches, vendor: str, parameter: str, value: str
) -> None:
    """Switched off; modules too old to have the switch are those of the tests before."""
    event(FORMAT)
    module_switch(parameter, value)
    assert "KVMLOG_RIP_UNSURE" not in made(None, vendor).macros


def test_without_a_vendor_only_returns_are_seen() -> None:
    """Two programs; the words say so."""
    found = made(ScriptedBtf(), None)
    assert (found.reason, found.isa, found.vendor) == ("none", lib.KVMLOG_ISA_NONE, None)
    assert functions(found) == [("sched_process_exit", TYPED), ("kvm_userspace_exit", TYPED)]
    assert found.macros == {
        **TASK_MACROS,
        "KVMLOG_CPUS": 8,
        "KVMLOG_ISA": lib.KVMLOG_ISA_NONE,
        "KVMLOG_REASON_NONE": 1,
    }
    assert found.words == "returns from KVM_RUN only: no exits are traced in this KVM"
