# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers from the history: services, actions, faults, usage; as plain objects for both protocols.

Without a history each answer is an error that says so, but for what only adds services to hosts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from kvmlog.guests.sanitize import clean, normal_uuid
from kvmlog.history import reader
from kvmlog.history.client import HistoryClient
from kvmlog.history.model import Binary, Fault, Service
from kvmlog.history.moment import Stamp
from kvmlog.history.protocol import Update
from kvmlog.history.reader import HistoryReader
from kvmlog.history.views import faults, instance_actions, services, times, usage
from kvmlog.ring.reader import boot_id
from kvmlog.rpcserver import log
from kvmlog.rpcserver.vms import changes
from kvmlog.rpcserver.vms.errors import (
    InvalidRequestError,
    NoCollectorError,
    ServiceNotChangedError,
    UnknownActionError,
    UnknownServiceError,
    UnknownVmError,
)
from kvmlog.util.errors import HistoryError
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.views import hypervisor

# What a reply has of a list at most.
MOST: Final = reader.MOST


@dataclass(frozen=True)
class Page:
    """A part of a list: at most `limit` of it, after the one that `marker` names."""

    limit: int = MOST
    marker: str | None = None


EVERYTHING: Final = Page(reader.LIVES_MOST)


@dataclass(frozen=True)
class Period:
    """A part of the past; None: from the beginning, until now. Texts: ISO 8601."""

    start: str | None = None
    stop: str | None = None


class Past:
    """The questions to one history; thread-safe. HistoryMissingError, HistoryError of each."""

    def __init__(self, path: str, socket_path: str) -> None:
        """socket_path: where the process that writes the history takes changes of services."""
        self._reader = HistoryReader(path, "history.file")
        self._socket_path = socket_path

    def services(self, host: str | None, binary: str | None) -> list[dict[str, Any]]:
        """Return the services of exactly this host and binary, as Nova has them."""
        now = _now()
        return [
            services.document(one, now) for one in self._reader.services(host=host, binary=binary)
        ]

    def own_services(
        self, host: str | None = None, binary: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the services of exactly this host and binary, in our own form."""
        now = _now()
        return [services.own(one, now) for one in self._reader.services(host=host, binary=binary)]

    def known(self) -> Sequence[Service]:
        """Return all services; none without a history."""
        try:
            return self._reader.services()
        except HistoryError:
            return ()

    def of_hosts(self, hosts: Sequence[Host]) -> hypervisor.Services:
        """Return the service by which each of the hosts is taken out of use: its collector.

        Without a history, and for other hosts than this, there is none.
        """
        own = next((one for one in self.known() if one.binary == Binary.VMSTATS), None)
        if own is None:
            return hypervisor.NO_SERVICES
        found = hypervisor.Service(own.uuid, not own.enabled, own.disabled_reason, own.forced_down)
        return {host.hostname: found for host in hosts if host.local}

    def service(self, service_id: str) -> Service:
        """Return the service of an id; UnknownServiceError."""
        wanted = normal_uuid(service_id)
        for one in self._reader.services():
            if one.uuid == wanted:
                return one
        raise UnknownServiceError(
            f"service {clean(service_id, 80)} could not be found; list the services"
        )

    def service_named(self, host: str, binary: str) -> Service:
        """Return the service of a host and a binary; UnknownServiceError."""
        found = self._reader.services(host=host, binary=binary)
        if not found:
            known = ", ".join(f"{one.binary} on {one.host}" for one in self._reader.services())
            raise UnknownServiceError(
                f"there is no {clean(binary, 80)} on {clean(host, 80)}; known are: "
                f"{known or 'none yet'}"
            )
        return found[0]

    def change(self, service: Service, change: Update, caller: str) -> dict[str, Any]:
        """Have the history change a service, and return it as it is then.

        The log says who asked for it, done or not. ServiceNotChangedError: it was not done.
        """
        wanted = f"{service.binary} on {service.host} to be {changes.words(change)}"
        try:
            HistoryClient(self._socket_path).update_service(service.binary, change)
        except HistoryError as error:
            log.audit(f"{caller} asked for {wanted}, not done: {error}")
            raise ServiceNotChangedError(str(error)) from error
        log.audit(f"{caller} asked for {wanted}, done")
        return services.document(self.service(service.uuid), _now())

    def vm(self, word: str, find: Callable[[str], str]) -> str:
        """Return the UUID of a VM that there is, or was; UnknownVmError, InvalidRequestError.

        find: finds those that there are, as Vms.find() does.
        """
        own = normal_uuid(word)
        if own is not None and self._reader.last_life(own) is not None:
            return own
        try:
            return find(word)
        except (NoCollectorError, UnknownVmError):
            gone = self._reader.uuids_named(word)
            if len(gone) > 1:
                raise InvalidRequestError(
                    f"'{clean(word)}' was the name of {len(gone)} VMs; give the UUID of one: "
                    f"{', '.join(gone[:20])}"
                ) from None
            if not gone:
                raise
            return gone[0]

    def actions(
        self, uuid: str | None, page: Page, since: str | None = None, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the actions of a VM, or of all, newest first; since, before: when they changed.

        HistoryMarkerError, TimeError.
        """
        found = self._reader.actions(
            uuid=uuid,
            limit=page.limit,
            marker=page.marker,
            changes_since_ns=None if since is None else times.parse(since),
            changes_before_ns=None if before is None else times.parse(before),
        )
        return [instance_actions.document(one) for one in found]

    def action(self, uuid: str, request_id: str) -> dict[str, Any]:
        """Return one of a VM's actions with its events; UnknownActionError."""
        found = self._reader.action(uuid, request_id)
        if found is None:
            raise UnknownActionError(
                f"action {clean(request_id, 80)} not found; list the VM's actions"
            )
        return instance_actions.detail(found, self._reader.status().host)

    def faults(self, uuid: str | None, limit: int, since: str | None) -> list[dict[str, Any]]:
        """Return the faults of a VM, or of all, newest first; TimeError."""
        since_ns = None if since is None else times.parse(since)
        found = self._reader.faults(uuid=uuid, limit=limit, since_ns=since_ns)
        return [faults.document(one) for one in found]

    def newest_fault(self, uuid: str) -> Fault | None:
        """Return a VM's newest fault; None without any, and without a history."""
        try:
            return next(iter(self._reader.faults(uuid=uuid, limit=1)), None)
        except HistoryError:
            return None

    def owners(self) -> dict[str, str | None]:
        """Return the names of all owners by their project's id; none without a history."""
        try:
            return self._reader.owners()
        except HistoryError:
            return {}

    def usage(
        self, period: Period, page: Page, *, detailed: bool, project: str | None = None
    ) -> Usage:
        """Return what each owner used, or one, with that of each VM where it is `detailed`.

        TimeError, InvalidRequestError.
        """
        now = _now()
        since = self._reader.status().observed_since
        start_ns = since.realtime_ns if period.start is None else times.parse(period.start)
        stop_ns = now.realtime_ns if period.stop is None else times.parse(period.stop)
        if start_ns >= stop_ns:
            raise InvalidRequestError(
                "the start is not before the end; give a period, such as the last day"
            )
        window = usage.until(usage.Window(start_ns, stop_ns), now)
        lives = self._reader.lives(start_ns=window.start_ns, stop_ns=window.stop_ns)
        whole = usage.servers(lives, window)
        if project is not None:
            whole = usage.of_tenant(whole, project)
        servers, more = _page(whole, page)
        return Usage(
            usage.document(servers, window, now, detailed=detailed),
            servers[-1].life.uuid if more else None,
            times.text(since),
        )


@dataclass(frozen=True)
class Usage:
    """A page of what was used."""

    tenants: list[dict[str, Any]]
    next_marker: str | None  # of the next page; None: there is none
    observed_since: str  # before that, nothing is known

    def document(self) -> dict[str, Any]:
        """Return our own form."""
        return {
            "observed_since": self.observed_since,
            "tenant_usages": self.tenants,
            "next_marker": self.next_marker,
        }


@functools.lru_cache(maxsize=4)
def past_of(path: str, socket_path: str) -> Past:
    """Return the one of this process for these paths."""
    return Past(path, socket_path)


def _page(found: list[usage.ServerUsage], page: Page) -> tuple[list[usage.ServerUsage], bool]:
    """Return a page, and whether others follow; a VM whose owner changed is on one of them."""
    found.sort(key=lambda one: (one.life.began.realtime_ns, one.life.uuid))
    uuids = list(dict.fromkeys(one.life.uuid for one in found))
    start = 0
    if page.marker is not None:
        if page.marker not in uuids:
            raise InvalidRequestError(
                f"marker {clean(page.marker, 80)} not found; give the last instance_id of the "
                "page before"
            )
        start = uuids.index(page.marker) + 1
    chosen = frozenset(uuids[start : start + page.limit])
    return [one for one in found if one.life.uuid in chosen], start + page.limit < len(uuids)


def _now() -> Stamp:
    return Stamp.now(_boot())


@functools.cache
def _boot() -> str:
    return str(UUID(bytes=boot_id()))
