# SPDX-License-Identifier: GPL-2.0-or-later
"""Each rule, at its mark and just below it; and that each says what, how much, and what to try."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvmlog.why.evidence import Activity, Evidence, Run
from kvmlog.why.rules.table import RULES, rule
from kvmlog.why.verdict import judge
from tests.support import why_evidence as made

A = Activity
# By rule: evidence that it names, and evidence that it does not.
CASES: dict[str, tuple[Evidence, Evidence]] = {
    "hung": (
        made.healthy(run=Run("running", None, 5.0, hung=True)),
        made.healthy(),
    ),
    "paused": (made.held(0.10), made.held(0.099)),
    "fault": (
        made.returned("KVM_EXIT_INTERNAL_ERROR", 1),
        made.returned("KVM_EXIT_IO", 10_000),
    ),
    "stuck-vcpu": (made.stuck(1.0), made.stuck(0.99)),
    "io-errors": (
        made.healthy(disks=(made.disk(errors=1),)),
        made.healthy(disks=(made.disk(errors=0),)),
    ),
    "cpu-quota": (
        made.healthy(cpu=made.cpu(throttled_ns=made.VCPUS * made.OVER * 5 // 100)),
        made.healthy(cpu=made.cpu(throttled_ns=made.VCPUS * made.OVER * 49 // 1000)),
    ),
    "cpu-wait": (made.starved(0.10), made.starved(0.099)),
    "slow-device": (made.slow_device(0.10), made.slow_device(0.098)),
    "port-io": (
        made.busy_with(A.PORT, 0.20, detail="port 0x3f8 (com1)"),
        made.busy_with(A.PORT, 0.199),
    ),
    "emulated-device": (
        made.busy_with(A.MMIO, 0.20, name="npf", detail="gpa 0xfed000f0 (hpet counter)"),
        made.busy_with(A.MMIO, 0.199),
    ),
    "timer-storm": (made.busy_with(A.TIMER, 0.20, name="msr"), made.busy_with(A.TIMER, 0.199)),
    "ipi-storm": (made.busy_with(A.IPI, 0.20, name="msr"), made.busy_with(A.IPI, 0.199)),
    "msr-storm": (
        made.busy_with(A.MSR, 0.20, name="msr", detail="msr 0x1a0 (misc-enable)"),
        made.busy_with(A.MSR, 0.199),
    ),
    "host-memory-faults": (
        made.busy_with(A.MEMORY, 0.20, name="npf"),
        made.busy_with(A.MEMORY, 0.199),
    ),
    "lock-spinning": (made.busy_with(A.SPIN, 0.10, name="pause"), made.busy_with(A.SPIN, 0.099)),
    "nested": (made.busy_with(A.NESTED, 0.20, name="vmrun"), made.busy_with(A.NESTED, 0.199)),
    "exits": (
        made.busy_with(A.OTHER, 0.20, name="cpuid", reason=0x72),
        made.busy_with(A.OTHER, 0.199, name="cpuid", reason=0x72),
    ),
    "disk-limit": (
        made.healthy(disks=(made.disk(limit_requests_per_s=111),)),
        made.healthy(disks=(made.disk(limit_requests_per_s=112),)),
    ),
    "disk-slow": (
        made.healthy(disks=(made.disk(latency_ns=25.0 * made.MS),)),
        made.healthy(disks=(made.disk(latency_ns=24.9 * made.MS),)),
    ),
    "packet-loss": (
        made.healthy(nics=(made.nic("receive", drops_per_s=11.0),)),
        made.healthy(nics=(made.nic("receive", drops_per_s=10.0),)),
    ),
    "guest-swaps": (
        made.healthy(memory=made.memory(swap_in_bytes_per_s=float(made.MIB))),
        made.healthy(memory=made.memory(swap_in_bytes_per_s=made.MIB - 1.0)),
    ),
    "guest-memory": (
        made.healthy(memory=made.memory(usable_bytes=4 * made.GIB * 49 // 1000)),
        made.healthy(memory=made.memory(usable_bytes=4 * made.GIB * 51 // 1000)),
    ),
    "swapped-by-host": (
        made.healthy(memory=made.memory(host_major_faults_per_s=10.0, host_swapped_bytes=made.GIB)),
        made.healthy(memory=made.memory(host_major_faults_per_s=9.9, host_swapped_bytes=made.GIB)),
    ),
    "host-memory-pressure": (
        made.healthy(host=made.host(pressure={"memory some": 15.0})),
        made.healthy(host=made.host(pressure={"memory some": 14.9})),
    ),
    "host-memory": (
        made.healthy(host=made.host(memory_available_bytes=3 * made.GIB)),
        made.healthy(host=made.host(memory_available_bytes=4 * made.GIB)),
    ),
    "ksm": (
        made.healthy(host=made.host(ksmd_percent=50.0)),
        made.healthy(host=made.host(ksmd_percent=49.9)),
    ),
}


def named(evidence: Evidence) -> list[str]:
    """The rules that find something."""
    return [finding.rule for finding in judge(evidence).findings]


def test_every_rule_has_cases_and_a_name_of_its_own() -> None:
    """No rule is untested, and none is hidden by another of its name."""
    assert sorted(CASES) == sorted(one.name for one in RULES)
    known = set(CASES)
    assert [one.hides for one in RULES if not set(one.hides) <= known] == []


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_up_from_its_mark_on(name: str) -> None:
    """At the mark it is the only finding; just below it there is none at all."""
    stands_out, does_not = CASES[name]
    assert named(stands_out) == [name]
    assert named(does_not) == []


@pytest.mark.parametrize("name", CASES)
def test_a_finding_says_what_how_much_and_what_to_try(name: str) -> None:
    """Sentences for people: short, complete, and each with a remedy."""
    (found,) = judge(CASES[name][0]).findings
    assert found.headline.endswith(".")
    assert len(found.headline) < 200
    assert found.remedies
    assert not [one for one in found.remedies if one.endswith(".") or "{" in one]
    assert all(one.endswith(".") for one in found.details)
    assert 0 < found.weight <= 1
    assert found.source == rule(name).source
    assert "{" not in found.condition


def test_a_healthy_vm_has_no_findings() -> None:
    """It computes, and nothing else."""
    verdict = judge(made.healthy())
    assert (verdict.findings, verdict.gaps) == ((), ())
    assert verdict.summary.startswith("It is busy:")


def test_the_few_exits_of_an_idle_vm_are_no_storm() -> None:
    """All that it does is wake up and halt again."""
    whole_ns = made.VCPUS * made.OVER
    idle = made.exits(
        made.group(A.HALT, 500, name="hlt", idle_ns=whole_ns * 98 // 100, kvm_ns=whole_ns // 200),
        made.group(A.TIMER, 1_000, name="msr", kvm_ns=whole_ns * 15 // 1000),
    )
    verdict = judge(made.healthy(exits=idle, cpu=None))
    assert verdict.findings == ()
    assert verdict.summary.startswith("It is idle:")


def test_halts_that_have_not_ended_are_idle_time() -> None:
    """A VM that halts for longer than the watch has no exit in it: its threads tell."""
    sleeping = made.cpu()
    sleeping = replace(sleeping, vcpus=tuple(replace(one, on_cpu_ns=0) for one in sleeping.vcpus))
    verdict = judge(made.healthy(exits=made.exits(), cpu=sleeping))
    assert verdict.summary.startswith("It is idle:")
    assert verdict.times is not None
    assert (verdict.times.idle, verdict.times.guest) == (1.0, 0.0)


def test_one_starved_vcpu_of_many_is_found() -> None:
    """Seven others that run freely do not hide it."""
    cpu = made.cpu(made.OVER // 2, *(0,) * 7)
    verdict = judge(made.healthy(vcpus=8, exits=None, cpu=cpu))
    (found,) = verdict.findings
    assert (found.rule, found.headline.partition(" is ")[0]) == ("cpu-wait", "vCPU 0")


def test_long_accesses_in_which_qemu_computes_are_no_waiting() -> None:
    """On a host that is slow itself, emulation takes long: it is the accesses that are too many."""
    slow = made.slow_device(0.6)
    computing = replace(slow, cpu=made.cpu())
    unknown = replace(slow, cpu=None)
    assert named(slow) == named(unknown) == ["slow-device"]
    assert named(computing) == ["port-io"]


def test_a_starved_vm_names_its_rival() -> None:
    """Who else used the CPU, and what to do about it."""
    (found,) = judge(made.starved(0.5, rival=made.hog())).findings
    assert "stress-ng (pid 99) used 50 % of CPU 1" in found.details[0]
    assert "virsh vcpupin web1" in found.remedies[0]


def test_fewer_cpus_than_vcpus_are_told() -> None:
    """A pin that is too narrow: no other program has to run there."""
    (found,) = judge(made.starved(0.5, host_cpus=1)).findings
    assert "Its 2 vCPUs may run on 1 CPU of the host only." in found.details


def test_a_quota_explains_waiting() -> None:
    """What it holds back waits for a CPU too, which is no second finding."""
    throttled = made.starved(0.5, throttled_ns=made.VCPUS * made.OVER // 2)
    assert named(throttled) == ["cpu-quota"]


def test_a_paused_vm_is_named_with_its_reason() -> None:
    """What its manager did, and how to undo it."""
    paused = made.healthy(run=Run("paused", "an I/O error", 61.0), exits=None, cpu=None)
    (found,) = judge(paused).findings
    assert found.headline == "it is paused for 61.0s: an I/O error."
    assert found.remedies[0].endswith("virsh resume web1")


def test_a_limit_explains_latency() -> None:
    """Requests that wait for the limit are slow, which is no second finding."""
    limited = made.healthy(disks=(made.disk(latency_ns=400.0 * made.MS, limit_requests_per_s=100),))
    assert named(limited) == ["disk-limit"]


def test_a_limit_of_reads_and_writes_together_is_known() -> None:
    """iotune's total_iops_sec."""
    limited = made.healthy(disks=(made.disk(total_limit_requests_per_s=100),))
    assert named(limited) == ["disk-limit"]


def test_swapping_is_laid_to_the_balloon_where_it_has_the_memory() -> None:
    """And not where the guest has all that there is."""
    swapping = {"swap_in_bytes_per_s": 4.0 * made.MIB}
    (alone,) = judge(made.healthy(memory=made.memory(**swapping))).findings
    taken = made.memory(**swapping, current_bytes=made.GIB)
    (ballooned,) = judge(made.healthy(memory=taken)).findings
    assert "balloon" not in alone.headline
    assert "because its balloon has taken 3.0GB" in ballooned.headline


def test_the_most_costly_finding_comes_first() -> None:
    """Whatever the order of the table."""
    both = replace(made.slow_device(0.6), host=made.host(ksmd_percent=90.0))
    assert named(both) == ["slow-device", "ksm"]


def test_what_is_not_known_finds_nothing() -> None:
    """No evidence, no finding: and that is said."""
    verdict = judge(Evidence("web1", None, None, made.OVER, None))
    assert (verdict.findings, verdict.looked_at, verdict.times) == ((), (), None)
