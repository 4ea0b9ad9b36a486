# SPDX-License-Identifier: GPL-2.0-or-later
"""What libvirt's events mean: actions, states and faults of VMs.

start is RESUMED and STARTED, a guest's reset three REBOOTs, a full disk IO_ERROR and SUSPENDED.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from kvmlog.history import actions, faults, journal, lives
from kvmlog.history.lives import Vm
from kvmlog.history.model import NS_PER_S, ChangeKind, FaultKind, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction
from kvmlog.vmstats.events import Event, Header, Kind, Occurrence
from kvmlog.vmstats.sample import State

_POSITION: Final = "events"
# virDomainRunningReason, ...PausedReason, ...ShutoffReason by the words of events.
_RUNNING: Final = {
    "booted": 1,
    "migrated": 2,
    "restored": 3,
    "from_snapshot": 4,
    "unpaused": 5,
    "wakeup": 8,
    "postcopy": 10,
}
_PAUSED: Final = {
    "paused": 1,
    "migrated": 2,
    "ioerror": 5,
    "watchdog": 6,
    "from_snapshot": 7,
    "postcopy": 12,
    "postcopy_failed": 13,
    "api_error": 14,
}
_SHUTOFF: Final = {
    "shutdown": 1,
    "destroyed": 2,
    "crashed": 3,
    "migrated": 4,
    "saved": 5,
    "failed": 6,
    "from_snapshot": 7,
}
_INCOMING: Final = 2  # VIR_DOMAIN_PAUSED_MIGRATION
# From the start of its process until libvirt tells it; a busy host takes long.
_ONE_START_NS: Final = 60 * NS_PER_S
_PANICKED: Final = 1  # VIR_DOMAIN_CRASHED_PANICKED
MIGRATION: Final = "live-migration"
_MIGRATED: Final = "migrated"


@dataclass(frozen=True)
class _Happened:
    """An event of a VM, within a transaction."""

    transaction: Transaction
    vm: Vm
    what: Occurrence
    at: Stamp

    @property
    def detail(self) -> str:
        return self.what.detail or ""

    @property
    def step(self) -> str:
        """Return the name that the event has among an action's."""
        return f"libvirt_domain_{self.what.kind}"

    def did(self, action: str) -> None:
        actions.happened(
            self.transaction, self.vm, action, self.step, self.at, details=self.what.detail
        )

    def begins(self, action: str) -> None:
        actions.begun(self.transaction, self.vm, action, self.step, self.at, self.what.detail)

    def enters(self, state: State, reason: int | None) -> None:
        self.vm.enter(state, reason, self.at, Source.EVENT)

    def fails(self, kind: FaultKind, message: str, **details: str) -> None:
        faults.happened(
            self.transaction,
            kind,
            self.at,
            uuid=self.vm.uuid,
            name=self.vm.name,
            project_id=self.vm.project_id,
            message=message,
            details=details,
            source=Source.EVENT,
        )


def take(transaction: Transaction, header: Header, events: Iterable[Event]) -> int:
    """Note all that events tell which have not been taken; return how many were lost before."""
    log_id, last = _position(transaction)
    if log_id != header.log_id:
        last = 0
    lost = 0
    for event in events:
        if event.sequence <= last:
            continue
        missing = event.sequence - last - 1
        # A history that begins looks at what is there.
        if missing and log_id is not None:
            lost += missing
            _tell_gap(transaction, missing, _stamp(event, header))
        last, log_id = event.sequence, header.log_id
        _take(transaction, event.what, _stamp(event, header))
    value = json.dumps([header.log_id, last])
    transaction.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", [_POSITION, value])
    return lost


def _position(transaction: Transaction) -> tuple[str | None, int]:
    row = transaction.one("SELECT value FROM position WHERE source = ?", [_POSITION])
    if row is None:
        return None, 0
    log_id, last = json.loads(row["value"])
    return log_id, last


def _tell_gap(transaction: Transaction, missing: int, at: Stamp) -> None:
    transaction.execute("UPDATE meta SET lost_events = lost_events + ?", [missing])
    body = {"events": missing}
    journal.add(transaction, ChangeKind.GAP, at, body)


def _stamp(event: Event, header: Header) -> Stamp:
    at = event.what.at
    return Stamp(at.realtime_ns, at.monotonic_ns, header.boot_id)


def _take(transaction: Transaction, what: Occurrence, at: Stamp) -> None:
    if what.kind in (Kind.CONNECTED, Kind.DISCONNECTED):
        body = {"uri": what.uri, "connected": what.kind is Kind.CONNECTED, "error": what.detail}
        journal.add(transaction, ChangeKind.CONNECTION, at, body)
    if what.uuid is None or what.uri is None:
        return
    vm = lives.find(transaction, what.uuid)
    if vm is None:
        if what.kind not in (Kind.DEFINED, Kind.STARTED):
            return
        vm = lives.begin(
            transaction,
            uuid=what.uuid,
            name=what.name or what.uuid,
            uri=what.uri,
            at=at,
            witnessed=True,
            persistent=True if what.kind is Kind.DEFINED else None,
        )
    handler = _HANDLERS.get(what.kind)
    if handler is not None:
        handler(_Happened(transaction, vm, what, at))


def _defined(one: _Happened) -> None:
    one.vm.note(persistent=True)
    if one.what.name:
        one.vm.rename(one.what.name, one.at)
    if one.vm.state is None:
        one.enters(State.SHUTOFF, None)
    if one.detail == "added":
        one.did("create")


def _undefined(one: _Happened) -> None:
    if one.detail == "renamed":
        return
    one.did("delete")
    one.vm.note(persistent=False)
    if not lives.is_active(one.vm.state):
        one.vm.end(one.at, Source.EVENT)


def _started(one: _Happened) -> None:
    began = one.vm.run_began()
    # A sample may have told it while libvirt still was about to.
    is_told = began is not None and began.until(one.at) < _ONE_START_NS
    if not is_told:
        one.vm.end_run(one.at, Source.SAMPLE)
    one.vm.begin_run(one.at, witnessed=True)
    if one.detail == _MIGRATED:
        one.enters(State.PAUSED, _INCOMING)
        one.begins(MIGRATION)
        return
    one.enters(State.RUNNING, _RUNNING.get(one.detail))
    if not is_told:
        one.did("resume" if one.detail == "restored" else "start")


def _suspended(one: _Happened) -> None:
    if one.vm.run() is None:
        return
    one.enters(State.PAUSED, _PAUSED.get(one.detail))
    if one.detail == _MIGRATED:
        one.begins(MIGRATION)
    elif one.detail in ("paused", "ioerror", "watchdog", "api_error"):
        one.did("pause")


def _resumed(one: _Happened) -> None:
    if one.vm.run() is None:
        # One that is about to start: STARTED follows, and samples wait for it.
        one.vm.note(evident=one.at)
        return
    was_paused = one.vm.state is State.PAUSED
    incoming = one.vm.reason == _INCOMING
    one.enters(State.RUNNING, _RUNNING.get(one.detail))
    if actions.is_open(one.transaction, one.vm, MIGRATION, one.at):
        began_here = one.vm.run_began()
        if incoming and began_here is not None and _is_arriving(one):
            one.did(MIGRATION)
        else:
            actions.failed(one.transaction, one.vm, MIGRATION, one.at, "it goes on on this host")
    elif was_paused and one.detail == "unpaused":
        one.did("unpause")


def _is_arriving(one: _Happened) -> bool:
    """Return whether the migration that is under way began with a start here."""
    row = one.transaction.one(
        "SELECT event FROM action_event JOIN action ON action.id = action_event.action "
        "WHERE uuid = ? AND action.action = ? ORDER BY action_event.id DESC LIMIT 1",
        [one.vm.uuid, MIGRATION],
    )
    return row is not None and row["event"] == f"libvirt_domain_{Kind.STARTED}"


def _shutdown(one: _Happened) -> None:
    one.enters(State.SHUTDOWN, None)
    one.begins("stop")


def _stopped(one: _Happened) -> None:
    one.enters(State.SHUTOFF, _SHUTOFF.get(one.detail))
    one.vm.end_run(one.at, Source.EVENT)
    if one.detail == _MIGRATED:
        one.did(MIGRATION)
    elif one.detail == "saved":
        one.did("suspend")
    elif one.detail == "failed":
        one.fails(FaultKind.QEMU_DIED, "The VM's QEMU died")
    elif one.detail == "crashed":
        one.fails(FaultKind.CRASHED, "The guest crashed")
    else:
        one.did("stop")
    if one.vm.persistent is False:
        one.vm.end(one.at, Source.EVENT)


def _pmsuspended(one: _Happened) -> None:
    one.enters(State.PMSUSPENDED, None)


def _crashed(one: _Happened) -> None:
    one.enters(State.CRASHED, _PANICKED)
    one.fails(FaultKind.CRASHED, "The guest crashed")


def _reboot(one: _Happened) -> None:
    one.did("reboot")


def _watchdog(one: _Happened) -> None:
    one.fails(FaultKind.WATCHDOG, f"The guest's watchdog fired ({one.detail})", action=one.detail)


def _io_error(one: _Happened) -> None:
    facts = one.what.facts
    device = facts.get("alias") or facts.get("path") or "a disk"
    reason = one.detail or "no reason given"
    then = ": the guest is paused" if facts.get("action") == "pause" else ""
    one.fails(FaultKind.IO_ERROR, f"I/O error of {device} ({reason}){then}", reason=reason, **facts)


def _device_added(one: _Happened) -> None:
    _device(one, "attach")


def _device_removed(one: _Happened) -> None:
    _device(one, "detach")


def _device(one: _Happened, verb: str) -> None:
    """Note a disk or interface, by the alias that libvirt gives it: virtio-disk1, net0."""
    alias = one.detail
    if "disk" in alias or alias.startswith(("scsi", "sata", "ide", "usb", "fdc")):
        one.did(f"{verb}_volume")
    elif alias.startswith(("net", "hostdev")):
        one.did(f"{verb}_interface")


_HANDLERS: Final[dict[Kind, Callable[[_Happened], None]]] = {
    Kind.DEFINED: _defined,
    Kind.UNDEFINED: _undefined,
    Kind.STARTED: _started,
    Kind.SUSPENDED: _suspended,
    Kind.RESUMED: _resumed,
    Kind.STOPPED: _stopped,
    Kind.SHUTDOWN: _shutdown,
    Kind.PMSUSPENDED: _pmsuspended,
    Kind.CRASHED: _crashed,
    Kind.REBOOT: _reboot,
    Kind.WATCHDOG: _watchdog,
    Kind.IO_ERROR: _io_error,
    Kind.DEVICE_ADDED: _device_added,
    Kind.DEVICE_REMOVED: _device_removed,
}
