# SPDX-License-Identifier: GPL-2.0-or-later
"""Lives, spans and runs of VMs, and their states, as they are written."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

from kvmlog.history import journal, rows
from kvmlog.history.model import NS_PER_S, ChangeKind, Owner, Size, Source
from kvmlog.history.moment import Stamp
from kvmlog.history.store import Transaction, storable
from kvmlog.vmstats.definition import Definition, Instance
from kvmlog.vmstats.sample import ACTIVE, Sample, State

_T = TypeVar("_T", Owner, Size)

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
# Nova's hard reboot undefines a domain and defines it anew: its life goes on.
_AGAIN_S: Final = 60


class Vm:
    """A VM whose life goes on, within a transaction."""

    def __init__(self, transaction: Transaction, row: sqlite3.Row) -> None:
        self._transaction = transaction
        self.id: int = row["id"]
        self.uuid: str = row["uuid"]
        self.name: str = row["name"]
        self.uri: str = row["uri"]
        self.state: State | None = None if row["state"] is None else State(row["state"])
        self.reason: int | None = row["reason"]
        self.domain_id: int | None = row["domain_id"]
        self.persistent: bool | None = (
            None if row["persistent"] is None else bool(row["persistent"])
        )
        self.began = rows.stamp(row, "began", transaction.boots)
        self.evident = rows.stamp(row, "evident", transaction.boots)

    @property
    def project_id(self) -> str | None:
        """Return the project of its last owner."""
        row = self._last("span")
        return None if row is None else row["project_id"]

    def run(self) -> sqlite3.Row | None:
        """Return the row of the run that goes on."""
        row = self._last("run")
        return row if row is not None and row["ended"] is None else None

    def run_began(self) -> Stamp | None:
        """Return when the run that goes on began."""
        row = self.run()
        return None if row is None else rows.stamp(row, "began", self._transaction.boots)

    def last_run_ended(self) -> Stamp | None:
        """Return when its last run ended; None while it goes on, or where there was none."""
        row = self._last("run")
        return None if row is None else rows.maybe_stamp(row, "ended", self._transaction.boots)

    def begin_run(self, at: Stamp, *, witnessed: bool) -> None:
        """Begin a run, unless one goes on."""
        if self.run() is None:
            self._transaction.insert("run", life=self.id, began=at, witnessed=witnessed)

    def end_run(self, at: Stamp, source: Source) -> None:
        """End the run that goes on, if one does."""
        row = self.run()
        if row is not None:
            self._transaction.update("run", row["id"], ended=at, end_source=source)

    def enter(self, state: State, reason: int | None, at: Stamp, source: Source) -> bool:
        """Note its state; return whether that is another one than before."""
        before, self.state, self.reason, self.evident = self.state, state, reason, at
        self._transaction.update("life", self.id, state=state, reason=reason, evident=at)
        if before is state:
            return False
        if before is not None:
            self._changed(before, state, reason, at, source)
        return True

    def note(self, **columns: Any) -> None:
        """Set columns of its life."""
        self._transaction.update("life", self.id, **columns)
        for name, value in columns.items():
            setattr(self, name, value)

    def rename(self, name: str, at: Stamp) -> None:
        """Give it another name."""
        if name != self.name:
            self.tell(at, "renamed", before=self.name, after=name)
            self.note(name=name)

    def take(self, definition: Definition, disk_bytes: int | None, at: Stamp) -> Size | None:
        """Note owner and size; return the size before, where it was another one."""
        owner, size = _owner(definition.instance), _storable(_size(definition, disk_bytes))
        row = self._last("span")
        if row is None:
            self._begin_span(self.began, owner, size)
            self._name_owner(owner)
            self.tell(self.began, "began", **_described(owner, size))
            return None
        last = rows.span(row, self._transaction.boots)
        if size.disk_bytes is None and definition.instance is None:
            # libvirt tells it of VMs that run.
            size = _with_disk(size, last.size.disk_bytes)
        if (last.owner, last.size) == (owner, size):
            return None
        only_disk = last.owner == owner and _with_disk(last.size, size.disk_bytes) == size
        if only_disk and last.size.disk_bytes is None:
            # What was always so is known now.
            self._transaction.update("span", row["id"], disk_bytes=size.disk_bytes)
            return None
        self._transaction.update("span", row["id"], ended=at)
        self._begin_span(at, owner, size)
        self.tell(at, "resized", before=asdict(last.size), **_described(owner, size))
        return last.size if last.size != size else None

    def end(self, at: Stamp, source: Source) -> None:
        """End its life."""
        self.end_run(at, source)
        row = self._last("span")
        if row is None:
            # Never sampled: nobody knows what it was.
            self._transaction.execute("DELETE FROM life WHERE id = ?", [self.id])
        else:
            if row["ended"] is None:
                self._transaction.update("span", row["id"], ended=at)
            self._transaction.update("life", self.id, ended=at, end_source=source)
        if self.state is not None:
            self._changed(self.state, None, None, at, source)
        self.tell(at, "ended", source=source)

    def tell(self, at: Stamp, what: str, **more: Any) -> None:
        """Append to the journal what became of its life."""
        body = {"what": what, "uri": self.uri, "project_id": self.project_id, **more}
        journal.add(self._transaction, ChangeKind.LIFE, at, body, uuid=self.uuid, name=self.name)

    def _changed(
        self, before: State, after: State | None, reason: int | None, at: Stamp, source: Source
    ) -> None:
        self._transaction.insert(
            "state_change",
            uuid=self.uuid,
            name=self.name,
            at=at,
            before=before,
            after=after,
            reason=reason,
            source=source,
        )
        if after is None:
            return
        body = {
            "before": before,
            "after": after,
            "reason": reason,
            "source": source,
            "project_id": self.project_id,
        }
        journal.add(self._transaction, ChangeKind.STATE, at, body, uuid=self.uuid, name=self.name)

    def _begin_span(self, at: Stamp, owner: Owner | None, size: Size) -> None:
        owned = {} if owner is None else asdict(owner)
        self._transaction.insert(
            "span", life=self.id, began=at, owned=owner is not None, **owned, **asdict(size)
        )

    def _name_owner(self, owner: Owner | None) -> None:
        """Name the owner in what was noted before the VM was sampled first."""
        if owner is not None:
            for table in ("action", "fault"):
                self._transaction.execute(
                    f"UPDATE {table} SET project_id = ? WHERE uuid = ? AND project_id IS NULL",
                    [owner.project_id, self.uuid],
                )

    def _last(self, table: str) -> sqlite3.Row | None:
        return self._transaction.one(
            f"SELECT * FROM {table} WHERE life = ? ORDER BY id DESC LIMIT 1", [self.id]
        )


def find(transaction: Transaction, uuid: str) -> Vm | None:
    """Return the VM of a UUID, if its life goes on."""
    row = transaction.one("SELECT * FROM life WHERE uuid = ? AND ended IS NULL", [uuid])
    return None if row is None else Vm(transaction, row)


def all_there(transaction: Transaction) -> list[Vm]:
    """Return the VMs whose lives go on."""
    found = transaction.all("SELECT * FROM life WHERE ended IS NULL ORDER BY id")
    return [Vm(transaction, row) for row in found]


def last_ended(transaction: Transaction, uuid: str) -> Stamp | None:
    """Return when the last life of a UUID ended, also of a VM that was never sampled."""
    row = transaction.one(
        "SELECT * FROM state_change WHERE uuid = ? AND after IS NULL ORDER BY id DESC LIMIT 1",
        [uuid],
    )
    return None if row is None else rows.stamp(row, "at", transaction.boots)


def begin(
    transaction: Transaction,
    *,
    uuid: str,
    name: str,
    uri: str,
    at: Stamp,
    witnessed: bool,
    persistent: bool | None = None,
) -> Vm:
    """Begin a life, or go on with one that ended a moment ago."""
    last = transaction.one(
        "SELECT * FROM life WHERE uuid = ? AND uri = ? ORDER BY id DESC LIMIT 1", [uuid, uri]
    )
    if last is not None and (
        rows.stamp(last, "ended", transaction.boots).until(at) <= _AGAIN_S * NS_PER_S
    ):
        transaction.execute(
            "UPDATE life SET ended = NULL, ended_mono = NULL, ended_boot = NULL, "
            "end_source = NULL, state = NULL, reason = NULL WHERE id = ?",
            [last["id"]],
        )
        transaction.execute(
            "UPDATE span SET ended = NULL, ended_mono = NULL, ended_boot = NULL "
            "WHERE id = (SELECT max(id) FROM span WHERE life = ?)",
            [last["id"]],
        )
        transaction.update("life", last["id"], name=name, evident=at, persistent=persistent)
    else:
        transaction.insert(
            "life",
            uuid=uuid,
            name=name,
            uri=uri,
            began=at,
            witnessed=witnessed,
            persistent=persistent,
            evident=at,
        )
    made = find(transaction, uuid)
    assert made is not None
    if last is not None and made.id == last["id"]:
        made.tell(at, "continued")
    return made


def disk_bytes(sample: Sample) -> int | None:
    """Return the capacity of a VM's disks; None where it is not known of each."""
    counted = {disk.target for disk in sample.definition.disks if disk.counts}
    known = {block.target: block.capacity_bytes for block in sample.blocks or ()}
    sizes = [known.get(target) for target in counted]
    if None in sizes or (counted and sample.blocks is None):
        return None
    return sum(size for size in sizes if size is not None)


def is_active(state: State | None) -> bool:
    """Return whether a VM in this state has a process."""
    return state in ACTIVE


def _owner(instance: Instance | None) -> Owner | None:
    if instance is None:
        return None
    return _storable(
        Owner(instance.project_id, instance.project_name, instance.user_id, instance.user_name)
    )


def _size(definition: Definition, disks: int | None) -> Size:
    instance = definition.instance
    vcpus, memory = definition.vcpus, definition.maximum_memory_bytes
    if instance is None:
        return Size(vcpus, memory, disks, None, None)
    if instance.flavor_vcpus is not None:
        vcpus = instance.flavor_vcpus
    if instance.flavor_memory_mib is not None:
        memory = instance.flavor_memory_mib * _MIB
    if instance.flavor_disk_gib is not None:
        disks = (instance.flavor_disk_gib + (instance.flavor_ephemeral_gib or 0)) * _GIB
    return Size(vcpus, memory, disks, instance.flavor_id, instance.flavor_name)


def _storable(described: _T) -> _T:
    """Return an owner or a size as it will be read again, to be compared with that."""
    return replace(described, **{name: storable(value) for name, value in vars(described).items()})


def _with_disk(size: Size, disks: int | None) -> Size:
    return Size(size.vcpus, size.memory_bytes, disks, size.flavor_id, size.flavor_name)


def _described(owner: Owner | None, size: Size) -> dict[str, Any]:
    return {"owner": None if owner is None else asdict(owner), "size": asdict(size)}
