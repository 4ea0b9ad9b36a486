# SPDX-License-Identifier: GPL-2.0-or-later
"""What samples tell that no event did: who is there, how large, and what was missed.

A sample is believed against the events only where it is clearly younger: a call of libvirt's may
have answered just before the event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kvmlog.history import actions, faults, lives
from kvmlog.history.events import MIGRATION
from kvmlog.history.lives import Vm
from kvmlog.history.model import NS_PER_S, FaultKind, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import Sample, State
from kvmlog.vmstats.snapshot import Snapshot

# libvirt has so long to answer (kvmlog.vmstats.libvirt.session).
_MARGIN_NS: Final = 2 * NS_PER_S
_STEP: Final = "kvmlog_sample"
_STARTING_UP: Final = 11  # VIR_DOMAIN_PAUSED_STARTING_UP
# virDomainShutoffReason
_CRASHED: Final = 3
_MIGRATED: Final = 4
_SAVED: Final = 5
_FAILED: Final = 6
_HOST_WENT_DOWN: Final = 0  # VIR_DOMAIN_SHUTOFF_UNKNOWN


class Samples:
    """What was noted of the snapshot before, beside the file: who was missing in it."""

    def __init__(self) -> None:
        # Number of its connection's polls when a VM was missed first, by UUID.
        self._missing: dict[str, int] = {}

    def take(self, transaction: Transaction, snapshot: Snapshot) -> None:
        """Note what a snapshot tells; events of its time have been taken before."""
        known = {vm.uuid: vm for vm in lives.all_there(transaction)}
        polls = {one.uri: one.polls for one in snapshot.collector.connections if one.connected}
        there: set[str] = set()
        for one in snapshot.vms:
            sample = one.sample
            there.add(sample.uuid)
            if sample.uri in polls and not sample.timed_out:
                _take(transaction, known.get(sample.uuid), sample, snapshot.boot_id)
        self._end_missing(
            transaction,
            (vm for uuid, vm in known.items() if uuid not in there),
            polls,
            {one.uri for one in snapshot.collector.connections},
            _stamp(snapshot.collector.written, snapshot.boot_id),
        )

    def _end_missing(
        self,
        transaction: Transaction,
        missing: Iterable[Vm],
        polls: dict[str, int],
        uris: set[str],
        now: Stamp,
    ) -> None:
        """End the lives of VMs that two polls did not find, or whose libvirt nobody asks now."""
        still: dict[str, int] = {}
        for vm in missing:
            if vm.uri not in uris:
                vm.end(now, Source.SAMPLE)
                continue
            count = polls.get(vm.uri)
            first = self._missing.get(vm.uuid)
            if count is None:
                if first is not None:
                    still[vm.uuid] = first
            # Another collector counts anew.
            elif first is None or count < first or not _is_clearly_younger(now, vm.evident):
                still[vm.uuid] = count
            elif count == first:
                still[vm.uuid] = first
            else:
                # A transient domain ends with its run.
                at = vm.last_run_ended() if vm.state is State.SHUTOFF else None
                if lives.is_active(vm.state):
                    _missed_stop(transaction, vm, State.SHUTOFF, None, now)
                vm.end(at or now, Source.SAMPLE)
        self._missing = still


def host_went_down(transaction: Transaction, last: Stamp) -> None:
    """End the runs of the boot before: nobody knows their end better than `last`."""
    for vm in lives.all_there(transaction):
        if vm.run() is not None:
            vm.end_run(last, Source.SAMPLE)
            vm.enter(State.SHUTOFF, _HOST_WENT_DOWN, last, Source.SAMPLE)


def _take(transaction: Transaction, vm: Vm | None, sample: Sample, boot_id: str) -> None:
    at = _stamp(sample.taken, boot_id)
    if vm is None:
        ended = lives.last_ended(transaction, sample.uuid)
        if ended is not None and not _is_clearly_younger(at, ended):
            return  # the events of its end are taken at once, samples some seconds later
        vm = lives.begin(
            transaction,
            uuid=sample.uuid,
            name=sample.name,
            uri=sample.uri,
            at=at,
            witnessed=False,
        )
    elif vm.evident.boot_id == at.boot_id and vm.evident.monotonic_ns > at.monotonic_ns:
        return  # an event is younger than the sample
    if vm.uri != sample.uri:
        vm.note(uri=sample.uri)
    vm.rename(sample.name, at)
    before = vm.take(sample.definition, lives.disk_bytes(sample), at)
    if before is not None:
        _did(transaction, vm, "resize", at)
    # Of processes elsewhere it is when the collector first saw them.
    began = None
    if sample.started is not None and sample.pid is not None:
        began = _stamp(sample.started, boot_id)
    if sample.state is State.PAUSED and sample.state_reason == _STARTING_UP:
        return  # an event tells when it runs
    if vm.state is None:
        _meet(vm, sample, at, began)
        return
    if not _is_clearly_younger(at, vm.evident):
        return
    if sample.active and _is_another_run(vm, sample, began):
        _missed_stop(transaction, vm, State.SHUTOFF, None, at if began is None else began)
        vm.begin_run(began or at, witnessed=began is not None)
        vm.enter(sample.state, sample.state_reason, at, Source.SAMPLE)
        _did(transaction, vm, "start", at, began)
    elif _differs(vm, sample):
        _missed(transaction, vm, sample, at, began)
    if vm.domain_id != sample.domain_id:
        vm.note(domain_id=sample.domain_id)


def _meet(vm: Vm, sample: Sample, at: Stamp, began: Stamp | None) -> None:
    """Note the state of a VM that is seen for the first time."""
    if sample.active:
        vm.begin_run(began or at, witnessed=began is not None)
    vm.enter(sample.state, sample.state_reason, at, Source.SAMPLE)
    vm.note(domain_id=sample.domain_id)


def _is_another_run(vm: Vm, sample: Sample, began: Stamp | None) -> bool:
    """Return whether the VM has been stopped and started since it was seen last."""
    if not lives.is_active(vm.state):
        return False
    known = vm.run_began()
    if began is not None and known is not None:
        # The process is there before libvirt tells of the start.
        later = known.until(began) if known.boot_id == began.boot_id else _MARGIN_NS + 1
        if later > _MARGIN_NS:
            return True
        if began.until(known) <= _MARGIN_NS:
            return False
    return vm.domain_id is not None and sample.domain_id != vm.domain_id


def _differs(vm: Vm, sample: Sample) -> bool:
    """Return whether the states differ: running and blocked on a resource are one."""
    same = (State.RUNNING, State.BLOCKED)
    return vm.state is not sample.state and not (vm.state in same and sample.state in same)


def _missed(
    transaction: Transaction, vm: Vm, sample: Sample, at: Stamp, began: Stamp | None
) -> None:
    """Note a change of state that no event told."""
    before = vm.state
    if not sample.active:
        _missed_stop(transaction, vm, sample.state, sample.state_reason, at)
        return
    if not lives.is_active(before):
        vm.begin_run(began or at, witnessed=began is not None)
        _did(transaction, vm, "start", at, began)
    elif sample.state is State.PAUSED:
        _did(transaction, vm, "pause", at)
    elif before is State.PAUSED:
        _did(transaction, vm, "unpause", at)
    vm.enter(sample.state, sample.state_reason, at, Source.SAMPLE)


def _missed_stop(
    transaction: Transaction, vm: Vm, state: State, reason: int | None, at: Stamp
) -> None:
    vm.end_run(at, Source.SAMPLE)
    vm.enter(state, reason, at, Source.SAMPLE)
    if reason in (_CRASHED, _FAILED) or state is State.CRASHED:
        died = state is not State.CRASHED
        faults.happened(
            transaction,
            FaultKind.QEMU_DIED if died else FaultKind.CRASHED,
            at,
            uuid=vm.uuid,
            name=vm.name,
            project_id=vm.project_id,
            message="The VM's QEMU died, while nobody looked" if died else "The guest crashed",
            details={},
            source=Source.SAMPLE,
        )
    else:
        action = {_MIGRATED: MIGRATION, _SAVED: "suspend"}.get(reason or 0, "stop")
        _did(transaction, vm, action, at)


def _did(
    transaction: Transaction, vm: Vm, action: str, at: Stamp, start: Stamp | None = None
) -> None:
    actions.happened(transaction, vm, action, _STEP, at, source=Source.SAMPLE, start=start)


def _is_clearly_younger(at: Stamp, evident: Stamp) -> bool:
    """Return whether a sample may contradict what was evident: always after a restart."""
    return at.boot_id != evident.boot_id or evident.until(at) >= _MARGIN_NS


def _stamp(moment: Moment, boot_id: str) -> Stamp:
    return Stamp(moment.realtime_ns, moment.monotonic_ns, boot_id)
