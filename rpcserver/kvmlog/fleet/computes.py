# SPDX-License-Identifier: GPL-2.0-or-later
"""What Nova's paths are answered from for a fleet: the answers of all hosts, merged.

An answer serves all who ask within some seconds. A host that does not answer keeps its place: its
hypervisors are down, as they were when it answered last, and its services UNKNOWN.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar

from kvmlog.client import Client
from kvmlog.config.owner_limits import OwnerLimits
from kvmlog.fleet import calls, log, merge, servers, tenants
from kvmlog.fleet.access import Access
from kvmlog.fleet.ask import Answer, ask_all, failed, values
from kvmlog.fleet.hosts import FleetHost
from kvmlog.guests.sanitize import clean, normal_uuid
from kvmlog.history.views.faults import of_server
from kvmlog.rpcserver import faults
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.http.work import Work
from kvmlog.rpcserver.vms.errors import (
    InvalidRequestError,
    UnknownActionError,
    UnknownVmError,
)
from kvmlog.rpcserver.vms.past import MOST, Page, Period, Usage
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views import host_resources, hypervisor_statistics
from kvmlog.vmstats.views.errors import NoHypervisorError, NotRunningError
from kvmlog.vmstats.views.hypervisor import Reserved
from kvmlog.vmstats.views.hypervisors import brief

T = TypeVar("T")

# Questions of callers' own (periods, projects) are many: the oldest answers go first.
_MOST_KEPT: Final = 16
_RETRY_S: Final = "10"
_NOVA_SERVICE: Final = (
    "id",
    "binary",
    "host",
    "zone",
    "status",
    "disabled_reason",
    "state",
    "forced_down",
    "updated_at",
)


@dataclass(frozen=True)
class Settings:
    """The list of hosts and how they are asked; replaced as a whole at SIGHUP."""

    hosts: Sequence[FleetHost]
    access: Access
    parallel: int
    timeout_s: float
    fresh_s: float  # an answer serves so long
    owners: Mapping[str, OwnerLimits]
    metrics_port: int


@dataclass
class _Kept:
    """Answers that are there, or on their way."""

    future: Future[list[Answer[Any]]] = field(default_factory=Future)
    made_s: float = 0.0


class Fleet:
    """The hosts, and their newest answers; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # covers all below
        self._kept: dict[Hashable, _Kept] = {}
        # By question and host: what a host answered last.
        self._last: dict[tuple[Hashable, str], Any] = {}
        self._failing: dict[str, str] = {}

    def renew(self, settings: Settings) -> None:
        """Take other hosts or credentials; what the old ones answered is forgotten."""
        with self._lock:
            self.settings = settings
            self._kept.clear()
            names = {one.name for one in settings.hosts}
            self._last = {key: one for key, one in self._last.items() if key[1] in names}
            self._failing = {name: one for name, one in self._failing.items() if name in names}

    def stop(self) -> None:
        """Ask no more hosts: what is under way ends within their deadline."""
        self._stopping.set()

    def ask(
        self, key: Hashable, call: Callable[[Client, FleetHost], T], work: Work
    ) -> list[Answer[T]]:
        """Return the answers of all hosts, those of a moment ago where there are any.

        key: what is asked; the same call for the same key.
        """
        with self._lock:
            settings = self.settings
            kept = self._kept.get(key)
            now_s = time.monotonic()
            ours = kept is None or (kept.future.done() and now_s - kept.made_s > settings.fresh_s)
            if ours:
                self._kept.pop(key, None)
                kept = self._kept[key] = _Kept()
                while len(self._kept) > _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
        assert kept is not None
        with work.waiting():
            if ours:
                self._gather(settings, kept, key, call)
            return kept.future.result()

    def last(self, key: Hashable, host: FleetHost) -> Any:
        """Return what a host answered last, None where it never did."""
        return self._last.get((key, host.name))

    def _gather(
        self,
        settings: Settings,
        kept: _Kept,
        key: Hashable,
        call: Callable[[Client, FleetHost], T],
    ) -> None:
        try:
            found = ask_all(
                settings.hosts,
                settings.access,
                call,
                parallel=settings.parallel,
                deadline_s=settings.timeout_s,
                stopping=self._stopping,
            )
        except BaseException as error:
            kept.future.set_exception(error)
            with self._lock:
                if self._kept.get(key) is kept:
                    del self._kept[key]
            raise
        kept.made_s = time.monotonic()
        kept.future.set_result(found)
        if not self._stopping.is_set():
            self._note(key, found)

    def _note(self, key: Hashable, found: Sequence[Answer[Any]]) -> None:
        """Keep what is remembered of hosts, and log which went and came."""
        said = []
        with self._lock:
            for one in found:
                name = one.host.name
                # A fault is an answer.
                if one.error is not None and one.fault is None:
                    if name not in self._failing:
                        said.append(f"{name} does not answer: {one.error}")
                    self._failing[name] = one.error
                elif self._failing.pop(name, None) is not None:
                    said.append(f"{name} answers again")
                if one.error is None and key in _REMEMBERED:
                    self._last[(key, name)] = one.value
        for sentence in said:
            log(sentence)


_DETAILS: Final = {kind: ("details", kind) for kind in ("nova-2.53", "nova-2.88")}
_SERVERS: Final = ("servers",)
_SERVICES: Final = ("services",)
_REMEMBERED: Final = frozenset((*_DETAILS.values(), _SERVERS, _SERVICES))


class FleetComputes:
    """The answers to one request (kvmlog.rpcserver.rest.computes.Computes)."""

    def __init__(self, fleet: Fleet, work: Work) -> None:
        self._fleet = fleet
        self._work = work

    def details(
        self, kind: str, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        found = [one for _, one in self._details(kind)]
        if pattern is not None:
            found = [one for one in found if pattern in one["hypervisor_hostname"]]
            if not found:
                raise NoHypervisorError(
                    f"no hypervisor matching '{clean(pattern)}' could be found; list all"
                )
        if with_servers:
            listed = {one["id"]: one["servers"] for _, one in self._servers()}
            found = [{**one, "servers": listed.get(one["id"], [])} for one in found]
        return found

    def listed(
        self, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        found = self.details("nova-2.53", pattern=pattern, with_servers=with_servers)
        return [brief(one) for one in found]

    def statistics(self) -> dict[str, Any]:
        return hypervisor_statistics.document(self.details("nova-2.53"))

    def hosts(self) -> list[dict[str, str]]:
        answers = self._answered(("hosts",), lambda client, _: client.hosts())
        return [dict(one) for _, told in values(answers) for one in told]

    def resources(self, name: str) -> list[dict[str, Any]]:
        found = [
            both for both in self._details("nova-2.53") if both[1]["hypervisor_hostname"] == name
        ]
        if not found:
            raise NoHypervisorError(
                f"compute host {clean(name)} could not be found; list os-hypervisors"
            )
        host, one = found[0]
        snapshot = self._of(host, lambda client: client.vm_stats()).snapshot
        for known in snapshot.hosts:
            if known.hostname == name:
                # What the host has reserved, it tells with all that is used.
                resources = host_resources.document(known, snapshot, Reserved(0, 0))
                used = resources[1]["resource"]
                used["cpu"], used["memory_mb"] = one["vcpus_used"], one["memory_mb_used"]
                return resources
        raise NoHypervisorError(f"compute host {clean(name)} has gone; list os-hypervisors")

    def services(self, host: str | None, binary: str | None) -> list[dict[str, Any]]:
        answers = self._fleet.ask(_SERVICES, lambda client, _: client.services(), self._work)
        found: list[dict[str, Any]] = []
        for one in answers:
            if one.value is not None:
                found += [{name: each[name] for name in _NOVA_SERVICE} for each in one.value]
                continue
            known = self._fleet.last(_SERVICES, one.host)
            if known is None:
                found.append(merge.unknown_service(one.host.name))
            else:
                found += [merge.unknown_service(each["host"], each["binary"]) for each in known]
        return [
            one for one in found if host in (None, one["host"]) and binary in (None, one["binary"])
        ]

    def usage(
        self, period: Period, page: Page, *, detailed: bool, project: str | None = None
    ) -> Usage:
        return tenants.page(self._usage(period, project), page, detailed=detailed)

    def limits(self, project: str | None) -> dict[str, Any]:
        answers = self._answered(("limits", project), lambda client, _: client.limits(project))
        told = [one for _, one in values(answers)]
        owners = self._fleet.settings.owners
        return merge.limits(told, project, owners, complete=len(told) == len(answers))

    def owners(self) -> dict[str, str | None]:
        found = self._usage(Period(), None)["tenant_usages"]
        return {one["tenant_id"]: None for one in found if one["tenant_id"] is not None}

    def server_id(self, word: str) -> str:
        own = normal_uuid(word)
        return own if own is not None else self._holder(word)[1]

    def server(self, word: str) -> tuple[Vm, Host | None]:
        host, uuid = self._holder(word)
        stats = self._of(host, lambda client: client.vm_stats([uuid]))
        for vm in stats.snapshot.vms:
            return vm, stats.snapshot.host_of(vm)
        raise UnknownVmError(f"VM {uuid} has gone; list the hypervisors with their servers")

    def server_fault(self, uuid: str) -> dict[str, Any] | None:
        host, _ = self._holder(uuid)
        found = self._of(host, lambda client: client.faults(uuid, limit=1))
        return of_server(found[0]) if found else None

    def diagnostics(self, word: str, kind: str) -> dict[str, Any]:
        host, uuid = self._holder(word)
        return self._of(host, lambda client: client.diagnostics(uuid, kind))

    def actions(
        self, uuid: str, page: Page, since: str | None, before: str | None
    ) -> list[dict[str, Any]]:
        # A VM that migrated has a part of its past on each of its hosts.
        answers = self._answered(
            ("actions", uuid, since, before),
            lambda client, _: client.actions(uuid, limit=MOST, since=since, before=before),
            of_vm=uuid,
        )
        found = [one for _, told in values(answers) for one in told]
        found.sort(key=lambda one: str(one["start_time"] or one["updated_at"]), reverse=True)
        start = 0
        if page.marker is not None:
            ids = [one["request_id"] for one in found]
            if page.marker not in ids:
                raise InvalidRequestError(
                    f"marker [{clean(page.marker, 80)}] not found; give a request_id"
                )
            start = ids.index(page.marker) + 1
        # Callers change what they get.
        return [dict(one) for one in found[start : start + page.limit]]

    def action(self, uuid: str, request_id: str) -> dict[str, Any]:
        answers = self._fleet.ask(
            ("action", uuid, request_id),
            lambda client, _: client.action(uuid, request_id),
            self._work,
        )
        for _, found in values(answers):
            # Callers change what they get.
            return {**found, "events": [dict(one) for one in found["events"]]}
        silent = self._silent_holder(answers, uuid)
        if silent is not None:
            raise _refusal(silent)
        if any(one.fault in _NOT_THERE for one in answers):
            raise UnknownActionError(
                f"action {clean(request_id, 80)} not found; list the VM's actions"
            )
        raise _refusal(answers[0])

    def _usage(self, period: Period, project: str | None) -> dict[str, Any]:
        """Return the usages of all hosts as one, all pages."""
        answers = self._answered(
            ("usage", period.start, period.stop, project),
            lambda client, _: calls.usage(client, period.start, period.stop, project),
        )
        return merge.usage([told for _, told in values(answers)])

    def _silent_holder(self, answers: Sequence[Answer[Any]], uuid: str) -> Answer[Any] | None:
        """Return the answer of a host that had a VM and does not answer now; None: there is none.

        That the others do not know the VM does not mean that it is gone.
        """
        silent = {one.host.name: one for one in answers if one.error and one.fault is None}
        if not silent:
            return None
        holders = servers.find(self._servers(), uuid)
        return next((silent[host.name] for host, _ in holders if host.name in silent), None)

    def _details(self, kind: str) -> list[tuple[FleetHost, dict[str, Any]]]:
        """Return each hypervisor once, with the host that tells of it."""
        return self._kept(_DETAILS[kind], lambda client, _: calls.details(client, kind))

    def _servers(self) -> list[tuple[FleetHost, dict[str, Any]]]:
        return self._kept(_SERVERS, lambda client, _: client.hypervisors(servers=True))

    def _kept(
        self, key: Hashable, call: Callable[[Client, FleetHost], list[dict[str, Any]]]
    ) -> list[tuple[FleetHost, dict[str, Any]]]:
        """Return the hypervisors of all hosts, of those that do not answer what they were."""
        answers = self._fleet.ask(key, call, self._work)
        told: list[tuple[FleetHost, list[dict[str, Any]]]] = []
        for one in answers:
            if one.value is not None:
                told.append((one.host, one.value))
                continue
            known = self._fleet.last(key, one.host)
            if known is not None:
                told.append((one.host, [{**each, "state": "down"} for each in known]))
        if not told:
            self._require(answers)
        # As merge.hypervisors() chooses: the first, or the first for which it is up.
        tellers: dict[str, tuple[FleetHost, str]] = {}
        for host, found in told:
            for each in found:
                own, state = str(each["id"]), str(each["state"])
                if own not in tellers or (tellers[own][1], state) == ("down", "up"):
                    tellers[own] = (host, state)
        return [(tellers[str(one["id"])][0], one) for one in merge.hypervisors(told)[0]]

    def _holder(self, word: str) -> tuple[FleetHost, str]:
        """Return the host that has a VM, by UUID or name, and its UUID."""
        found = servers.find(self._servers(), word)
        if not found:
            raise UnknownVmError(
                f"No VM of these hosts has the name or UUID '{clean(word)}'; list the hypervisors "
                "with their servers"
            )
        uuids = list(dict.fromkeys(uuid for _, uuid in found))
        if len(uuids) > 1:
            raise InvalidRequestError(
                f"'{clean(word)}' is the name of {len(uuids)} VMs; give the UUID of one: "
                f"{', '.join(uuids[:20])}"
            )
        return found[0]

    def _of(self, host: FleetHost, call: Callable[[Client], T]) -> T:
        """Return the answer of one host, or its refusal."""
        settings = self._fleet.settings
        with self._work.waiting():
            (answer,) = ask_all(
                [host],
                settings.access,
                lambda client, _: call(client),
                deadline_s=settings.timeout_s,
            )
        if answer.error is not None:
            raise _refusal(answer)
        found = values([answer])
        return found[0][1]

    def _answered(
        self, key: Hashable, call: Callable[[Client, FleetHost], T], of_vm: str | None = None
    ) -> list[Answer[T]]:
        """Return the answers of all hosts, of which there is one at least."""
        answers = self._fleet.ask(key, call, self._work)
        self._require(answers, of_vm)
        return answers

    def _require(self, answers: Sequence[Answer[Any]], of_vm: str | None = None) -> None:
        """Raise a refusal where no host has an answer.

        of_vm: the UUID of the VM that was asked about, which most hosts do not know.
        """
        bad = failed(answers)
        if len(bad) < len(answers):
            return
        if of_vm is not None and any(one.fault in _NOT_THERE for one in bad):
            silent = self._silent_holder(bad, of_vm)
            if silent is not None:
                raise _refusal(silent)
            raise UnknownVmError(f"No VM of these hosts has the UUID '{of_vm}'")
        raise _refusal(next((one for one in bad if one.fault is not None), bad[0]))


# What a host says of a VM or an action that another may have.
_NOT_THERE: Final = frozenset((faults.NO_GUEST, faults.NO_ACTION))
_ERRORS: Final = {
    faults.NO_GUEST: UnknownVmError,
    faults.NO_ACTION: UnknownActionError,
    faults.INVALID_PARAMETERS: InvalidRequestError,
    faults.VM_NOT_RUNNING: NotRunningError,
}


def _refusal(answer: Answer[Any]) -> Exception:
    """Return what a caller is told where a host does not answer, or with a fault."""
    assert answer.error is not None
    if answer.fault in _ERRORS:
        return _ERRORS[answer.fault](answer.error.removesuffix("."))
    return RefusalError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{answer.host.name}: {answer.error.removesuffix('.')}.",
        {"Retry-After": _RETRY_S},
    )
