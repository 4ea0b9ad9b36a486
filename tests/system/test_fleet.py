# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog fleet` against real servers: merged tables, and the rest with each host's name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import vmstats_samples as samples
from tests.support.bridge_process import kvmlog
from tests.support.fleet_hosts import id_of, name_of
from tests.support.fleet_servers import Served, fleet_server, listed, real_fleet, vm_uuid
from tests.support.foreign_clients import openstack
from tests.support.json_process import JsonHost, Reply
from tests.support.prometheus import needs_prometheus, prometheus
from tests.support.users import as_root

pytestmark = as_root

COUNT = 3


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[JsonHost]]:
    """Three servers, of which the first has a past."""
    with real_fleet(tmp_path_factory.mktemp("fleet"), COUNT) as found:
        yield found


@pytest.fixture(scope="module")
def served(hosts: list[JsonHost]) -> Iterator[Served]:
    """The server of all of them, and of one that is down."""
    with fleet_server(listed(hosts[0].vms.parent, hosts, "127.0.0.1:1")) as found:
        yield found


class Nova(JsonHost):
    """The served fleet as stock clients reach it."""

    def __init__(self, served: Served) -> None:
        address = served.url.removeprefix("http://")
        self.host, port = address.split(":")
        self.port = int(port)
        self.vms = served.folder / "vms"


def get(served: Served, path: str, version: str = "2.53") -> Reply:
    """The reply to one request of a microversion."""
    headers = {"OpenStack-API-Version": f"compute {version}"}
    return Nova(served).get(path, headers=headers)


def test_merged_tables_and_who_is_missing(hosts: list[JsonHost], tmp_path: Path) -> None:
    """All answer: 0; one does not: 3 and a line on stderr; none does: 1."""
    path = listed(tmp_path, hosts)
    done = kvmlog("fleet", "hypervisors", "--hosts", str(path), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["hypervisor_hostname"], one["id"]) for one in found] == [
        (name_of(number), id_of(number)) for number in range(COUNT)
    ]
    listed(tmp_path, hosts, "127.0.0.1:1")
    done = kvmlog("fleet", "totals", "--hosts", str(path), "--json")
    assert done.returncode == 3
    assert done.stderr == (
        "kvmlog: 127.0.0.1:1: cannot be reached (Connection refused); is kvmlog rpc running there, "
        "and the port right?\n"
    )
    whole = json.loads(done.stdout)
    assert (whole["count"], whole["vcpus_used"]) == (COUNT, sum(one["vcpus_used"] for one in found))
    path.write_text("127.0.0.1:1\n")
    assert kvmlog("fleet", "services", "--hosts", str(path)).returncode == 1


def test_commands_on_each_host_name_it(hosts: list[JsonHost], tmp_path: Path) -> None:
    """CSV has a column more and one header; JSON an object around; switching takes --yes."""
    path = listed(tmp_path, hosts)
    done = kvmlog("fleet", "vms", "--hosts", str(path), "--csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {(one["host"], one["uuid"]) for one in rows} == {
        (f"127.0.0.1:{host.server.port}", vm_uuid(number, at))
        for number, host in enumerate(hosts)
        for at in (0, 1)
    }
    done = kvmlog("fleet", "vms", "--hosts", str(path), "--vm", "web1-1", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["host"] == f"127.0.0.1:{hosts[1].server.port}"
    done = kvmlog("fleet", "switch", "on", "--hosts", str(path))
    assert done.returncode == 2
    assert "this switches tracing on 3 hosts; if you mean that, add --yes" in done.stderr


def test_stock_clients_see_one_nova(served: Served) -> None:
    """The openstack command, without a line of ours in between."""
    nova = Nova(served)
    found = openstack(nova, "hypervisor", "list")
    assert [one["Hypervisor Hostname"] for one in found] == [name_of(at) for at in range(COUNT)]
    found = openstack(nova, "compute", "service", "list")
    assert {one["Host"] for one in found if one["Status"] == "UNKNOWN"} >= {"127.0.0.1:1"}


def test_the_merged_paths(served: Served, hosts: list[JsonHost]) -> None:
    """Servers where they are, actions of their past, sums, and refusals in Nova's words."""

    def document(path: str, version: str = "2.53") -> Any:
        reply = get(served, path, version)
        assert reply.status == 200, reply.body
        return reply.json

    found = document("/v2.1/os-hypervisors?with_servers=true&limit=2")
    assert [one["id"] for one in found["hypervisors"]] == [id_of(0), id_of(1)]
    assert "marker=" + id_of(1) in found["hypervisors_links"][0]["href"]
    (found,) = document("/v2.1/os-hypervisors?hypervisor_hostname_pattern=kvm2")["hypervisors"]
    assert found["id"] == id_of(2)
    assert "up" in document(f"/v2.1/os-hypervisors/{id_of(1)}", "2.88")["hypervisor"]["uptime"]
    whole = document("/v2.1/os-hypervisors/statistics")["hypervisor_statistics"]
    assert (whole["count"], whole["running_vms"]) == (COUNT, 2 * COUNT)
    assert document("/v2.1/limits")["limits"]["scope"] == "fleet"
    assert document("/v2.1/servers/web1-2")["server"]["id"] == vm_uuid(2, 0)
    actions = document(f"/v2.1/servers/{samples.WEB1}/os-instance-actions", "2.84")
    names = [one["action"] for one in actions["instanceActions"]]
    assert "pause" in names
    one = actions["instanceActions"][0]["request_id"]
    shown = document(f"/v2.1/servers/{samples.WEB1}/os-instance-actions/{one}", "2.84")
    assert shown["instanceAction"]["request_id"] == one
    (tenant,) = document("/v2.1/os-simple-tenant-usage?detailed=1")["tenant_usages"]
    assert [each["name"] for each in tenant["server_usages"]] == ["web1"]
    found = document("/v2.1/os-hosts/" + name_of(1), "2.1")["host"]
    assert found[1]["resource"]["memory_mb"] == 512 + 2 * 4096
    targets = document("/targets")
    assert targets[0] == {"targets": ["127.0.0.1:50082"], "labels": {"host": "127.0.0.1"}}
    reply = get(served, "/v2.1/servers/none")
    assert (reply.status, reply.sentence.partition(";")[0]) == (
        404,
        "No VM of these hosts has the name or UUID 'none'",
    )
    assert get(served, "/v2.1/servers/detail").status == 404
    assert get(served, f"/v2.1/servers/{vm_uuid(1, 1)}/diagnostics").status in (409, 503)


@needs_prometheus
def test_prometheus_reads_the_targets(tmp_path: Path) -> None:
    """file_sd: each target with its labels, and a changed list without a restart."""
    path, output = tmp_path / "hosts.txt", tmp_path / "kvmlog.json"

    def write(text: str) -> None:
        path.write_text(text)
        done = kvmlog("fleet", "targets", "--hosts", str(path), "-o", str(output))
        assert done.returncode == 0, done.stderr

    write("127.0.0.1 rack=a1\nhttps://[::1]:50080\n")
    scrape = f"- job_name: fleet\n  file_sd_configs: [{{files: ['{output}']}}]\n"
    with prometheus(tmp_path / "prometheus", scrape, 1) as server:

        def targets() -> dict[str, dict[str, str]]:
            found = server.api("targets", state="active")["activeTargets"]
            ours = [one for one in found if one["scrapePool"] == "fleet"]
            return {one["scrapeUrl"]: one["labels"] for one in ours}

        server.until(lambda: len(targets()) == 2, "two targets")
        found = targets()
        assert found["http://127.0.0.1:50082/metrics"]["rack"] == "a1"
        assert found["https://[::1]:50082/metrics"]["host"] == "::1"
        write("127.0.0.1 rack=b2\n")
        server.until(
            lambda: [one.get("rack") for one in targets().values()] == ["b2"], "the changed list"
        )


def test_a_host_that_goes_is_down_and_its_services_unknown(tmp_path: Path) -> None:
    """What it told last stays, and it comes back by itself."""
    with real_fleet(tmp_path, 1) as (host,):
        path = listed(tmp_path, [host])
        with fleet_server(path, "--fresh", "0") as served:
            state = get(served, "/v2.1/os-hypervisors").json["hypervisors"][0]["state"]
            services = get(served, "/v2.1/os-services").json["services"]
            assert {one["status"] for one in services} == {"enabled"}
            host.server.stop()
            (one,) = get(served, "/v2.1/os-hypervisors").json["hypervisors"]
            assert (one["id"], one["state"], state in ("up", "down")) == (id_of(0), "down", True)
            gone = get(served, "/v2.1/os-services").json["services"]
            assert [(one["binary"], one["status"]) for one in gone] == [
                (one["binary"], "UNKNOWN") for one in services
            ]
            assert get(served, "/v2.1/limits").status == 503
        assert any("does not answer: cannot be reached" in line for line in served.lines)
