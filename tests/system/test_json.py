# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON beside XML-RPC: what is served, to whom, and how everything else is refused."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xmlrpc.client import dumps

import jsonschema
import pytest

from kvmlog.rpcserver.limits import BURST_S, Limits
from tests.support import vmstats_samples as samples
from tests.support.bridge_process import kvmlog, until
from tests.support.certificates import Authority
from tests.support.json_history import served_history
from tests.support.json_paths import CHANGED, PATHS
from tests.support.json_process import JsonHost, Reply, ask, fresh, json_server, write_vms
from tests.support.rpc_process import post, read_all, status_of
from tests.support.users import MEMBER, MEMBER_UID, NOBODY, as_root, group_file, run_as

pytestmark = as_root

ROOT = Path(__file__).parents[2]
GET = """
import http.client, sys
link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
headers = dict([sys.argv[2].split(": ", 1)]) if len(sys.argv) > 2 else {}
link.request("GET", "/v1/vms", headers=headers)
reply = link.getresponse()
print(reply.status, reply.read().decode())
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsonHost]:
    """A server that knows web1, which runs, and db1, which does not; and a group with a member."""
    folder = tmp_path_factory.mktemp("json")
    made = kvmlog("rpc", "--token-file", str(folder / "tokens"), "--new-token", "engine")
    assert made.returncode == 0, made.stderr
    (folder / "token").write_text(made.stdout.strip(), encoding="ascii")
    extra = ["--token-file", str(folder / "tokens"), "--requests-per-s", "0"]
    prefix = group_file(folder, f"kvmlog:x:64998:{MEMBER}\n")
    with (
        served_history(folder, folder / "vms") as (past, options),
        json_server(folder, extra=[*extra, *options], prefix=prefix) as running,
    ):
        past.until(lambda reader: len(reader.services()) == len(SERVICES))
        yield running


def token(host: JsonHost) -> str:
    """The token of a caller who may read."""
    return (host.vms.parent / "token").read_text(encoding="ascii")


def description(host: JsonHost) -> Any:
    """The description that the server gives of itself."""
    return host.get("/v1/openapi.json").json


SERVICES = ["kvmlog-rpc", "kvmlog-vmstats", "kvmlog-history"]
UUIDS = {"OpenStack-API-Version": "compute 2.53"}


@pytest.mark.parametrize(("path", "asked"), PATHS, ids=[asked for _, asked in PATHS])
def test_each_path_gives_what_its_description_says(host: JsonHost, path: str, asked: str) -> None:
    """A document that its schema allows, and as HEAD the same without it."""
    found = description(host)
    if "{action}" in asked:
        action = host.get("/v1/vms/web1/actions?limit=1").json[0]["request_id"]
        asked = asked.replace("{action}", action)
    reply = host.get(asked)
    assert (reply.status, reply.headers.get_content_type()) == (200, "application/json")
    answers = found["paths"][path]["get"]["responses"]["200"]
    schema = answers["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": found["components"]}).validate(
        reply.json
    )
    head = host.get(asked, "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_no_path_is_without_a_test(host: JsonHost) -> None:
    """The tables above have all that there are."""
    tested = {("get", path) for path, _ in PATHS} | {("put", path) for path, _ in CHANGED}
    paths = description(host)["paths"]
    assert {(method, path) for path in paths for method in paths[path]} == tested


def service(host: JsonHost, binary: str) -> Any:
    """A service as it is now."""
    (found,) = host.get(f"/v1/services?binary={binary}").json
    return found


@pytest.mark.parametrize(("path", "sent"), CHANGED, ids=[path for path, _ in CHANGED])
def test_a_service_is_changed_as_described(host: JsonHost, path: str, sent: dict[str, Any]) -> None:
    """The reply is the service as it is then, and so is the next list; the log says who."""
    found = description(host)
    asked = path.replace("{id}", service(host, "kvmlog-vmstats")["id"])
    reply = host.get(asked, "PUT", json.dumps(sent).encode(), UUIDS)
    assert reply.status == 200, reply.body
    operation = found["paths"][path]["put"]
    for document, described in (
        (reply.json, operation["responses"]["200"]),
        (sent, operation["requestBody"]),
    ):
        schema = described["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": found["components"]}).validate(
            document
        )
    changed = reply.json.get("service", reply.json)
    now = service(host, "kvmlog-vmstats")
    assert {name: now[name] for name in changed} == {**changed, "updated_at": now["updated_at"]}
    expected = {"disabled_reason": None, "forced_down": False, **sent}
    assert {name: now[name] for name in expected} == expected
    line = f"(root) asked for kvmlog-vmstats on {now['host']} to be {sent['status']}"
    until(lambda: line in "".join(host.server._lines))


def test_the_remote_commands_show_and_change(host: JsonHost) -> None:
    """Through XML-RPC and the typed client, beside JSON: the same documents."""

    def remote(*words: str, status: int = 0) -> str:
        done = kvmlog("remote", f"127.0.0.1:{host.server.port}", *words)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    shown = remote("services", "--disable", "kvmlog-rpc", "--reason", "new disks", "--json")
    changed = json.loads(shown)
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "new disks")
    now = service(host, "kvmlog-rpc")
    same = now.keys() - {"last_seen_up", "report_count", "updated_at"}
    assert {name: changed[name] for name in same} == {name: now[name] for name in same}
    assert json.loads(remote("services", "--enable", "kvmlog-rpc", "--json"))["status"] == "enabled"
    refused = remote("services", "--enable", "rpc", status=1)
    assert "no service 'rpc' has been seen there; give one of kvmlog-rpc" in refused
    events = [json.loads(line) for line in remote("events", "--vm", "web1", "--json").splitlines()]
    assert [one["event"] for one in events if one["kind"] == "fault"] == ["io-error"]
    listed = host.get("/v1/vms/web1/actions").json
    assert [one["event"] for one in events if one["kind"] == "action"] == [
        one["action"] for one in reversed(listed)
    ]
    usage = json.loads(remote("usage", "--since", "2026-11-01", "--json"))
    assert usage["observed_since"] == host.get("/v1/usage").json["observed_since"]
    web1 = [
        one
        for tenant in usage["tenant_usages"]
        for one in tenant["server_usages"]
        if one["instance_id"] == samples.WEB1
    ]
    assert sum(one["vcpus"] for one in web1) == 2 * len(web1) > 0


def test_services_by_names_before_microversion_253(host: JsonHost) -> None:
    """As Nova's older clients: the path says what, the body of which service."""
    named = {"host": service(host, "kvmlog-rpc")["host"], "binary": "kvmlog-rpc"}

    def put(action: str, version: str = "2.11", **more: Any) -> Reply:
        body = json.dumps({**named, **more}).encode()
        headers = {"OpenStack-API-Version": f"compute {version}"}
        return host.get(f"/v2.1/os-services/{action}", "PUT", body, headers)

    done = put("disable-log-reason", disabled_reason="x").json
    assert done == {"service": {**named, "disabled_reason": "x", "status": "disabled"}}
    assert service(host, "kvmlog-rpc")["disabled_reason"] == "x"
    assert put("disable").json == {"service": {**named, "status": "disabled"}}
    assert service(host, "kvmlog-rpc")["disabled_reason"] is None
    assert put("force-down", forced_down=True).json["service"]["forced_down"] is True
    assert service(host, "kvmlog-rpc")["state"] == "down"
    assert put("force-down", forced_down=False).status == 200
    assert put("enable").json == {"service": {**named, "status": "enabled"}}
    assert service(host, "kvmlog-rpc")["status"] == "enabled"
    for refused, status, sentence in (
        (put("start"), 404, "There is no action start; put one of enable, disable,"),
        (put("force-down", "2.10", forced_down=True), 404, "There is no action force-down"),
        (put("disable-log-reason"), 400, "The member disabled_reason is missing; give host,"),
        (put("enable", x=1), 400, "There is no member 'x' here; give host, binary."),
        (put("enable", host=1), 400, "host is no string of 1 to 256 characters; give one."),
        (put("enable", host="h9"), 404, "There is no kvmlog-rpc on h9; known are: kvmlog-rpc on"),
        (put("force-down", forced_down="yes"), 400, "forced_down is 'yes'; give true or false."),
    ):
        assert (refused.status, sentence in refused.sentence) == (status, True), refused.body


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "The body is no JSON; send an object."),
        (b"{", 400, "The body is no JSON; send an object."),
        (b"[]", 400, "The body is no JSON object; send one."),
        (b"[" * 4000, 400, "The body is no JSON; send an object."),
        (b"{}", 400, "nothing to change; give status or forced_down."),
        (b'{"status": "off"}', 400, "status is 'off'; give one of enabled, disabled."),
        (b'{"x": 1}', 400, "there is no member 'x' here; give status, disabled_reason,"),
        (b'{"forced_down": 1}', 400, "forced_down is 1; give true or false."),
        (
            b'{"status": "disabled", "disabled_reason": "a\\u0000"}',
            400,
            "give printable characters only.",
        ),
        (b'{"status": "disabled", "x": "' + b"x" * 4096 + b'"}', 413, "more than 4096 bytes"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/services", "/v2.1/os-services"])
def test_a_bad_body_is_a_sentence(
    host: JsonHost, path: str, body: bytes, status: int, sentence: str
) -> None:
    """And changes nothing."""
    before = service(host, "kvmlog-history")
    reply = host.get(f"{path}/{before['id']}", "PUT", body, UUIDS)
    assert (reply.status, sentence in reply.sentence) == (status, True), reply.body
    after = service(host, "kvmlog-history")
    assert (after["status"], after["forced_down"]) == ("enabled", False)


def test_changing_takes_the_right_to_switch(host: JsonHost) -> None:
    """A token that may read may not; the log says who tried."""
    found = service(host, "kvmlog-rpc")
    headers = {"Authorization": f"Bearer {token(host)}"}
    assert host.get("/v1/services", headers=headers).status == 200
    reply = host.get(f"/v1/services/{found['id']}", "PUT", b'{"forced_down": true}', headers)
    assert (reply.status, "it takes the right to switch." in reply.sentence) == (403, True)
    assert not service(host, "kvmlog-rpc")["forced_down"]
    line = "may not call service_update: no right to switch"
    until(lambda: line in "".join(host.server._lines))


@pytest.mark.parametrize(
    ("path", "version", "sentence"),
    [
        ("os-hypervisors/statistics", "2.88", "served until microversion 2.87, not 2.88; add up"),
        ("os-hypervisors/kvm1/search", "2.53", "give hypervisor_hostname_pattern to os-hyperv"),
        ("os-hypervisors/kvm1/servers", "2.53", "served until microversion 2.52, not 2.53"),
        ("os-hosts", "2.43", "served until microversion 2.42, not 2.43; list os-services."),
        ("os-hosts/kvm1.example.net", "2.43", "list os-hypervisors."),
    ],
)
def test_what_nova_has_no_more_is_404(
    host: JsonHost, path: str, version: str, sentence: str
) -> None:
    """The sentence says what there is instead."""
    reply = host.get(f"/v2.1/{path}", headers={"OpenStack-API-Version": f"compute {version}"})
    assert (reply.status, sentence in reply.sentence) == (404, True), reply.body


def test_lists_go_on_where_a_page_ends(host: JsonHost) -> None:
    """Links lead on, relative to the server; the last page has none."""
    for path, name, links, key, version in (
        ("/v2.1/servers?limit=1", "servers", "servers_links", "id", "2.1"),
        (
            f"/v2.1/servers/{samples.WEB1}/os-instance-actions?limit=2",
            "instanceActions",
            "links",
            "request_id",
            "2.58",
        ),
    ):
        headers = {"OpenStack-API-Version": f"compute {version}"}
        whole = host.get(path.partition("?")[0], headers=headers).json[name]
        found, asked = [], path
        while asked:
            page = host.get(asked, headers=headers).json
            found += page[name]
            (asked,) = [one["href"] for one in page.get(links, ())] or [""]
        assert [one[key] for one in found] == [one[key] for one in whole]
        assert len(whole) >= 2


def test_older_microversions_have_fewer_members(host: JsonHost) -> None:
    """Each since when Nova has it."""
    path = f"/v2.1/servers/{samples.WEB1}/os-instance-actions"

    def at(path: str, version: str) -> Any:
        return host.get(path, headers={"OpenStack-API-Version": f"compute {version}"}).json

    (first, *_) = at(path, "2.84")["instanceActions"]
    assert "updated_at" in first
    assert "updated_at" not in at(path, "2.57")["instanceActions"][0]
    one = f"{path}/{first['request_id']}"
    for version, more in (("2.84", {"details", "host", "hostId"}), ("2.83", {"host", "hostId"})):
        (event, *_) = at(one, version)["instanceAction"]["events"]
        assert event.keys() & {"details", "host", "hostId"} == more
    assert "hostId" not in at(one, "2.61")["instanceAction"]["events"][0]
    services = {
        version: at("/v2.1/os-services", version)["services"][0]
        for version in ("2.10", "2.11", "2.53")
    }
    assert [services[version]["id"] for version in ("2.10", "2.11")] == [1, 1]
    assert services["2.53"]["id"] == service(host, "kvmlog-rpc")["id"]
    assert "forced_down" not in services["2.10"]
    assert services["2.11"]["forced_down"] is False


def test_integers_are_numbers_of_any_size(host: JsonHost) -> None:
    """Unlike in XML-RPC."""
    web1 = host.get("/v1/vms/web1").json
    assert web1["cpu"]["time_ns"] == 100_000_000_001


def test_each_caller_gets_its_own_growth(host: JsonHost) -> None:
    """What has been told by XML-RPC is not told again here: the caller is the same."""
    with host.server.client() as client:
        client.vmCloudStack("both")
    grown = samples.accumulated(rx_bytes=4_096_000 + 1_024_000)
    vm = replace(samples.vm(), accumulated=grown)
    write_vms(host.vms, fresh(samples.snapshot(vm, samples.off_vm())))
    accumulated = "accumulated"
    until(
        lambda: (
            host.get("/v1/vms/cloudstack?caller=x").json[accumulated]["web1"]["networkReadKBs"]
            == 5000
        )
    )
    first = host.get("/v1/vms/cloudstack?caller=other").json["vmStatsMap"]["web1"]
    both = host.get("/v1/vms/cloudstack?caller=both").json["vmStatsMap"]["web1"]
    assert (first["networkReadKBs"], both["networkReadKBs"]) == (0, 1000)


def test_the_other_port_is_named(host: JsonHost) -> None:
    """Who calls XML-RPC's methods on this port is told which one has them."""
    for command in ("vms", "status"):
        refused = kvmlog("remote", f"{host.host}:{host.port}", command)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"kvmlog: {host.host}:{host.port}: this is the port of JSON (rpc.json_listen); name "
            "the one of XML-RPC (rpc.listen, by default 50080)\n"
        )


def test_what_any_path_may_answer_is_described(host: JsonHost) -> None:
    """Another method and a body among it; the documents that say more are there."""
    found = description(host)
    for path in found["paths"].values():
        for operation in path.values():
            described = set(operation["responses"])
            assert {"400", "401", "403", "405", "408", "413", "429", "503"} <= described
    named = [word for word in found["info"]["description"].split() if word.startswith("docs/")]
    assert named == ["docs/json.md", "docs/vmstats.md,"]
    assert all((ROOT / word.rstrip(",")).is_file() for word in named)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/", 404, "There is no such path; /v1/openapi.json describes"),
        ("/v1/vm", 404, "There is no such path"),
        ("/v1/vms/none", 404, "No VM has the name, UUID or pid 'none'; name one of: web1 ("),
        ("/v1/vms?vm=web1&vm=none", 404, "No VM has the name, UUID or pid 'none'"),
        ("/v1/vms/db1/diagnostics", 409, "db1: its state is shutdown"),
        ("/v1/vms?group=cpu", 400, "There is no parameter 'group' (did you mean groups?) here"),
        ("/v1/host?x=1", 400, "There is no parameter 'x' here; give none."),
        ("/v1/vms?groups=gpu", 400, "groups is 'gpu'; give one of state, cpu,"),
        ("/v1/vms?groups=state,cpus", 400, "accumulated (did you mean cpu?)."),
        ("/v1/hypervisor?format=nova2.88", 400, "(did you mean nova-2.88?)."),
        ("/v1/vms?groups=", 400, "groups is ''; give one of state, cpu,"),
        ("/v1/vms/web1/diagnostics?format=xml", 400, "format is 'xml'; give one of nova, nova-2."),
        ("/v1/samples?caller=a&caller=b", 400, "caller is 'a,b'; give 1 at most."),
        (f"/v1/vms/{'x' * 300}", 400, "give 1 to 256 characters."),
        ("/v1/vms?vm=web1,db1", 404, "No VM has the name, UUID or pid 'web1,db1'"),
        (f"/v1/vms?{'vm=a&' * 65}", 400, "give 64 at most."),
        (f"/v1/vms?groups={'cpu,' * 65}", 400, "give 64 at most."),
        ("/v2.1/none", 404, "There is no such path"),
        ("/v1/vms/none/actions", 404, "No VM has the name, UUID or pid 'none'"),
        ("/v1/vms/web1/actions/req-x", 404, "Action req-x not found; list the VM's actions."),
        ("/v1/vms/web1/actions?limit=0", 400, "limit is '0'; give a whole number from 1 to 1000."),
        ("/v1/vms/web1/actions?since=soon", 400, "since is 'soon'; give one like 2026-11-30,"),
        ("/v1/vms/web1/actions?marker=x", 400, "No action has the request_id 'x'; give one of"),
        ("/v1/faults?vm=none", 404, "No VM has the name, UUID or pid 'none'"),
        ("/v1/usage?start=2026-11-30&end=2026-11-29", 400, "the start is not before the end;"),
        ("/v1/hypervisors?pattern=x9", 404, "No hypervisor matching 'x9' could be found; there"),
        ("/v2.1/os-hosts/none", 404, "Compute host none could not be found; known are: kvm1."),
        ("/v2.1/os-hypervisors/x9/search", 404, "No hypervisor matching 'x9' could be found"),
        ("/v2.1/os-hypervisors?marker=x", 400, "marker [x] not found; give an id."),
        (
            "/v2.1/os-hypervisors?hypervisor_hostname_pattern=k&limit=1",
            400,
            "hypervisor_hostname_pattern with limit or marker; give it by itself.",
        ),
        ("/v2.1/servers?marker=x", 400, "marker [x] not found; give a server's id."),
        ("/v2.1/os-simple-tenant-usage?marker=x", 400, "marker x not found; give the last"),
        ("/v2.1/projects/none", 404, "No VM known here belongs to the project none; list"),
        ("/v2.1/servers/none", 404, "No VM has the name, UUID or pid 'none'"),
        ("/v2.1/servers/db1/diagnostics", 409, "db1: its state is shutdown"),
        ("/v2.1/os-hypervisors/7", 404, "Compute host 7 could not be found"),
        ("/v2.1/os-hypervisors?with_servers=maybe", 400, "with_servers is 'maybe'; give true"),
        (
            "/v2.1/os-hypervisors/detail?hypervisor_hostname_pattern=x9",
            404,
            "No hypervisor matching 'x9' could be found",
        ),
    ],
)
def test_bad_input_is_a_sentence(host: JsonHost, path: str, status: int, sentence: str) -> None:
    """As problem details, or as Nova's faults are on its paths."""
    reply = host.get(path)
    assert (reply.status, sentence in reply.sentence) == (status, True), reply.body
    assert (b"itemNotFound" in reply.body) == (status == 404 and path.startswith("/v2.1"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/v1/vms", "/v2.1/os-hypervisors"])
def test_it_is_read_only(host: JsonHost, method: str, path: str) -> None:
    """Any other method is 405, with those that there are."""
    reply = host.get(path, method, b"{}")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET,HEAD")
    assert "send GET" in reply.sentence


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "is no token known here"),
        ({"X-Auth-Token": "wrong"}, 401, "is no token known here"),
        ({"Authorization": "Basic YTpi"}, 401, "is no token known here"),
        ({"Authorization": "Bearer {token}", "X-Auth-Token": "wrong"}, 401, "no token known"),
        ({"Origin": "https://example.com"}, 403, "Web pages may not call this server."),
        ({"Sec-Fetch-Site": "same-origin"}, 403, "Web pages may not call this server."),
        ({"Host": "evil.example"}, 403, "without a token use an IP address or localhost."),
        ({"Host": "evil.example", "Authorization": "Bearer {token}"}, 200, ""),
        ({"Host": "localhost"}, 200, ""),
        ({"Host": "[::1]:50081"}, 200, ""),
        ({"Sec-Fetch-Site": "none"}, 200, ""),
        ({"X-Auth-Token": "notused"}, 200, ""),
        ({"X-Auth-Token": "{token}"}, 200, ""),
        ({"X-Auth-Token": "{token}", "Authorization": "Bearer {token}"}, 200, ""),
    ],
)
def test_who_may_ask(host: JsonHost, headers: dict[str, str], status: int, sentence: str) -> None:
    """A wrong token is refused even of root, and web pages are of everybody."""
    shown = {name: value.replace("{token}", token(host)) for name, value in headers.items()}
    reply = host.get("/v1/vms", headers=shown)
    assert reply.status == status
    if sentence:
        assert sentence in reply.sentence
        assert (reply.headers["WWW-Authenticate"] is None) == (status != 401)


def test_local_users_are_those_of_xml_rpc(host: JsonHost) -> None:
    """The group by its socket, others by a token only; the log has who was refused."""
    port = str(host.port)
    assert run_as(MEMBER_UID, GET, port).startswith("200 ")
    assert run_as(NOBODY, GET, port).startswith("403 ")
    assert run_as(NOBODY, GET, port, f"X-Auth-Token: {token(host)}").startswith("200 ")
    lines = host.server._lines
    until(lambda: any("refused: 403 user 'nobody' is neither" in line for line in lines))


def test_what_is_no_request_is_refused_and_closed(host: JsonHost) -> None:
    """A sentence each; a body is not read."""
    assert host.get("/v1/vms", "GET", b"x" * 100).sentence == "A GET has no body here; send none."
    with socket.create_connection((host.host, host.port)) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost x\r\n\r\n")
        assert b"This is no HTTP request" in read_all(link)
    with socket.create_connection((host.host, host.port)) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000)
        reply = read_all(link)
    assert (status_of(reply), b"Requests may have 16384 bytes" in reply) == (431, True)


@pytest.mark.parametrize(
    ("asked", "given", "identity"),
    [
        ("", "2.1", 1),
        ("compute 2.1", "2.1", 1),
        ("compute 2.52", "2.52", 1),
        ("compute 2.53", "2.53", samples.host().uuid),
        ("compute latest", "2.88", samples.host().uuid),
        ("volume 3.1, compute 2.88", "2.88", samples.host().uuid),
        ("volume 3.1", "2.1", 1),
    ],
)
def test_microversions_are_negotiated(
    host: JsonHost, asked: str, given: str, identity: object
) -> None:
    """The reply is in the version asked for, and says so."""
    headers = {"OpenStack-API-Version": asked} if asked else {}
    reply = host.get("/v2.1/os-hypervisors/detail", headers=headers)
    found = reply.json["hypervisors"][0]
    assert reply.headers["OpenStack-API-Version"] == f"compute {given}"
    assert (found["id"], "uptime" in found) == (identity, given == "2.88")
    kinds = {"2.1": "str", "2.88": "NoneType"}
    assert type(found.get("cpu_info")).__name__ == kinds.get(given, "dict")
    headers = {"X-OpenStack-Nova-API-Version": given}
    old = host.get("/v2.1/os-hypervisors", headers=headers)
    assert old.json["hypervisors"][0]["id"] == identity


@pytest.mark.parametrize(
    ("asked", "status"),
    [("compute 2.89", 406), ("compute 2.0", 406), ("compute 3.1", 406), ("compute x", 400)],
)
def test_other_microversions_are_refused(host: JsonHost, asked: str, status: int) -> None:
    """The refusal has the versions that there are."""
    reply = host.get("/v2.1/os-hypervisors", headers={"OpenStack-API-Version": asked})
    assert reply.status == status
    assert "2.1" in reply.sentence
    assert "2.88" in reply.sentence


def test_without_a_collector_and_with_a_late_one(tmp_path: Path) -> None:
    """503 and when to try again; our own form says that it is old instead."""
    with json_server(tmp_path) as host:
        write_vms(host.vms, samples.snapshot())
        until(lambda: host.get("/v1/vms").json["late"] is not None)
        for path in ("/v1/vms/web1/diagnostics", "/v1/vms/cloudstack", "/v1/samples"):
            reply = host.get(path)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "10")
            assert "the collector has not written since" in reply.sentence
        assert host.get("/v2.1/os-hypervisors").json["hypervisors"][0]["state"] == "down"
        host.vms.unlink()
        reply = host.get("/v2.1/servers/web1/diagnostics")
        assert (reply.status, "start the collector" in reply.sentence) == (503, True)
        assert "serviceUnavailable" in reply.json
        host.vms.write_text('{"format": "kvmlog-vmstats", "version": 1}', encoding="ascii")
        assert "a damaged one" in host.get("/v1/vms").sentence


def test_both_ports_share_a_callers_requests(tmp_path: Path) -> None:
    """What one takes the other has not; the refusal says when to try again."""
    with json_server(tmp_path, extra=["--requests-per-s", "1"]) as host:
        call = post(dumps((), "kvmLogStatus").encode())
        assert [status_of(host.server.exchange(call)) for _ in range(BURST_S)] == [200] * BURST_S
        replies = [host.get("/v1/host") for _ in range(BURST_S)]
        refused = [reply for reply in replies if reply.status == 429]
        assert refused
        assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
        assert "More than 1 requests a second" in refused[0].sentence


def test_strangers_cannot_take_all_connections(tmp_path: Path) -> None:
    """They have 16, of which the oldest goes for the next."""
    most = Limits().connections_per_peer
    hold = f"""
import os, socket, sys
os.seteuid({NOBODY})
links = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) for _ in range({most + 2})]
print([link.recv(1) for link in links[:2]])
for link in links[2:]:
    link.setblocking(False)
    try:
        print(link.recv(1))
    except BlockingIOError:
        pass
"""
    with json_server(tmp_path) as host:
        assert run_as(0, hold, str(host.port)).split("\n") == ["[b'', b'']", ""]
        assert host.get("/v1/host").status == 200
        log = host.server.stop()
    assert log.count("it had shown no credential, and another connection needed its slot") == 2


def test_tls_certificates_and_renewal(tmp_path: Path) -> None:
    """A client certificate is a credential; after SIGHUP kept connections begin anew."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    extra = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    extra += ["--tls-ca", str(authority.certificate)]
    with json_server(tmp_path, extra=extra) as host:
        context = authority.client(authority.issue("engine"))
        with contextlib.closing(host.connect(context)) as kept:
            assert ask(kept, "/v1/vms").status == 200
            host.server.process.send_signal(signal.SIGHUP)
            until(lambda: any("configuration read again" in line for line in host.server._lines))
            with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
                ask(kept, "/v1/vms")
            kept.close()
            assert ask(kept, "/v1/vms").status == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(host.connect(authority.client()), "/v1/vms")


def test_it_ends_with_connections_open(tmp_path: Path) -> None:
    """Idle ones and half a request do not keep SIGTERM waiting."""
    with json_server(tmp_path) as host, contextlib.closing(host.connect()) as idle:
        assert ask(idle, "/v1/host").status == 200
        with socket.create_connection((host.host, host.port)) as half:
            half.sendall(b"GET / HT")
            assert host.server.stop().endswith("stopped\n")
    assert host.server.process.returncode == 0


def test_a_taken_port_and_an_open_address_are_refused(host: JsonHost) -> None:
    """Each sentence names the option."""
    taken = f"127.0.0.1:{host.port}"
    words = ["rpc", "--user", "root", "--listen", "127.0.0.1:0", "--json-listen"]
    done = kvmlog(*words, taken)
    assert (done.returncode, "--json-listen takes another port" in done.stderr) == (1, True)
    done = kvmlog(*words, "0.0.0.0:0")
    assert (done.returncode, "beyond loopback TLS is needed" in done.stderr) == (1, True)
    done = kvmlog(*words, "web1")
    assert (done.returncode != 0, "give HOST:PORT" in done.stderr) == (True, True)
