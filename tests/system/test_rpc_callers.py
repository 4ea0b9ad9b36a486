# SPDX-License-Identifier: GPL-2.0-or-later
"""Local callers of a real server: by their socket's owner, or by a token."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault, ServerProxy, dumps

import pytest

from kvmlog.rpcserver.limits import BURST_S, Limits
from tests.support.bridge_process import HANG_S, kvmlog, until
from tests.support.rpc_process import Server, post, read_all, rpc_server, status_of
from tests.support.users import MEMBER, MEMBER_UID, NOBODY, as_root, group_file, run_as

pytestmark = as_root

CALL = dumps((), "kvmLogStatus").encode()

# Posts argv[2] to the port argv[1] and prints the reply; argv[3]: an Authorization.
POST = """
import http.client, sys
link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
headers = {"Content-Type": "text/xml"}
if len(sys.argv) > 3:
    headers["Authorization"] = sys.argv[3]
link.request("POST", "/RPC2", sys.argv[2], headers)
reply = link.getresponse()
print(reply.status, reply.getheader("WWW-Authenticate"), reply.read().decode())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that knows a group kvmlog with one member."""
    prefix = group_file(tmp_path, f"kvmlog:x:64998:{MEMBER}\n")
    with rpc_server(tmp_path / "ring", tmp_path / "switch", prefix=prefix) as running:
        yield running


def token(path: Path, name: str, role: str) -> str:
    """A new token of the file, made as an administrator does."""
    made = kvmlog("rpc", "--token-file", str(path), "--new-token", name, "--role", role)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_root_and_the_group_may_call(server: Server) -> None:
    """Both by their socket alone."""
    with server.client() as client:
        assert client.kvmLogStatus()["bridge"] == "down"
    reply = run_as(MEMBER_UID, POST, str(server.port), CALL.decode())
    assert reply.startswith("200 ")


@pytest.mark.parametrize("method", ["kvmLogSwitch", "getKvmLog", "system.listMethods", "none"])
def test_another_user_may_neither_switch_nor_read(server: Server, method: str) -> None:
    """403 with a sentence, whatever is called; the log has who and where."""
    reply = run_as(NOBODY, POST, str(server.port), dumps(("on",), method))
    assert reply.startswith("403 None user 'nobody' is neither root nor in the group kvmlog")
    assert "refused: 403 user 'nobody' is neither" in server.stop()


def test_ipv6_is_no_way_around(tmp_path: Path) -> None:
    """Root by [::1] may, nobody may not."""
    with rpc_server(tmp_path / "ring", tmp_path / "switch", listen="[::1]:0") as server:
        with server.client() as client:
            assert client.kvmLogStatus()["bridge"] == "down"
        reply = run_as(NOBODY, POST.replace("127.0.0.1", "::1"), str(server.port), CALL.decode())
        assert reply.startswith("403 ")


def test_a_caller_that_is_gone_is_nobody(server: Server) -> None:
    """Closed before the server looks: refused, although the kernel says uid 0 of such a socket."""
    server.process.send_signal(signal.SIGSTOP)
    with server.connect() as connection:
        connection.sendall(post(dumps(("off",), "kvmLogSwitch").encode()))
    server.process.send_signal(signal.SIGCONT)
    with server.client() as client:
        client.kvmLogStatus()
    log = ""

    def refused() -> bool:
        nonlocal log
        log = "".join(server._lines)
        return "Whose socket this comes from cannot be told" in log

    until(refused)
    assert "switched" not in log


def test_a_token_is_printed_once_and_stored_as_a_hash(tmp_path: Path) -> None:
    """Only the owner can read the file; a second token of the same name is refused."""
    path = tmp_path / "tokens"
    made = token(path, "engine", "switch")
    assert path.stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(made.encode()).hexdigest()
    assert path.read_text(encoding="ascii") == f"switch engine {digest}\n"
    again = kvmlog("rpc", "--token-file", str(path), "--new-token", "engine")
    assert (again.returncode, again.stdout) == (1, "")
    assert "has a token engine" in again.stderr
    # As some editors leave it.
    path.write_text(path.read_text(encoding="ascii").rstrip(), encoding="ascii")
    assert token(path, "reader", "read")
    assert len(path.read_text(encoding="ascii").splitlines()) == 2


@pytest.mark.parametrize(
    ("method", "parameters", "role", "fault"),
    [
        ("kvmLogStatus", (), "read", 0),
        ("kvmLogSwitch", ("off",), "read", 104),
        ("kvmLogStatus", (), "switch", 0),
        ("kvmLogSwitch", ("off",), "switch", 101),
    ],
)
def test_a_token_allows_what_its_role_says(
    tmp_path: Path, method: str, parameters: tuple[str, ...], role: str, fault: int
) -> None:
    """Also for a user who may nothing by themselves; 101 is that of a bridge that is not there."""
    path = tmp_path / "tokens"
    made = token(path, "engine", role)
    with rpc_server(
        tmp_path / "ring", tmp_path / "switch", extra=["--token-file", str(path)]
    ) as server:
        body = dumps(parameters, method)
        reply = run_as(NOBODY, POST, str(server.port), body, f"Bearer {made}")
        assert reply.startswith("200 ")
        assert (f"<int>{fault}</int>" in reply) == bool(fault)
        log = server.stop()
    assert ("engine by token) may not call" in log) == (fault == 104)
    assert ("engine by token) asked for tracing off, not done" in log) == (fault == 101)
    assert made not in log


def test_a_wrong_token_is_401(tmp_path: Path) -> None:
    """Even from root: what was presented is what counts."""
    path = tmp_path / "tokens"
    token(path, "engine", "read")
    with rpc_server(
        tmp_path / "ring", tmp_path / "switch", extra=["--token-file", str(path)]
    ) as server:
        for authorization in ("Bearer wrong", "Bearer ", "Basic cm9vdDpyb290", "", "Bearer \xe9"):
            reply = run_as(0, POST, str(server.port), CALL.decode(), authorization)
            assert reply.startswith('401 Bearer realm="kvmlog"')


def test_two_tokens_at_once_are_none(server: Server) -> None:
    """Two Authorization headers are ambiguous, and refused."""
    reply = server.exchange(post(CALL, headers="Authorization: Bearer a\r\n" * 2))
    assert status_of(reply) == 401


def test_tokens_come_and_go_at_sighup(tmp_path: Path) -> None:
    """A broken file changes nothing."""
    path = tmp_path / "tokens"
    old = token(path, "old", "read")
    with rpc_server(
        tmp_path / "ring", tmp_path / "switch", extra=["--token-file", str(path)]
    ) as server:

        def status(presented: str) -> int:
            header = f"Authorization: Bearer {presented}\r\n"
            return status_of(server.exchange(post(CALL, headers=header)))

        path.unlink()
        new = token(path, "new", "read")
        assert (status(old), status(new)) == (200, 401)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: status(new) == 200)
        assert status(old) == 401
        path.chmod(0o644)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("has mode 0644" in line for line in server._lines))
        assert status(new) == 200


@pytest.mark.parametrize(
    ("content", "mode", "owner", "words"),
    [
        ("", 0o644, 0, "has mode 0644, open to others; chmod 0600"),
        ("", 0o600, NOBODY, "belongs to uid 65534"),
        ("my-plain-token\n", 0o600, 0, "line 1 is not ROLE NAME HASH"),
        ("# fine\nadmin x " + "0" * 64, 0o600, 0, "line 2 is not ROLE NAME HASH"),
    ],
)
def test_a_token_file_that_cannot_be_trusted_is_refused(
    tmp_path: Path, content: str, mode: int, owner: int, words: str
) -> None:
    """The server does not start, and does not show what may be a token."""
    path = tmp_path / "tokens"
    path.write_text(content, encoding="ascii")
    path.chmod(mode)
    os.chown(path, owner, -1)
    refused = kvmlog("rpc", "--listen", "127.0.0.1:0", "--token-file", str(path))
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "my-plain-token" not in refused.stderr


def test_too_many_requests_are_429(tmp_path: Path) -> None:
    """Five seconds' worth at once, then a wait that the reply tells; others are not affected."""
    extra = ["--requests-per-s", "1"]
    prefix = group_file(tmp_path, f"kvmlog:x:64998:{MEMBER}\n")
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra, prefix=prefix) as server:
        request = post(CALL)
        replies = [server.exchange(request) for _ in range(3 * BURST_S)]
        refused = [reply for reply in replies if status_of(reply) == 429]
        assert [status_of(reply) for reply in replies[:BURST_S]] == [200] * BURST_S
        assert refused
        assert all(b"\r\nRetry-After: 1\r\n" in reply for reply in refused)
        reply = run_as(MEMBER_UID, POST, str(server.port), CALL.decode())
        assert reply.startswith("200 ")


@pytest.mark.parametrize("uids", [[NOBODY], [NOBODY, 7, 8, 9]], ids=["one", "four"])
def test_strangers_cannot_take_all_connections(tmp_path: Path, uids: list[int]) -> None:
    """Together they have 16, of which the oldest goes for the next; who has a token is served, as
    are root and the group."""
    most = Limits().connections_per_peer
    hold = f"""
import os, socket, sys
links = []
for uid in {uids} * {most + 4}:
    os.seteuid(uid)
    links.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), {HANG_S}))
    os.seteuid(0)
ended = [link.recv(100) for link in links[:-{most}]]
left = 0
for link in links[-{most}:]:
    link.setblocking(False)
    try:
        link.recv(100)
    except BlockingIOError:
        left += 1
print(ended.count(b""), len(ended), left, flush=True)
sys.stdin.read()
"""
    tokens = tmp_path / "tokens"
    shown = f"Bearer {token(tokens, 'engine', 'read')}"
    prefix = group_file(tmp_path, f"kvmlog:x:64998:{MEMBER}\n")
    extra = ["--token-file", str(tokens)]
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=extra, prefix=prefix) as server:
        port = str(server.port)
        words = ["/usr/bin/python3", "-c", hold, port]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            ended, early, left = map(int, holder.stdout.readline().split())
            assert (ended, left) == (early, most)
            assert run_as(NOBODY, POST, port, CALL.decode(), shown).startswith("200 ")
            with server.client() as client:
                assert client.kvmLogStatus()["bridge"] == "down"
            assert run_as(MEMBER_UID, POST, port, CALL.decode()).startswith("200 ")
            holder.communicate("")
        assert "it had shown no credential, and another connection needed its slot" in server.stop()


def test_a_role_is_a_fault_for_the_stock_client(tmp_path: Path) -> None:
    """xmlrpc.client with a header: fault 104 in a sentence."""
    path = tmp_path / "tokens"
    made = token(path, "reader", "read")
    with rpc_server(
        tmp_path / "ring", tmp_path / "switch", extra=["--token-file", str(path)]
    ) as server:
        url = f"http://127.0.0.1:{server.port}/"
        with ServerProxy(url, headers=[("Authorization", f"Bearer {made}")]) as client:
            with pytest.raises(Fault) as caught:
                client.kvmLogSwitchSC("on")
            assert caught.value.faultCode == 104
            assert "reader (token) is not allowed to call kvmLogSwitchSC" in (
                caught.value.faultString
            )


def test_an_idle_stranger_costs_no_thread_of_others(server: Server) -> None:
    """Half a request each, and the next call is answered."""
    with socket.create_connection((server.host, server.port)) as idle:
        idle.sendall(b"POST /RPC2 HTTP/1.1\r\n")
        with server.connect() as connection:
            connection.sendall(post(CALL))
            assert status_of(read_all(connection)) == 200
