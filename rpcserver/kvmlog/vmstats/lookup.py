# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs by the words that people give, by the rules that hold for guests (kvmlog.guests.lookup).

A word is a name, a UUID or a pid, or an alias of the guest that the bridge knows under the same
UUID or pid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kvmlog.guests.lookup import WordIndex
from kvmlog.guests.model import Guest
from kvmlog.guests.sanitize import clean
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.sample import Sample
from kvmlog.vmstats.snapshot import Vm

_LISTED: Final = 20


def matching(vms: Sequence[Vm], words: Sequence[str], guests: Iterable[Guest] = ()) -> list[Vm]:
    """Return the VMs that any of the words names, in their order; without a word, all.

    guests: those of the bridge's registry. VmStatsError for a word that names no VM.
    """
    if not words:
        return list(vms)
    running = [guest for guest in guests if guest.ended_realtime_ns is None]
    by_uuid = {guest.uuid: guest for guest in running if guest.uuid}
    by_pid = {guest.pid: guest for guest in running}
    index: WordIndex[int] = WordIndex()
    for at, vm in enumerate(vms):
        sample = vm.sample
        guest = by_pid.get(sample.pid) if sample.pid is not None else by_uuid.get(sample.uuid)
        index.add(at, _words(sample, guest))
    found: set[int] = set()
    for word in words:
        named = index.matching(word)
        if not named:
            raise VmStatsError(_no_match(word, vms))
        found.update(named)
    return [vms[at] for at in sorted(found)]


def _words(sample: Sample, guest: Guest | None) -> Iterator[str]:
    yield from (sample.name, sample.uuid)
    if sample.pid is not None:
        yield str(sample.pid)
    if guest is not None:
        yield from (guest.name, *guest.aliases)


def _no_match(word: str, vms: Sequence[Vm]) -> str:
    sentence = f"no VM of libvirt has the name, UUID or pid '{clean(word)}'; "
    if not vms:
        return f"{sentence}there is no VM at all: define one, or name none"
    sentence += f"name one of: {', '.join(vm.sample.name for vm in vms[:_LISTED])}"
    if len(vms) > _LISTED:
        sentence += f", and {len(vms) - _LISTED} more"
    return sentence
