# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to each path of the JSON port: the path as it is described, and as it is asked for."""

from __future__ import annotations

from typing import Any, Final

from tests.support import vmstats_samples as samples

# {action}: the request_id of web1's newest action.
PATHS: Final = [
    ("/v1/vms", "/v1/vms"),
    ("/v1/vms", "/v1/vms?vm=web1&groups=cpu,memory"),
    ("/v1/vms/{vm}", "/v1/vms/web1"),
    ("/v1/vms/{vm}", f"/v1/vms/{samples.WEB1.upper()}?groups=rates"),
    ("/v1/vms/{vm}", "/v1/vms/db1"),
    ("/v1/vms/{vm}/diagnostics", "/v1/vms/web1/diagnostics"),
    ("/v1/vms/{vm}/diagnostics", "/v1/vms/4300/diagnostics?format=nova"),
    ("/v1/vms/{vm}/diagnostics", "/v1/vms/web1/diagnostics?format=kvmlog"),
    ("/v1/vms/{vm}/vdsm", "/v1/vms/db1/vdsm"),
    ("/v1/vms/cloudstack", "/v1/vms/cloudstack?caller=a"),
    ("/v1/samples", "/v1/samples"),
    ("/v1/exits", "/v1/exits"),
    ("/v1/host", "/v1/host"),
    ("/v1/hypervisor", "/v1/hypervisor"),
    ("/v1/hypervisor", "/v1/hypervisor?format=nova-2.53"),
    ("/v1/status", "/v1/status"),
    ("/v2.1", "/v2.1"),
    ("/v2.1/", "/v2.1/"),
    ("/v2.1/os-hypervisors", "/v2.1/os-hypervisors?with_servers=true"),
    ("/v2.1/os-hypervisors/detail", "/v2.1/os-hypervisors/detail"),
    ("/v2.1/os-hypervisors/{id}", "/v2.1/os-hypervisors/1"),
    ("/v2.1/os-hypervisors/{id}/uptime", "/v2.1/os-hypervisors/1/uptime"),
    ("/v2.1/os-aggregates", "/v2.1/os-aggregates"),
    ("/v2.1/servers/{id}", f"/v2.1/servers/{samples.WEB1}"),
    ("/v2.1/servers/{id}/diagnostics", f"/v2.1/servers/{samples.WEB1}/diagnostics"),
    ("/v1/openapi.json", "/v1/openapi.json"),
    ("/v1/services", "/v1/services?binary=kvmlog-rpc"),
    ("/v1/hosts", "/v1/hosts"),
    ("/v1/hypervisors", "/v1/hypervisors?pattern=kvm1&servers=true"),
    ("/v1/hypervisors/statistics", "/v1/hypervisors/statistics"),
    ("/v1/vms/{vm}/actions", "/v1/vms/web1/actions?limit=2&since=2026-11-20"),
    ("/v1/vms/{vm}/actions/{request_id}", "/v1/vms/web1/actions/{action}"),
    ("/v1/actions", "/v1/actions?vm=web1"),
    ("/v1/faults", "/v1/faults?vm=web1&limit=1"),
    ("/v1/usage", "/v1/usage?detailed=true&start=2026-11-01"),
    ("/v1/limits", f"/v1/limits?project={samples.instance().project_id}"),
    ("/v2.1/os-services", "/v2.1/os-services"),
    ("/v2.1/os-hosts", "/v2.1/os-hosts?zone=nova"),
    ("/v2.1/os-hosts/{host}", "/v2.1/os-hosts/kvm1.example.net"),
    ("/v2.1/os-hypervisors/statistics", "/v2.1/os-hypervisors/statistics"),
    ("/v2.1/os-hypervisors/{pattern}/search", "/v2.1/os-hypervisors/kvm1/search"),
    ("/v2.1/os-hypervisors/{pattern}/servers", "/v2.1/os-hypervisors/kvm1/servers"),
    ("/v2.1/servers", "/v2.1/servers?host=kvm1.example.net&limit=1"),
    ("/v2.1/servers/detail", "/v2.1/servers/detail?status=active&all_tenants=1"),
    (
        "/v2.1/servers/{id}/os-instance-actions",
        f"/v2.1/servers/{samples.WEB1}/os-instance-actions?limit=1",
    ),
    (
        "/v2.1/servers/{id}/os-instance-actions/{request_id}",
        f"/v2.1/servers/{samples.WEB1}/os-instance-actions/{{action}}",
    ),
    ("/v2.1/os-simple-tenant-usage", "/v2.1/os-simple-tenant-usage?detailed=1"),
    (
        "/v2.1/os-simple-tenant-usage/{project}",
        f"/v2.1/os-simple-tenant-usage/{samples.instance().project_id}",
    ),
    ("/v2.1/os-simple-tenant-usage/{project}", "/v2.1/os-simple-tenant-usage/none"),
    ("/v2.1/limits", "/v2.1/limits?tenant_id=none&reserved=0"),
    ("/v2.1/projects", "/v2.1/projects?name=shop"),
    ("/v2.1/projects/{id}", f"/v2.1/projects/{samples.instance().project_id}"),
]
# Of these, what is sent, and the service that is changed.
CHANGED: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/v1/services/{id}", {"status": "disabled", "disabled_reason": "new disks"}),
    ("/v2.1/os-services/{id}", {"status": "enabled", "forced_down": False}),
]
