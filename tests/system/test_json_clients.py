# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign clients, which know nothing of kvmlog: OpenStack's, and one that reads the description.

They are in a venv of their own (scripts/setup test, scripts/packages/clients.txt).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import vmstats_samples as samples
from tests.support.bridge_process import kvmlog
from tests.support.foreign_clients import auth, openstack, run
from tests.support.json_history import served_history
from tests.support.json_process import JsonHost, json_server
from tests.support.scale import OPENAPI_EXAMPLES
from tests.support.users import as_root

pytestmark = as_root

# Connects as argv[1] says, and prints what OpenStack's own library makes of the replies.
SDK: Final = """
import json, sys
import openstack
connection = openstack.connect(
    **json.loads(sys.argv[1]), load_yaml_config=False, load_envvars=False
)
compute = connection.compute
hypervisors = list(compute.hypervisors(details=True, with_servers=True))
server = compute.get_server(sys.argv[2])
diagnostics = compute.get_server_diagnostics(server)
try:
    compute.get_server_diagnostics(sys.argv[3])
except openstack.exceptions.ConflictException as error:
    refused = str(error)
try:
    compute.get_server("none")
except openstack.exceptions.NotFoundException as error:
    missing = str(error)
print(json.dumps({
    "hypervisors": [one.to_dict() for one in hypervisors],
    "server": server.to_dict(),
    "diagnostics": diagnostics.to_dict(),
    "refused": refused,
    "missing": missing,
}))
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsonHost]:
    """A server that knows web1, which runs, and db1, which does not."""
    folder = tmp_path_factory.mktemp("clients")
    made = kvmlog("rpc", "--token-file", str(folder / "tokens"), "--new-token", "nova")
    assert made.returncode == 0, made.stderr
    (folder / "token").write_text(made.stdout.strip(), encoding="ascii")
    extra = ["--token-file", str(folder / "tokens"), "--requests-per-s", "0"]
    with (
        served_history(folder, folder / "vms") as (_, options),
        json_server(folder, extra=[*extra, *options]) as running,
    ):
        yield running


@pytest.mark.parametrize("kind", ["none", "admin_token"])
def test_openstacksdk_reads_hosts_and_diagnostics(host: JsonHost, kind: str) -> None:
    """No line of ours is in between; refusals become its own exceptions, with their sentence."""
    done = run(host, "python", "-c", SDK, json.dumps(auth(host, kind)), samples.WEB1, samples.DB1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (hypervisor,) = found["hypervisors"]
    assert hypervisor["id"] == samples.host().uuid
    assert hypervisor["hypervisor_version"] == 7_002_022
    # The library negotiates the newest that it knows.
    assert hypervisor["uptime"].startswith(" 20:02:42 up 16 min")
    assert [one["uuid"] for one in hypervisor["servers"]] == [samples.WEB1, samples.DB1]
    assert (found["server"]["name"], found["server"]["status"]) == ("shop-web-1", "ACTIVE")
    assert found["diagnostics"]["cpu_details"][0] == {
        "id": 0,
        "time": 60_000_000_005,
        "utilisation": 56,
    }
    assert found["diagnostics"]["memory_details"] == {"maximum": 4096, "used": 1800}
    assert "db1: its state is shutdown" in found["refused"]
    assert "No VM has the name, UUID or pid 'none'" in found["missing"]


def test_the_openstack_command_shows_hosts_and_diagnostics(host: JsonHost) -> None:
    """List, one in detail with its uptime, and a server's diagnostics."""
    (listed,) = openstack(host, "hypervisor", "list")
    uuid = str(samples.host().uuid)
    assert (listed["ID"], listed["Hypervisor Hostname"]) == (uuid, "kvm1.example.net")
    shown = openstack(host, "hypervisor", "show", "kvm1.example.net", token=True)
    assert (shown["vcpus"], shown["vcpus_used"], shown["aggregates"]) == (8, 3, [])
    words = ("server", "show", "--diagnostics", samples.WEB1)
    assert openstack(host, *words)["driver"] == "libvirt"


def test_every_request_that_the_schema_allows_or_not_is_answered_as_described(
    host: JsonHost,
) -> None:
    """schemathesis makes them up: right and wrong parameters, methods, headers."""
    config = host.vms.parent / "schemathesis.toml"
    # 431, too: many names may be too long for a head, right ones and wrong ones.
    config.write_text(
        "[checks]\n"
        "negative_data_rejection.expected-statuses = [400, 404, 405, 406, 431]\n"
        "positive_data_acceptance.expected-statuses = [200, 404, 409, 431]\n"
        # A marker that is none, and a period that ends before it begins, are 400 in Nova too.
        "[[operations]]\n"
        "include-path-regex = '(actions|usage|servers|detail|hypervisors|tenant-usage/.*)$'\n"
        "[operations.checks]\n"
        "positive_data_acceptance.expected-statuses = [200, 400, 404, 431]\n",
        encoding="ascii",
    )
    done = run(
        host,
        "schemathesis",
        f"--config-file={config}",
        "run",
        f"{host.url}/v1/openapi.json",
        "--phases=coverage,fuzzing",
        f"--max-examples={OPENAPI_EXAMPLES}",
        "--seed=20261130",
        "--no-color",
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
    assert "internal error" not in "".join(host.server._lines)
