# SPDX-License-Identifier: GPL-2.0-or-later
"""Exits of real guests of kvm_intel: each record is what the kernel's own events tell.

One boot for each kernel; what runs is in scenario.sh, the guests' code in code.S.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from kvmlog.exits.decode.qualification import decode
from kvmlog.exits.format.serialize import record_object
from kvmlog.exits.reasons import vmx
from kvmlog.native import lib
from tests.support.scale import EVERY_KERNEL
from tests.vm.intel.comparison import differences, is_given_to_l1, is_untold
from tests.vm.intel.events import Run, read_runs
from tests.vm.intel.expected import (
    DIRTY_PAGES,
    KINDS,
    MMIO,
    NESTED_TURNS,
    QUALIFICATIONS,
    RAM_AND_TIME,
    SHADOW_CR_ACCESS,
    UNTOUCHED,
    counted,
)
from tests.vm.intel.machine import Machine, run_bochs

SCENARIO: Final = Path(__file__).with_name("scenario.sh")
# The plain one first; then one with APIC virtualisation and PML, and a kernel that enforces IBT.
MODELS: Final = {"6.1": "corei7_haswell_4770", "6.12": "tigerlake"}
KERNELS: Final = os.environ.get("KVMLOG_KERNELS", " ".join(MODELS)).split()
OTHERWISE: Final = "corei7_haswell_4770"
# In `make soak`; on kernels other than 6.1, which does not get through its boot on all of them.
ALL_MODELS: Final = (
    *("corei7_sandy_bridge_2600k", "corei7_haswell_4770", "broadwell_ult", "corei7_skylake_x"),
    *("corei7_icelake_u", "tigerlake", "sapphire_rapids", "arrow_lake"),
)
WITH_IBT: Final = ("tigerlake", "sapphire_rapids", "arrow_lake")


def machines() -> list[tuple[str, str, int]]:
    """Return each kernel with the CPU models that it runs on, and how many CPUs they are."""
    if not EVERY_KERNEL:
        return [(kernel, MODELS.get(kernel, OTHERWISE), 1) for kernel in KERNELS]
    return [
        *((kernel, MODELS[kernel], 1) for kernel in KERNELS if kernel == "6.1"),
        *((kernel, model, 1) for kernel in KERNELS for model in ALL_MODELS if kernel != "6.1"),
        *((kernel, OTHERWISE, 2) for kernel in KERNELS),
    ]


class Boot(NamedTuple):
    """One boot, and what it printed."""

    kernel: str
    model: str
    cpus: int
    output: str


@pytest.fixture(scope="module", params=machines(), ids=lambda one: f"{one[0]}-{one[1]}-{one[2]}")
def boot(request: pytest.FixtureRequest) -> Boot:
    """One of each machine; it fails when the machine hangs or its kernel complains."""
    kernel, model, cpus = request.param
    name = f"intel-{kernel}-{model}-{cpus}"
    result = run_bochs(kernel, SCENARIO, Machine(model, cpus), name=name)
    assert result.exit_code == 0, result.stdout[-2000:]
    return Boot(kernel, model, cpus, result.stdout)


@pytest.fixture(scope="module")
def runs(boot: Boot) -> dict[str, Run]:
    """All runs of the boot by name."""
    return {run.name: run for run in read_runs(boot.output)}


def qualifications(run: Run, reason: str) -> tuple[str, ...]:
    """What `explain` would say of the exits with this reason."""
    return tuple(
        decode(record.isa, record.reason, record.info1, record.info2).words
        for record in run.records
        if vmx.NAMES[record.reason] == reason
    )


def test_every_record_tells_what_the_kernel_tells(runs: dict[str, Run]) -> None:
    """Reason, address, registers' numbers, times, and who spent them: of each exit."""
    assert {name: differences(run)[:10] for name, run in runs.items()} == {
        name: [] for name in runs
    }
    for run in runs.values():
        untold = [told for told in run.exits if is_untold(told)]
        # `rep outsb` comes back once it has nothing left to do.
        assert all(is_given_to_l1(told) for told in untold) or (
            run.name.startswith(("kinds", "steps")) and len(untold) == 1
        )


def test_no_exit_is_missing(runs: dict[str, Run]) -> None:
    """Each guest came to its end; what the module saw, it wrote, and that arrived."""
    before = 0
    for run in runs.values():
        assert run.status == 0, run.name
        status = run.line("status", moment="off")
        seen, before = status["seen"] - before, status["seen"]
        assert status["seen"] == status["emitted"], run.name
        assert status["dropped"] == 0, run.name
        assert seen == len(run.records) == len(run.exits) > 0, run.name


def test_a_guest_exits_for_the_reasons_that_it_has(runs: dict[str, Run]) -> None:
    """Each a known number of times; stepped through, each step is an exception more."""
    assert counted(runs["kinds"].exits) == KINDS
    stepped = counted(runs["steps"].exits) - Counter(KINDS)
    assert set(stepped) == {"EXCEPTION_NMI"}
    assert counted(runs["window"].exits)["INTERRUPT_WINDOW"] == 1
    assert Counter(told.reason for told in runs["spin"].exits)["EXTERNAL_INTERRUPT"] > 0
    # Its APIC is the CPU's own where that virtualises it, until it is told not to.
    has_apic = runs["timer"].parameters["enable_apicv"] == "Y"
    assert counted(runs["level"].exits)["EOI_INDUCED"] == (1 if has_apic else 0)
    for name, is_virtual in (("timer", has_apic), ("timer-plain", False), ("timer-shadow", False)):
        assert counted(runs[name].exits)["APIC_WRITE"] == (4 if is_virtual else 0), name
        assert sum(record.halt_ns > 0 for record in runs[name].records) == 4, name


def test_qualifications_read_as_the_code_does(runs: dict[str, Run]) -> None:
    """Direction, width, register: of instructions that code.S has; and what was being delivered."""
    run = runs["kinds"]
    assert {name: qualifications(run, name) for name in QUALIFICATIONS} == QUALIFICATIONS
    assert set(qualifications(run, "DR_ACCESS")) == {"mov to dr7, rdx"}
    violations = [words.split(", ") for words in qualifications(run, "EPT_VIOLATION")]
    assert [words[0] for words in violations] == [
        *("fetch", "read", "write", "write", "write"),
        *("write", "read", "read", "write"),
    ]
    assert {words[1] for words in violations} == {"nothing mapped"}
    delivering = [words[-1] == "while delivering hardware exception 0x6" for words in violations]
    assert delivering == [False] * 6 + [True] * 3


def test_mmio_has_its_address(runs: dict[str, Run]) -> None:
    """Each access to a device, not only a page's first: as `dump --json` shows it, too."""
    records = [
        record for record in runs["kinds"].records if record.reason == lib.KVMLOG_VMX_EPT_MISCONFIG
    ]
    assert tuple(record.detail for record in records) == MMIO
    assert all(record.flags & lib.KVMLOG_F_DETAIL_VALID for record in records)
    shown = record_object(records[0], 0, 0)
    assert shown["reason_name"] == "EPT_MISCONFIG"
    assert shown["detail_words"] == "gpa 0xd0000020 (pci-bar)"
    many = [
        record for record in runs["turns"].records if record.reason == lib.KVMLOG_VMX_EPT_MISCONFIG
    ]
    assert len(many) == 299
    assert {record.detail for record in many} == {0xD0000000}


def test_without_ept_an_exit_has_the_exception_in_its_place(runs: dict[str, Run]) -> None:
    """Shadow paging: page faults (vector 14) whose address is in info1."""
    run = runs["kinds-shadow"]
    assert run.parameters["ept"] == "N"
    assert not [told for told in run.exits if told.reason.startswith("EPT")]
    faults = [record for record in run.records if record.reason == 0 and record.detail == 14]
    assert set(MMIO) <= {record.info1 for record in faults}
    words = qualifications(run, "CR_ACCESS")
    assert words == (*SHADOW_CR_ACCESS, *QUALIFICATIONS["CR_ACCESS"])
    (invlpg,) = (record for record in run.records if record.reason == lib.KVMLOG_VMX_INVLPG)
    assert invlpg.detail == UNTOUCHED


def test_vcpus_run_at_once(boot: Boot, runs: dict[str, Run]) -> None:
    """Each of two has its own exits; on a machine with two CPUs they run on both."""
    for name in ("two-vcpus", "two-timers"):
        records = runs[name].records
        assert {(record.tid, record.vcpu) for record in records} == {
            (told.tid, told.vcpu) for told in runs[name].exits
        }
        assert {record.vcpu for record in records} == {0, 1}
    assert len({record.cpu for run in runs.values() for record in run.records}) == boot.cpus


def test_what_is_called_begins_with_endbr(boot: Boot) -> None:
    """Where the CPU enforces it, all these calls would have been faults otherwise."""
    for function in ("vmx_get_exit_info", "vmx_cache_reg"):
        called = rf"kvmlog: {function}\+0x0/\w+ \[kvm_intel\] will be called"
        assert re.search(called, boot.output)
    enforced = "Indirect Branch Tracking enabled" in boot.output
    assert enforced == (boot.model in WITH_IBT and boot.kernel != "6.1")  # built without
    assert not enforced or boot.output.count("it begins with ENDBR") == 2


def test_the_log_of_written_pages_is_full(runs: dict[str, Run]) -> None:
    """PML_FULL where the CPU keeps one; elsewhere each page's first write is a violation."""
    run = runs["dirty"]
    has_log = run.parameters["pml"] == "Y"
    reasons = counted(run.exits)
    # An exit at a time of its own empties the log early.
    assert (1 <= reasons["PML_FULL"] <= 3) if has_log else not reasons["PML_FULL"]
    assert (reasons["EPT_VIOLATION"] > 2 * DIRTY_PAGES) == (not has_log)


def test_who_handled_exits_of_a_nested_guest(runs: dict[str, Run]) -> None:
    """CPUID, VMCALL and HLT the hypervisor in the guest, which asked for them; an OUT this host."""
    nested, of_l0, of_l1 = (
        lib.KVMLOG_F_NESTED,
        lib.KVMLOG_F_NESTED_L0,
        lib.KVMLOG_F_NESTED_L1,
    )
    handled = Counter(
        (vmx.NAMES[record.reason], record.flags & (of_l0 | of_l1))
        for record in runs["nested"].records
        if record.flags & nested and vmx.NAMES[record.reason] not in RAM_AND_TIME
    )
    assert handled == {
        ("CPUID", of_l1): NESTED_TURNS,
        ("VMCALL", of_l1): NESTED_TURNS,
        ("HLT", of_l1): NESTED_TURNS,
        ("IO_INSTRUCTION", of_l0): NESTED_TURNS,
    }
    others = Counter(
        vmx.NAMES[record.reason]
        for record in runs["nested"].records
        if not record.flags & (nested | of_l0 | of_l1)
    )
    assert (others["VMLAUNCH"], others["VMRESUME"]) == (1, 3 * NESTED_TURNS - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "HLT"},
        {"rip": 1},
        {"info1": 1},
        {"info2": 1},
        {"tid": 7},
        {"vcpu": 7},
        {"cpu": 7},
        {"ns": 0},
        {"after": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_comparison_notices(runs: dict[str, Run], change: dict[str, object]) -> None:
    """Whatever the kernel would tell otherwise is a difference, of that exit alone.

    But where it were another thread's, its own records would belong to the exits before.
    """
    run = runs["kinds"]
    at = next(i for i, told in enumerate(run.exits) if told.reason == "CPUID")
    other = [*run.exits]
    other[at] = replace(other[at], **change)  # type: ignore[arg-type]
    found = differences(replace(run, exits=other))
    assert any(sentence.startswith(f"exit {at},") for sentence in found)
    assert "tid" in change or all(sentence.startswith(f"exit {at},") for sentence in found)
