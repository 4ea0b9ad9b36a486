# SPDX-License-Identifier: GPL-2.0-or-later
"""Generations, rates and sums over what can happen to a domain between two samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import domain_xml, domstats, history
from kvmlog.vmstats.history import History
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Interface, Sample, State
from kvmlog.vmstats.snapshot import Vm

DATA = Path(__file__).resolve().parents[2] / "data" / "vmstats"
RECORD = json.loads((DATA / "records.json").read_text())["running"]["record"]
WEB = domain_xml.parse((DATA / "web-1.xml").read_text())
UUID = "6f6f2b2c-5d2e-4b0e-9f25-000000000001"
START_S = 1_796_047_000


def at(seconds: float) -> Moment:
    """A moment, in seconds since the test began."""
    ns = round(seconds * NS_PER_S)
    return Moment(7 + ns, START_S * NS_PER_S + ns)


def sample(seconds: float, changed: dict[str, Any] | None = None, **fields: Any) -> Sample:
    """A sample of the recorded domain, with keys of the record and fields of the sample changed."""
    taken = at(seconds)
    updated = {"balloon.last-update": START_S + int(seconds)}
    parts = domstats.read({**RECORD, **updated, **(changed or {})}, taken, WEB, io_errors={})
    running = Sample(
        uuid=UUID,
        name="web-1",
        uri="qemu:///system",
        domain_id=1,
        pid=None,
        generation=0,
        state=parts.state,
        state_reason=parts.state_reason,
        state_since=None,
        started=None,
        taken=taken,
        timed_out=False,
        definition=WEB,
        cpu=parts.cpu,
        memory=parts.memory,
        blocks=parts.blocks,
        interfaces=parts.interfaces,
        blocks_taken=taken,
        interfaces_taken=taken,
        absent=parts.absent,
    )
    return replace(running, **fields)


def off(seconds: float) -> Sample:
    """The same, shut off."""
    return sample(seconds, {"state.state": 5}, domain_id=None)


def grown(**more: int) -> dict[str, Any]:
    """Keys of the record that are larger by so much, with _ for the dots of their names."""
    keys = {key.replace(".", "_"): key for key in RECORD}
    return {keys[name]: RECORD[keys[name]] + count for name, count in more.items()}


def test_the_first_sample_has_no_rates() -> None:
    """There is nothing to compare it with, and nothing has grown since."""
    vm = History(600).add(sample(0))
    assert vm.rates is None
    assert vm.accumulated.since == at(0)
    assert (vm.accumulated.cpu_time_ns, vm.accumulated.read_bytes) == (0, 0)
    assert (vm.sample.started, vm.sample.state_since) == (at(0), at(0))


def test_rates_on_their_bases() -> None:
    """1.5 s of CPU in 1 s: of one CPU, of two vCPUs, of four CPUs of the host."""
    seen = History(600)
    seen.add(sample(0), host_cpus=4)
    work = grown(cpu_time=3 * NS_PER_S, cpu_user=2 * NS_PER_S, cpu_system=NS_PER_S)
    vm = seen.add(sample(2, work), host_cpus=4)
    assert vm.rates is not None
    assert vm.rates.interval_ns == 2 * NS_PER_S
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == 150
    assert vm.rates.cpu.percent_of_vcpus == 75
    assert vm.rates.cpu.percent_of_host == 37.5
    assert (vm.rates.cpu.user_percent, vm.rates.cpu.system_percent) == (100, 50)
    assert vm.rates.cpu.guest_percent is None
    assert vm.accumulated.cpu_time_ns == 3 * NS_PER_S


def test_the_share_of_a_host_that_is_not_known() -> None:
    """It is absent; the other bases are there."""
    seen = History(600)
    seen.add(sample(0))
    vm = seen.add(sample(1, grown(cpu_time=NS_PER_S)))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_host is None
    assert vm.rates.cpu.percent_of_one_cpu == 100


def with_threads(of: Sample, *guest_ns: int, first: int = 100) -> Sample:
    """A sample whose vCPUs have threads with such guest times."""
    assert of.cpu is not None
    vcpus = tuple(
        replace(vcpu, thread_id=first + vcpu.number, guest_ns=guest, user_ns=0, system_ns=0)
        for vcpu, guest in zip(of.cpu.vcpus, guest_ns, strict=True)
    )
    return replace(of, cpu=replace(of.cpu, vcpus=vcpus, guest_ns=sum(guest_ns)))


@pytest.mark.parametrize("in_user", [True, False])
def test_guest_time_is_split_off(in_user: bool) -> None:
    """cpu.user includes guest time with cgroup v2, and does not with old kernels: same split."""
    seen = History(600)
    seen.add(with_threads(sample(0), 0, 0))
    user = 900_000_000 if in_user else 100_000_000
    work = grown(cpu_time=NS_PER_S, cpu_user=user, cpu_system=100_000_000)
    vm = seen.add(with_threads(sample(1, work), 500_000_000, 300_000_000))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.guest_percent == 80
    assert vm.rates.cpu.system_percent == 10
    assert vm.rates.cpu.user_percent == 10


def test_guest_time_in_ticks_exceeds_no_total() -> None:
    """It is read after the total, and counted in whole ticks; the parts are the whole still."""
    seen = History(600)
    seen.add(with_threads(sample(0), 0, 0))
    work = grown(cpu_time=NS_PER_S, cpu_user=980_000_000, cpu_system=20_000_000)
    vm = seen.add(with_threads(sample(1, work), 700_000_000, 310_000_000))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert (vm.rates.cpu.guest_percent, vm.rates.cpu.user_percent) == (98, 0)


def test_a_vcpu_that_came_in_another_thread() -> None:
    """Neither its figures nor its guest time are compared with those of the thread before."""
    seen = History(600)
    seen.add(with_threads(sample(0), 5 * NS_PER_S, 5 * NS_PER_S))
    vm = seen.add(with_threads(sample(1), 0, 0, first=200))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.vcpus == ()
    assert vm.rates.cpu.guest_percent is None


def test_a_vcpu_whose_thread_was_not_found_once() -> None:
    """Only what is read of the thread is not known then."""
    seen = History(600)
    seen.add(with_threads(sample(0), 0, 0))
    vm = seen.add(sample(1, grown(vcpu_1_time=NS_PER_S)))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert [one.percent for one in vm.rates.cpu.vcpus] == [0, 100]
    assert vm.rates.cpu.guest_percent is None


def test_steal_is_the_delay_and_nothing_else() -> None:
    """`wait` includes what a vCPU waits of itself."""
    seen = History(600)
    seen.add(sample(0, {"vcpu.1.wait": 5}))
    work = grown(vcpu_0_delay=NS_PER_S // 2, vcpu_1_delay=NS_PER_S // 4, vcpu_0_time=NS_PER_S)
    vm = seen.add(sample(1, work | {"vcpu.1.wait": 5 + NS_PER_S}))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.steal_percent == 75
    first, second = vm.rates.cpu.vcpus
    assert (first.percent, first.steal_percent, first.wait_percent) == (100, 50, None)
    assert (second.percent, second.steal_percent, second.wait_percent) == (0, 25, 100)


def test_latency_is_per_operation() -> None:
    """The time of what completed over its number; without any there is none."""
    seen = History(600)
    seen.add(sample(0))
    work = grown(
        block_0_rd_bytes=40_960, block_0_rd_reqs=10, block_0_rd_times=5_000, block_0_fl_reqs=1
    )
    vm = seen.add(sample(2, work))
    assert vm.rates is not None
    assert vm.rates.blocks is not None
    disk = vm.rates.blocks[0]
    assert (disk.target, disk.read_bytes_per_s, disk.read_requests_per_s) == ("vda", 20_480, 5)
    assert disk.read_latency_ns == 500
    assert (disk.write_requests_per_s, disk.write_latency_ns) == (0, None)
    assert (disk.flush_requests_per_s, disk.flush_latency_ns) == (0.5, 0)
    assert (vm.accumulated.read_bytes, vm.accumulated.read_requests) == (40_960, 10)


def test_traffic_of_interfaces() -> None:
    """By direction; what has no counters has no rates."""
    seen = History(600)
    seen.add(sample(0))
    vm = seen.add(sample(4, grown(net_0_rx_bytes=4_000, net_0_rx_pkts=8, net_1_tx_drop=2)))
    assert vm.rates is not None
    assert vm.rates.interfaces is not None
    first, second, third = vm.rates.interfaces
    assert (first.rx_bytes_per_s, first.rx_packets_per_s, first.tx_bytes_per_s) == (1_000, 2, 0)
    assert (second.tx_drops_per_s, second.rx_bytes_per_s) == (0.5, 0)
    assert (third.key, third.rx_bytes_per_s) == ("52:54:00:aa:00:03", None)
    assert (vm.accumulated.rx_bytes, vm.accumulated.tx_bytes) == (4_000, 0)


def test_cdrom_drives_are_not_accumulated() -> None:
    """Engines count disks only; the drive's own rates are there."""
    seen = History(600)
    seen.add(sample(0))
    vm = seen.add(sample(1, grown(block_2_rd_bytes=700, block_3_rd_bytes=70, block_1_rd_bytes=7)))
    assert vm.accumulated.read_bytes == 7
    assert vm.rates is not None
    assert vm.rates.blocks is not None
    assert vm.rates.blocks[2].read_bytes_per_s == 700


def test_paging_in_the_guest() -> None:
    """Bytes and faults per second; after a reboot the driver counts from zero."""
    seen = History(600)
    seen.add(sample(0, {"balloon.swap_in": 4, "balloon.minor_fault": 100}))
    vm = seen.add(sample(2, {"balloon.swap_in": 8, "balloon.minor_fault": 300}))
    assert vm.rates is not None
    assert vm.rates.memory is not None
    assert vm.rates.memory.swap_in_bytes_per_s == 2_048
    assert vm.rates.memory.minor_faults_per_s == 100
    vm = seen.add(sample(4, {"balloon.swap_in": 0, "balloon.minor_fault": 900}))
    assert vm.rates is not None
    assert vm.rates.memory is not None
    assert (vm.rates.memory.swap_in_bytes_per_s, vm.rates.memory.minor_faults_per_s) == (None, None)


def test_the_same_sample_again() -> None:
    """A domain that does not answer has the rates it had, not those of an idle one."""
    seen = History(600)
    seen.add(sample(0))
    before = seen.add(sample(1, grown(cpu_time=NS_PER_S)))
    hung = replace(sample(1, grown(cpu_time=NS_PER_S)), timed_out=True)
    vm = seen.add(hung)
    assert vm.sample.timed_out
    assert (vm.rates, vm.accumulated) == (before.rates, before.accumulated)
    assert vm.sample.generation == before.sample.generation
    # When it answers again, the rates are over all the time that it was silent.
    vm = seen.add(sample(11, grown(cpu_time=2 * NS_PER_S)))
    assert vm.rates is not None
    assert (vm.rates.since, vm.rates.until) == (at(1), at(11))
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == 10


def test_one_group_of_the_poll_before() -> None:
    """Disks that libvirt did not tell of this time keep their rates; the others have new ones."""
    seen = History(600)
    seen.add(sample(0))
    before = seen.add(sample(1, grown(block_0_rd_bytes=1_000)))
    again = sample(2, grown(block_0_rd_bytes=1_000, net_0_rx_bytes=50), blocks_taken=at(1))
    vm = seen.add(again)
    assert vm.rates is not None
    assert before.rates is not None
    assert vm.rates.blocks == before.rates.blocks
    assert vm.rates.interfaces is not None
    assert vm.rates.interfaces[0].rx_bytes_per_s == 50
    assert vm.accumulated.read_bytes == 1_000


def test_a_group_that_was_missing() -> None:
    """Its next rates are over the whole time; without it there are none."""
    seen = History(600)
    seen.add(sample(0))
    vm = seen.add(sample(10, blocks=None, blocks_taken=None))
    assert vm.rates is not None
    assert vm.rates.blocks is None
    vm = seen.add(sample(20, grown(block_0_rd_bytes=2_000)))
    assert vm.rates is not None
    assert vm.rates.blocks is not None
    assert vm.rates.blocks[0].read_bytes_per_s == 100
    assert vm.rates.since == at(0)


def test_a_rate_reaches_back_no_further_than_the_history() -> None:
    """An average over an hour of silence says nothing of now; the sums count it."""
    seen = History(60)
    seen.add(sample(0))
    vm = seen.add(sample(61, grown(cpu_time=NS_PER_S)))
    assert vm.rates is None
    assert vm.accumulated.cpu_time_ns == NS_PER_S
    vm = seen.add(sample(121, grown(cpu_time=2 * NS_PER_S)))
    assert vm.rates is not None


def test_stop_and_start() -> None:
    """A new domain id: counters begin at zero, a new generation, no rates at once."""
    seen = History(600)
    first = seen.add(sample(0))
    stopped = seen.add(off(10))
    assert (stopped.rates, stopped.sample.started) == (None, None)
    assert stopped.sample.generation == first.sample.generation
    assert stopped.sample.state_since == at(10)
    small = {"cpu.time": 50, "block.0.rd.bytes": 20, "net.0.name": "vnet8", "net.0.rx.bytes": 30}
    vm = seen.add(sample(20, small, domain_id=2))
    assert vm.sample.generation > first.sample.generation
    assert (vm.rates, vm.sample.started, vm.sample.state_since) == (None, at(20), at(20))
    assert (vm.accumulated.cpu_time_ns, vm.accumulated.read_bytes) == (50, 20 + 12_288)


def test_stop_and_start_between_two_polls() -> None:
    """The domain id tells, even where every counter has gone past where it was."""
    seen = History(600)
    first = seen.add(sample(0))
    large = {key: value * 3 for key, value in RECORD.items() if key.endswith((".time", ".bytes"))}
    vm = seen.add(sample(10, large, domain_id=2))
    assert vm.rates is None
    assert vm.sample.generation > first.sample.generation
    assert (vm.sample.started, vm.sample.state_since) == (at(10), at(10))
    assert vm.accumulated.cpu_time_ns == large["cpu.time"]
    assert vm.accumulated.write_bytes == large["block.0.wr.bytes"]


def test_a_libvirtd_that_numbers_its_domains_anew() -> None:
    """Where the domain id is the same again, its process tells."""
    seen = History(600)
    first = seen.add(sample(0, pid=100))
    vm = seen.add(sample(10, grown(cpu_time=NS_PER_S), pid=200))
    assert vm.sample.generation > first.sample.generation
    assert vm.rates is None


def test_a_smaller_counter_without_any_sign_of_a_restart() -> None:
    """It is one: a new generation without rates; nothing is counted of what cannot be known."""
    seen = History(600)
    first = seen.add(sample(0))
    vm = seen.add(sample(10, {"cpu.time": RECORD["cpu.time"] - 1}))
    assert vm.sample.generation > first.sample.generation
    assert vm.rates is None
    assert vm.accumulated.cpu_time_ns == 0
    assert vm.accumulated.read_bytes == 0


def test_a_guest_that_resets_itself() -> None:
    """Its process goes on, and so do its counters: same generation, same rates as ever."""
    records = json.loads((DATA / "records.json").read_text())
    seen = History(600)
    before = seen.add(sample(0, records["paused"]["record"]))
    vm = seen.add(sample(3, records["after_reset"]["record"]))
    assert vm.sample.generation == before.sample.generation
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == pytest.approx(16)
    assert vm.sample.started == at(0)


def test_a_process_that_ran_before_the_collector() -> None:
    """Its own start is told from the first sample on, and that of the next one after a restart."""
    seen = History(600)
    assert seen.add(sample(0, pid=100, started=at(-500))).sample.started == at(-500)
    assert seen.add(sample(10, pid=100, started=at(-500))).sample.started == at(-500)
    # Its QEMU does not answer: what was known stays.
    assert seen.add(sample(20, pid=None)).sample.started == at(-500)
    assert seen.add(sample(30, pid=200, started=at(25))).sample.started == at(25)


def test_pause_and_resume() -> None:
    """The state is another, the counters are the same: rates are zero, which is known."""
    seen = History(600)
    first = seen.add(sample(0))
    vm = seen.add(sample(5, {"state.state": 3}))
    assert (vm.sample.state, vm.sample.state_since) == (State.PAUSED, at(5))
    assert (vm.sample.started, vm.sample.generation) == (at(0), first.sample.generation)
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == 0
    vm = seen.add(sample(6, {"state.state": 3}))
    assert vm.sample.state_since == at(5)
    vm = seen.add(sample(7))
    assert vm.sample.state_since == at(7)


def test_a_disk_that_was_attached_again() -> None:
    """One smaller counter makes all of the disk unknown; its sums begin with the new one."""
    seen = History(600)
    seen.add(sample(0))
    again = grown(block_0_wr_bytes=500) | {"block.0.rd.bytes": 100, "block.0.rd.reqs": 1}
    vm = seen.add(sample(10, again))
    assert vm.rates is not None
    assert vm.rates.blocks is not None
    assert vm.rates.blocks[0].write_bytes_per_s is None
    assert vm.rates.blocks[1].write_bytes_per_s == 0
    assert vm.accumulated.read_bytes == 100
    assert vm.accumulated.write_bytes == RECORD["block.0.wr.bytes"] + 500


def interface(mac: str, target: str | None, count: int) -> Interface:
    """An interface that has received so many bytes."""
    return Interface(mac, target, None, count, 0, 0, 0, 0, 0, 0, 0)


def test_an_interface_that_was_attached_again() -> None:
    """The same MAC on another device of the host has counted from zero."""
    seen = History(600)
    seen.add(sample(0, interfaces=(interface("52:54:00:00:00:01", "vnet0", 500),)))
    vm = seen.add(sample(10, interfaces=(interface("52:54:00:00:00:01", "vnet4", 700),)))
    assert vm.rates is not None
    assert vm.rates.interfaces == ()
    assert vm.accumulated.rx_bytes == 700


def test_a_device_of_the_host_that_outlives_the_domain() -> None:
    """A tap device that somebody else made goes on counting when the domain starts anew."""
    seen = History(600)
    tap = "52:54:00:00:00:01", "tap-web"
    seen.add(sample(0, interfaces=(interface(*tap, 5_000),)))
    seen.add(off(10))
    vm = seen.add(sample(20, domain_id=2, interfaces=(interface(*tap, 5_100),)))
    assert vm.accumulated.rx_bytes == 100


def test_a_domain_that_comes_and_goes() -> None:
    """What was forgotten is new; its generation does not step back, and no sum is kept."""
    seen = History(600)
    seen.add(sample(0))
    before = seen.add(sample(10, grown(cpu_time=NS_PER_S)))
    seen.forget(UUID)
    assert len(seen) == 0
    vm = seen.add(sample(20, domain_id=4))
    assert vm.rates is None
    assert vm.accumulated.since == at(20)
    assert vm.sample.generation > before.sample.generation


def test_a_domain_on_two_hosts() -> None:
    """While it migrates, each connection has it, with counters of its own."""
    seen = History(600)
    there = {"cpu.time": 5}
    other = "qemu+ssh://b/system"
    seen.add(sample(0))
    seen.add(sample(0.5, there, uri=other, domain_id=9))
    vm = seen.add(sample(1, grown(cpu_time=NS_PER_S)))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == 100
    seen.forget(UUID, "qemu:///system")
    vm = seen.add(sample(2.5, {"cpu.time": 5 + NS_PER_S}, uri=other, domain_id=9))
    assert vm.rates is not None
    assert vm.rates.cpu is not None
    assert vm.rates.cpu.percent_of_one_cpu == 50


def test_no_more_domains_than_a_collector_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was sampled longest ago is forgotten."""
    monkeypatch.setattr(history, "DOMAINS_MOST", 3)
    seen = History(600)
    for number in (1, 2, 3, 1, 4):
        seen.add(sample(number, uuid=f"uuid-{number}"))
    assert len(seen) == 3
    assert seen.add(sample(9, uuid="uuid-1")).rates is not None
    assert seen.add(sample(9, uuid="uuid-2")).rates is None


class World:
    """A domain as it really is: counters of its process, and all that it ever did since 0 s."""

    def __init__(self) -> None:
        self.second = 0
        self.domain_id: int | None = 1
        self.counters = dict.fromkeys(("cpu.time", "block.0.rd.bytes", "net.0.rx.bytes"), 1_000)
        self.target = 0
        self.done = dict.fromkeys(self.counters, 0)

    def step(self, what: str, work: int) -> None:
        """Have something happen, then so much work in a second."""
        self.second += what != "repeat"
        if what == "repeat":
            return
        if what == "stop":
            self.domain_id = None
            return
        if what == "restart" or self.domain_id is None:
            self.domain_id = 100 + self.second
            self.target += 1
            self.counters = dict.fromkeys(self.counters, 0)
        elif what == "disk":
            self.counters["block.0.rd.bytes"] = 0
        elif what == "interface":
            self.counters["net.0.rx.bytes"] = 0
            self.target += 1
        for name in self.counters:
            self.counters[name] += work
            self.done[name] += work

    def sample(self, hidden: str | None) -> Sample:
        """A sample of it, in which one group may be missing."""
        if self.domain_id is None:
            return off(self.second)
        idle = {"block.1.rd.bytes": 0, "net.1.rx.bytes": 0}
        made = sample(self.second, self.counters | idle, domain_id=self.domain_id)
        assert made.interfaces is not None
        first = replace(made.interfaces[0], target=f"vnet{self.target}")
        made = replace(made, interfaces=(first, *made.interfaces[1:]))
        missing: dict[str, Any] = {} if hidden is None else {hidden: None}
        return replace(made, **missing)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["work", "work", "restart", "stop", "disk", "interface", "repeat"]),
        st.integers(0, 10_000),
        st.sampled_from([None, None, None, "cpu", "memory", "blocks", "interfaces"]),
    ),
    max_size=15,
)


def sums(vm: Vm) -> dict[str, int]:
    """The sums of a domain, by the key of their counter."""
    return {
        "cpu.time": vm.accumulated.cpu_time_ns,
        "block.0.rd.bytes": vm.accumulated.read_bytes,
        "net.0.rx.bytes": vm.accumulated.rx_bytes,
    }


def speeds(vm: Vm) -> dict[str, float | None]:
    """The rates per second of the same counters."""
    if vm.rates is None:
        return {}
    found: dict[str, float | None] = {}
    if vm.rates.cpu is not None and vm.rates.cpu.percent_of_one_cpu is not None:
        found["cpu.time"] = vm.rates.cpu.percent_of_one_cpu / 100 * NS_PER_S
    if vm.rates.blocks:
        found["block.0.rd.bytes"] = vm.rates.blocks[0].read_bytes_per_s
    for one in vm.rates.interfaces or ():
        if one.key == "52:54:00:aa:00:01":
            found["net.0.rx.bytes"] = one.rx_bytes_per_s
    return found


@given(STEPS)
def test_any_sequence(steps: list[tuple[str, int, str | None]]) -> None:
    """No rate is negative or more than was done, and the sums grow by what was done at most."""
    world, seen = World(), History(600)
    vm = seen.add(world.sample(None))
    done_at = {0: dict(world.done)}
    for what, work, hidden in steps:
        before = vm
        world.step(what, work)
        done_at.setdefault(world.second, dict(world.done))
        vm = seen.add(world.sample(hidden))
        assert vm.sample.generation >= before.sample.generation
        for name, total in sums(vm).items():
            assert sums(before)[name] <= total <= world.done[name]
        for name, per_s in speeds(vm).items():
            assert per_s is None or per_s >= 0
            assert vm.rates is not None
            since_s = (vm.rates.since.monotonic_ns - 7) // NS_PER_S
            most = world.done[name] - done_at[since_s][name]
            assert (per_s or 0) <= most * (1 + 1e-9)


@given(
    st.lists(
        st.tuples(st.sampled_from(["work", "restart", "stop"]), st.integers(0, 10_000)),
        max_size=15,
    )
)
def test_sums_of_what_was_seen_whole(steps: list[tuple[str, int]]) -> None:
    """Where each process is sampled until its end, the sums are exactly what was done."""
    world, seen = World(), History(600)
    vm = seen.add(world.sample(None))
    for what, work in steps:
        world.step(what, work)
        vm = seen.add(world.sample(None))
    assert sums(vm) == world.done
