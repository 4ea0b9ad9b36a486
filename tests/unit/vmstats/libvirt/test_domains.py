# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains from one poll to the next, with records of libvirt's by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from kvmlog.vmstats.libvirt.calls import Answer, Bare, Record
from kvmlog.vmstats.libvirt.domains import Domains
from kvmlog.vmstats.libvirt.events import Changes
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from kvmlog.vmstats.snapshot import Vm

URI: Final = "qemu+ssh://host2/system"
UUID: Final = "00000000-0000-4000-8000-000000000001"
XML: Final = f"""
<domain type='kvm' id='7'>
  <name>web1</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <source file='/a.img'/><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    </disk>
    <memballoon model='virtio'><stats period='10'/></memballoon>
  </devices>
</domain>
"""
# What libvirt gives of a domain whose QEMU is occupied by somebody else.
PART: Final[dict[str, int | str]] = {
    "state.state": 1,
    "state.reason": 1,
    "cpu.time": 10**9,
    "balloon.current": 65_536,
    "balloon.maximum": 65_536,
    "vcpu.current": 1,
    "vcpu.0.state": 1,
    "net.count": 0,
    "block.count": 1,
    "block.0.name": "vda",
}
FULL: Final[dict[str, int | str]] = {
    **PART,
    "balloon.rss": 40_000,
    "balloon.last-update": 1_800_000_000,
    "balloon.unused": 30_000,
    "balloon.available": 60_000,
    "block.0.rd.bytes": 4_096,
    "block.0.capacity": 1 << 20,
}


def at(seconds: float) -> Moment:
    """A moment that many seconds after the balloon driver's last word."""
    return Moment(round(seconds * 1e9), 1_800_000_000_000_000_000 + round(seconds * 1e9))


def record(figures: dict[str, int | str], domain_id: int | None = 7) -> Record:
    """A record of the one domain."""
    return Record(UUID, "web1", domain_id, figures)


class Polls:
    """Polls of the one domain."""

    def __init__(self, history_s: float = 600) -> None:
        self.changes = Changes(lambda: None, lambda _: None, URI)
        self.domains = Domains(URI, history_s, self.changes)
        self.read = 0  # definitions

    def take(self, seconds: float, *records: Record, hung: tuple[str, ...] = ()) -> tuple[Vm, ...]:
        """Poll once; definitions are read where they are asked for."""
        answer = Answer(at(seconds), records)
        wanted = self.domains.undefined(answer)
        self.read += len(wanted)
        self.domains.define(dict.fromkeys(wanted, XML))
        return self.domains.take(answer, hung, (), 4)


def test_figures_that_qemu_owes_keep_their_age() -> None:
    """State and CPU time are of now; disks and memory those of before, with their time."""
    polls = Polls()
    (before,) = polls.take(1, record(FULL))
    (part,) = polls.take(6, record({**PART, "cpu.time": 2 * 10**9}))
    sample = part.sample
    assert sample.cpu is not None
    assert sample.cpu.time_ns == 2 * 10**9
    assert (sample.taken, sample.timed_out) == (at(6), False)
    assert (sample.blocks, sample.blocks_taken) == (before.sample.blocks, at(1))
    assert sample.memory == before.sample.memory
    ages = {absence.group: absence.age_s for absence in sample.absent}
    assert ages == {"blocks": 5.0, "memory": 5.0}
    assert part.rates is not None
    assert part.rates.cpu is not None
    (after,) = polls.take(11, record(FULL))
    assert after.sample.blocks_taken == at(11)
    assert after.sample.absent == ()


@pytest.mark.parametrize("other", [8, None])
def test_another_life_inherits_nothing(other: int | None) -> None:
    """Of a domain with another id, or none, nothing of before is served."""
    polls = Polls()
    polls.take(1, record(FULL))
    off: dict[str, int | str] = {"state.state": 5, "state.reason": 1}
    figures = PART if other else off
    (vm,) = polls.take(2, record(figures, other))
    assert vm.sample.blocks is None
    assert vm.sample.memory is None or vm.sample.memory.taken == at(2)


def test_definitions_are_read_when_they_may_have_changed() -> None:
    """Once, then again for an event, another id or number of devices, never just so."""
    polls = Polls()
    for seconds in (1, 2, 3):
        polls.take(seconds, record(FULL))
    assert polls.read == 1
    polls.domains.redefine([UUID])
    polls.take(4, record(FULL))
    assert polls.read == 2
    polls.take(5, record({**FULL, "block.count": 2}))
    assert polls.read == 3
    polls.take(6, record({**FULL, "block.count": 2}, 8))
    assert polls.read == 4
    polls.domains.redefine()
    polls.take(7, record({**FULL, "block.count": 2}, 8))
    polls.take(8, record({**FULL, "block.count": 2}, 8))
    assert polls.read == 5


def test_a_definition_that_cannot_be_parsed() -> None:
    """The one before stays; without one the domain is left out, and no other."""
    polls = Polls()
    answer = Answer(at(1), (record(FULL), replace(record(FULL), uuid="b", name="odd")))
    polls.domains.define({UUID: XML, "b": "<domain"})
    (only,) = polls.domains.take(answer, (), (), None)
    assert only.sample.name == "web1"
    polls.domains.define({UUID: "no XML"})
    (still,) = polls.domains.take(answer, (), (), None)
    assert still.sample.definition == only.sample.definition


def test_a_domain_that_hangs_keeps_its_sample() -> None:
    """Until it answers again; one that is neither told nor hung is gone."""
    polls = Polls()
    (first,) = polls.take(1, record(FULL))
    (hung,) = polls.take(2, hung=(UUID,))
    assert hung.sample == replace(first.sample, timed_out=True)
    (again,) = polls.take(3, record(FULL))
    assert not again.sample.timed_out
    assert again.sample.generation == first.sample.generation
    assert polls.take(4) == ()


def test_without_libvirt_figures_are_served_for_a_while() -> None:
    """As old as they are; after the history they are unknown, and so is the domain."""
    polls = Polls(history_s=60)
    polls.changes.count_io_error(UUID, "virtio-disk0")
    (first,) = polls.take(1, record(FULL))
    assert first.sample.blocks is not None
    assert first.sample.blocks[0].io_errors == 1
    (stale,) = polls.domains.stale(at(60))
    assert (stale.sample.timed_out, stale.sample.taken) == (True, at(1))
    assert polls.domains.stale(at(62)) == ()
    assert polls.changes.io_errors(UUID, ["virtio-disk0"]) == {"virtio-disk0": 0}


def test_a_domain_that_has_never_answered() -> None:
    """What libvirt itself knows of it."""
    polls = Polls()
    assert polls.domains.unsampled([UUID]) == [UUID]
    polls.domains.define({UUID: XML})
    bare = Bare(UUID, "web1", 7, 3, 1)
    (vm,) = polls.domains.take(Answer(at(1), ()), [UUID], [bare], None)
    assert (vm.sample.state, vm.sample.timed_out) == (State.PAUSED, True)
    assert (vm.sample.cpu, vm.sample.memory, vm.sample.blocks) == (None, None, None)
    assert polls.domains.unsampled([UUID]) == []
