# SPDX-License-Identifier: GPL-2.0-or-later
"""The domains of one libvirt: what is known of each from one poll to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from kvmlog.util.errors import VmStatsError
from kvmlog.util.ratelimit import LogLimiter
from kvmlog.util.units import NS_PER_S
from kvmlog.vmstats import domain_xml, domstats, log, threads
from kvmlog.vmstats.definition import Definition
from kvmlog.vmstats.history import History
from kvmlog.vmstats.libvirt import pids, uri
from kvmlog.vmstats.libvirt.calls import Answer, Bare, Record
from kvmlog.vmstats.libvirt.events import Changes
from kvmlog.vmstats.libvirt.pids import DomainProcess
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import ACTIVE, Absence, Sample, State
from kvmlog.vmstats.snapshot import Vm

DOMAINS_MOST: Final = 8_192
_GROUPS: Final = ("cpu", "memory", "blocks", "interfaces")
_BUSY: Final = "the last ones that were known: QEMU is busy with another request"
_SILENT: Final = "its QEMU has not answered libvirt since the collector began"


@dataclass
class _Domain:
    """One domain."""

    definition: Definition
    xml: str
    shape: tuple[object, ...] = ()  # of the record that the definition was read for
    process: tuple[int, DomainProcess | None] | None = None  # domain id, and what it is
    vm: Vm | None = None
    seen: Moment | None = None  # when libvirt listed it last


class Domains:
    """All domains of one libvirt; for one thread."""

    def __init__(self, connection_uri: str, history_s: float, changes: Changes) -> None:
        self._uri = connection_uri
        self._folder = uri.state_folder(connection_uri)
        self._history = History(history_s)
        self._history_s = history_s
        self._changes = changes
        self._domains: dict[str, _Domain] = {}
        self._there: set[str] = set()  # UUIDs that libvirt listed last
        self._redefined: set[str] = set()
        self._log = LogLimiter(log)

    def redefine(self, uuids: Iterable[str] | None = None) -> None:
        """Have these definitions read again; None: all."""
        self._redefined.update(self._domains if uuids is None else uuids)

    def undefined(self, answer: Answer) -> list[str]:
        """Return the UUIDs of the domains whose definition has to be read."""
        return [
            record.uuid
            for record in answer.records[:DOMAINS_MOST]
            if record.uuid in self._redefined
            or (known := self._domains.get(record.uuid)) is None
            or known.shape != _shape(record)
        ]

    def unsampled(self, uuids: Iterable[str]) -> list[str]:
        """Return those of which there is no sample."""
        return [
            uuid for uuid in uuids if (known := self._domains.get(uuid)) is None or known.vm is None
        ]

    def define(self, texts: Mapping[str, str]) -> None:
        """Take definitions, XML by UUID; of one that cannot be parsed the one before stays."""
        for uuid, text in texts.items():
            self._redefined.discard(uuid)
            known = self._domains.get(uuid)
            if known is not None and known.xml == text:
                continue
            try:
                definition = domain_xml.parse(text)
            except VmStatsError as error:
                self._log(f"{self._uri}: domain {uuid}: {error}")
                continue
            if known is None:
                self._domains[uuid] = _Domain(definition, text)
            else:
                known.definition, known.xml = definition, text

    def take(
        self,
        answer: Answer,
        hung: Iterable[str],
        told: Iterable[Bare],
        host_cpus: int | None,
    ) -> tuple[Vm, ...]:
        """Return all domains after a poll, whose definitions have been read.

        hung: those that do not answer, of which the sample before is served; told: what is known of
        those among them that have none. Those in neither are gone.
        """
        there = set()
        for record in answer.records[:DOMAINS_MOST]:
            known = self._domains.get(record.uuid)
            if known is not None:  # or it has vanished before its definition could be read
                known.vm = self._history.add(
                    self._sample(known, record, answer.taken), host_cpus=host_cpus
                )
                known.shape = _shape(record)
                there.add(record.uuid)
        if len(answer.records) > DOMAINS_MOST:
            self._log(f"{self._uri}: {len(answer.records)} domains; {DOMAINS_MOST} are sampled")
        for one in told:
            known = self._domains.get(one.uuid)
            if known is not None:
                known.vm = self._history.add(self._bare(known, one, answer.taken))
        for uuid in hung:
            known = self._domains.get(uuid)
            if known is not None and known.vm is not None:
                known.vm = _stale(known.vm)
                there.add(uuid)
        self._there = there
        for uuid in there:
            self._domains[uuid].seen = answer.taken
        self._forget(answer.taken)
        return self._vms()

    def stale(self, now: Moment) -> tuple[Vm, ...]:
        """Return all domains while libvirt does not answer; after history_s they are unknown."""
        for uuid in self._there:
            known = self._domains[uuid]
            if known.vm is not None:
                known.vm = _stale(known.vm)
        self._forget(now)
        return self._vms()

    def _vms(self) -> tuple[Vm, ...]:
        found = (self._domains[uuid].vm for uuid in self._there)
        return tuple(sorted((vm for vm in found if vm), key=lambda vm: vm.sample.name))

    def _forget(self, now: Moment) -> None:
        """Forget domains that have not been listed for so long that no rate depends on them."""
        limit = now.monotonic_ns - self._history_s * NS_PER_S
        for uuid, known in list(self._domains.items()):
            if known.seen is not None and known.seen.monotonic_ns < limit:
                del self._domains[uuid]
                self._history.forget(uuid)
                self._changes.forget(uuid)
                self._there.discard(uuid)
                self._redefined.discard(uuid)

    def _sample(self, known: _Domain, record: Record, taken: Moment) -> Sample:
        definition = known.definition
        aliases = {disk.alias: disk.target for disk in definition.disks if disk.alias}
        errors = self._changes.io_errors(record.uuid, aliases)
        parts = domstats.read(
            record.figures,
            taken,
            definition,
            io_errors={aliases[alias]: count for alias, count in errors.items()},
        )
        state = parts.state
        process = self._process(known, record) if state in ACTIVE else None
        cpu = parts.cpu
        if cpu is not None and process is not None:
            cpu = threads.attach(cpu, process.pid)
        # Generation and since when is the history's to say.
        sample = Sample(
            uuid=record.uuid,
            name=record.name,
            uri=self._uri,
            domain_id=record.domain_id,
            pid=None if process is None else process.pid,
            generation=0,
            state=state,
            state_reason=parts.state_reason,
            state_since=None,
            started=None if process is None else process.started,
            taken=taken,
            timed_out=False,
            definition=definition,
            cpu=cpu,
            memory=parts.memory,
            blocks=parts.blocks,
            interfaces=parts.interfaces,
            blocks_taken=None if parts.blocks is None else taken,
            interfaces_taken=None if parts.interfaces is None else taken,
            absent=parts.absent,
        )
        before = None if known.vm is None else known.vm.sample
        return sample if before is None else _with_last(sample, before)

    def _bare(self, known: _Domain, told: Bare, now: Moment) -> Sample:
        state = State(told.state) if told.state in set(State) else State.NOSTATE
        return Sample(
            uuid=told.uuid,
            name=told.name,
            uri=self._uri,
            domain_id=told.domain_id,
            pid=None,
            generation=0,
            state=state,
            state_reason=told.reason,
            state_since=None,
            started=None,
            taken=now,
            timed_out=True,
            definition=known.definition,
            cpu=None,
            memory=None,
            blocks=None,
            interfaces=None,
            blocks_taken=None,
            interfaces_taken=None,
            absent=tuple(Absence(group, _SILENT) for group in _GROUPS),
        )

    def _process(self, known: _Domain, record: Record) -> DomainProcess | None:
        if record.domain_id is None:
            return None
        if known.process is None or known.process[0] != record.domain_id:
            found = pids.of_domain(self._folder, record.name, record.uuid)
            known.process = (record.domain_id, found)
        return known.process[1]


def _with_last(sample: Sample, before: Sample) -> Sample:
    """Return a sample with the last figures that took QEMU's answer, where these are not there.

    libvirt leaves them out while somebody else's request occupies QEMU; how old they are is told.
    """
    if not sample.active or sample.domain_id != before.domain_id:
        return sample
    if sample.blocks is None and before.blocks is not None:
        sample = replace(sample, blocks=before.blocks, blocks_taken=before.blocks_taken)
        sample = _aged(sample, "blocks", before.blocks_taken)
    old, new = before.memory, sample.memory
    if old is not None and old.rss_bytes and (new is None or new.rss_bytes is None):
        sample = _aged(replace(sample, memory=old), "memory", old.taken)
    return sample


def _aged(sample: Sample, group: str, taken: Moment | None) -> Sample:
    """Return the sample with the age of a group that is not of now."""
    age_s = None if taken is None else (sample.taken.monotonic_ns - taken.monotonic_ns) / NS_PER_S
    others = tuple(one for one in sample.absent if one.group != group)
    return replace(sample, absent=(*others, Absence(group, _BUSY, age_s)))


def _shape(record: Record) -> tuple[object, ...]:
    """Return what changes with the definition: domain id, and numbers of vCPUs and devices."""
    figures = record.figures
    return (
        record.domain_id,
        figures.get("vcpu.current"),
        figures.get("block.count"),
        figures.get("net.count"),
    )


def _stale(vm: Vm) -> Vm:
    if vm.sample.timed_out:
        return vm
    return replace(vm, sample=replace(vm.sample, timed_out=True))
