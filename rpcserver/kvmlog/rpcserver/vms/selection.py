# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs by the words that people give, exactly as guests are found for exits (kvmlog.guests.lookup).

A VM of libvirt and a guest of the bridge with the same UUID, or the same pid, are one: whatever
names the one names the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kvmlog.guests.lookup import WordIndex
from kvmlog.guests.model import Guest
from kvmlog.guests.sanitize import clean
from kvmlog.rpcserver.vms.errors import InvalidRequestError, UnknownVmError
from kvmlog.vmstats.snapshot import Snapshot, Vm

_LISTED: Final = 20


class VmIndex:
    """The VMs of a snapshot by name, alias, UUID and pid."""

    def __init__(self, snapshot: Snapshot, guests: Iterable[Guest]) -> None:
        self._vms = snapshot.vms
        self._answering = snapshot.collector.answering
        self._index: WordIndex[Vm] = WordIndex()
        self._strangers: WordIndex[Guest] = WordIndex()  # that libvirt does not know
        names = _GuestNamesOf(guests)
        for vm in self._vms:
            sample = vm.sample
            words = {sample.name, sample.uuid, *names.take(vm)}
            if sample.pid is not None:
                words.add(str(sample.pid))
            self._index.add(vm, words)
        for guest in names.left():
            self._strangers.add(guest, (guest.name, *guest.aliases, guest.uuid, str(guest.pid)))

    def matching(self, words: Sequence[str]) -> list[Vm]:
        """Return the VMs that any of the words names, all without words; UnknownVmError."""
        if not words:
            return list(self._vms)
        found: dict[int, Vm] = {}
        for word in words:
            matched = self._index.matching(word)
            if not matched:
                raise UnknownVmError(self._no_match(word))
            found.update({id(vm): vm for vm in matched})
        return list(found.values())

    def one(self, word: str) -> Vm:
        """Return the VM that a word names; UnknownVmError, InvalidRequestError for several.

        Of one that is migrating, which two connections know, it is the one that runs.
        """
        found = self.matching([word])
        running = [vm for vm in found if vm.sample.active]
        if len(found) > 1 and len(running) == 1:
            found = running
        if len(found) > 1:
            uuids = ", ".join(vm.sample.uuid for vm in found[:_LISTED])
            raise InvalidRequestError(
                f"'{clean(word)}' names {len(found)} VMs; give the UUID of one: {uuids}"
            )
        return found[0]

    def _no_match(self, word: str) -> str:
        if self._strangers.matching(word):
            return (
                f"'{clean(word)}' is a guest that libvirt does not know: there are only its exits "
                "(kvmStatistics, kvmlog stat)"
            )
        shown = [f"{vm.sample.name} ({vm.sample.uuid})" for vm in self._vms[:_LISTED]]
        nobody = f"no VM has the name, UUID or pid '{clean(word)}'"
        if not shown:
            if self._answering:
                return f"{nobody}; none is known yet, and {self._answering}"
            return f"{nobody}; libvirt knows no VM at all"
        more = f", and {len(self._vms) - _LISTED} more" if len(self._vms) > _LISTED else ""
        lacking = f"; {self._answering}" if self._answering else ""
        return f"{nobody}; name one of: {', '.join(shown)}{more}{lacking}"


class _GuestNamesOf:
    """The names that the bridge knows VMs by; each guest is one VM's at most."""

    def __init__(self, guests: Iterable[Guest]) -> None:
        self._left = [guest for guest in guests if guest.ended_realtime_ns is None]
        self._by_uuid = {guest.uuid: guest for guest in self._left if guest.uuid}
        self._by_pid = {guest.pid: guest for guest in self._left}
        self._taken: set[int] = set()

    def take(self, vm: Vm) -> tuple[str, ...]:
        """Return what names the guest that this VM is; nothing where the bridge has none."""
        sample = vm.sample
        guest = None if sample.pid is None else self._by_pid.get(sample.pid)
        guest = guest or (self._by_uuid.get(sample.uuid) if sample.active else None)
        if guest is None:
            return ()
        self._taken.add(id(guest))
        return (guest.name, *guest.aliases, str(guest.pid))

    def left(self) -> list[Guest]:
        """Return the guests that are no VM of libvirt's."""
        return [guest for guest in self._left if id(guest) not in self._taken]
