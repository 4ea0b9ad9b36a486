# SPDX-License-Identifier: GPL-2.0-or-later
"""What Nova's paths are answered from: one host, or several (kvmlog.fleet)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kvmlog.config.schema.vms import LimitsKeys
from kvmlog.history.views import faults
from kvmlog.rpcserver.vms import computes
from kvmlog.rpcserver.vms.documents import Vms
from kvmlog.rpcserver.vms.past import Page, Past, Period, Usage
from kvmlog.rpcserver.vms.source import Poll
from kvmlog.vmstats.host import Host
from kvmlog.vmstats.snapshot import Vm
from kvmlog.vmstats.views.hypervisor import Reserved


class Computes(Protocol):
    """The questions that both answer; refusals are those of kvmlog.rpcserver.vms."""

    def details(
        self, kind: str, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        """Return Nova's detail of each hypervisor (vms.computes.details)."""

    def listed(
        self, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        """Return Nova's list of hypervisors."""

    def statistics(self) -> dict[str, Any]:
        """Return the sums over all hypervisors that are enabled."""

    def hosts(self) -> list[dict[str, str]]:
        """Return the hosts of VMs and of enabled services."""

    def resources(self, name: str) -> list[dict[str, Any]]:
        """Return the resources of the host of a name."""

    def services(self, host: str | None, binary: str | None) -> list[dict[str, Any]]:
        """Return the services of exactly this host and binary, as Nova has them."""

    def usage(
        self, period: Period, page: Page, *, detailed: bool, project: str | None = None
    ) -> Usage:
        """Return what each owner used, or one."""

    def limits(self, project: str | None) -> dict[str, Any]:
        """Return an owner's limits, and what is used of them; None: of all VMs."""

    def owners(self) -> dict[str, str | None]:
        """Return the names of all owners by their project's id."""

    def server_id(self, word: str) -> str:
        """Return the UUID of a VM that there is or was."""

    def server(self, word: str) -> tuple[Vm, Host | None]:
        """Return a VM and its host."""

    def server_fault(self, uuid: str) -> dict[str, Any] | None:
        """Return a VM's newest fault as Nova's server has it."""

    def diagnostics(self, word: str, kind: str) -> dict[str, Any]:
        """Return a VM in one of Nova's formats."""

    def actions(
        self, uuid: str, page: Page, since: str | None, before: str | None
    ) -> list[dict[str, Any]]:
        """Return the actions of a VM, newest first."""

    def action(self, uuid: str, request_id: str) -> dict[str, Any]:
        """Return one of these with its events."""


@dataclass(frozen=True)
class HostComputes:
    """Answers of this host: its collector's newest poll, and its history."""

    poll: Callable[[int | None], Poll]  # with memory for so many VMs of it, None: all
    vms: Vms
    past: Past
    limits_of: LimitsKeys

    def details(
        self, kind: str, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        poll = self.poll(None)
        return computes.details(
            poll,
            kind,
            self.past.of_hosts(poll.snapshot.hosts),
            pattern=pattern,
            with_servers=with_servers,
            reserved=self._reserved,
        )

    def listed(
        self, *, pattern: str | None = None, with_servers: bool = False
    ) -> list[dict[str, Any]]:
        poll = self.poll(None)
        services = self.past.of_hosts(poll.snapshot.hosts)
        return computes.listed(poll, services, pattern=pattern, with_servers=with_servers)

    def statistics(self) -> dict[str, Any]:
        poll = self.poll(None)
        services = self.past.of_hosts(poll.snapshot.hosts)
        return computes.statistics(poll, services, self._reserved)

    def hosts(self) -> list[dict[str, str]]:
        poll = self.poll(None)
        services = self.past.of_hosts(poll.snapshot.hosts)
        return computes.hosts(poll, services, self.past.known())

    def resources(self, name: str) -> list[dict[str, Any]]:
        return computes.resources(self.poll(None), name, self._reserved)

    def services(self, host: str | None, binary: str | None) -> list[dict[str, Any]]:
        return self.past.services(host, binary)

    def usage(
        self, period: Period, page: Page, *, detailed: bool, project: str | None = None
    ) -> Usage:
        return self.past.usage(period, page, detailed=detailed, project=project)

    def limits(self, project: str | None) -> dict[str, Any]:
        return computes.limits(self.poll(None), project, self.limits_of)

    def owners(self) -> dict[str, str | None]:
        found = self.past.owners()
        for vm in self.poll(None).snapshot.vms:
            instance = vm.sample.definition.instance
            if instance is not None and instance.project_id is not None:
                found[instance.project_id] = instance.project_name
        return found

    def server_id(self, word: str) -> str:
        return self.past.vm(word, lambda word: self.vms.find(self.poll(1), word).sample.uuid)

    def server(self, word: str) -> tuple[Vm, Host | None]:
        poll = self.poll(1)
        vm = self.vms.find(poll, word)
        return vm, poll.snapshot.host_of(vm)

    def server_fault(self, uuid: str) -> dict[str, Any] | None:
        found = self.past.newest_fault(uuid)
        return None if found is None else faults.of_server(faults.document(found))

    def diagnostics(self, word: str, kind: str) -> dict[str, Any]:
        return self.vms.of_vm(self.poll(1), word, kind)

    def actions(
        self, uuid: str, page: Page, since: str | None, before: str | None
    ) -> list[dict[str, Any]]:
        return self.past.actions(uuid, page, since, before)

    def action(self, uuid: str, request_id: str) -> dict[str, Any]:
        return self.past.action(uuid, request_id)

    @property
    def _reserved(self) -> Reserved:
        return Reserved.of(self.limits_of)
