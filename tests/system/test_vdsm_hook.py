# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook for oVirt's VDSM beside a real `kvmlog rpc`, run by VDSM's contract.

VDSM (lib/vdsm/common/hooks.py) writes its statistics as JSON into a file of mkstemp's, names it in
_hook_json, runs each executable of the hook's folder, logs its stderr, and reads the file again.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import subprocess
import tempfile
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.guests.model import encode
from kvmlog.ring.reader import boot_id
from scripts.vm.kernels import PROJECT
from tests.support import vmstats_samples as samples
from tests.support.bridge_process import HANG_S
from tests.support.metrics_host import FIRST_PID, guest
from tests.support.rpc_process import Server, rpc_server
from tests.support.statistics_feed import Counting, exits, note
from tests.support.users import NOBODY, as_root

pytestmark = as_root

HOOK = PROJECT / "rpcserver" / "vdsm" / "kvmlog_hook.py"
VMS = [
    {"vmId": samples.WEB1, "status": "Up", "cpuUser": "12.00", "vmName": "wéb1"},
    {"vmId": samples.DB1, "status": "Down"},
]
HOST = {"cpuUser": "3.00", "memShared": 0}


class Vdsm:
    """What runs hooks: a folder of folders of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for point in ("after_get_all_vm_stats", "after_get_vm_stats", "after_get_stats"):
            (folder / point).mkdir()
            (folder / point / "50_kvmlog").symlink_to(HOOK)

    def run(
        self,
        point: str,
        content: bytes,
        address: str,
        user: int | None = None,
        timeout_s: float = 60.0,
    ) -> tuple[bytes, str]:
        """Run the hooks of a point; return the file as it is then, and what they said."""
        fd, name = tempfile.mkstemp(dir=self.folder)
        os.write(fd, content)
        os.close(fd)
        if user is not None:
            os.chown(name, user, user)
        environment = {**os.environ, "_hook_json": name, "KVMLOG_RPC": address}
        environment["KVMLOG_TIMEOUT_S"] = str(timeout_s)
        (script,) = (self.folder / point).iterdir()
        assert os.access(script, os.X_OK)
        done = subprocess.run(
            [script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        assert (done.returncode, done.stdout) == (0, "")
        after = Path(name).read_bytes()
        Path(name).unlink()
        # Nothing is left beside it.
        assert not list(self.folder.glob("tmp*"))
        return after, done.stderr


@pytest.fixture
def vdsm() -> Iterator[Vdsm]:
    """Hooks in a folder that any user may write, as /tmp."""
    with tempfile.TemporaryDirectory(prefix="kvmlog-vdsm-") as name:
        Path(name).chmod(0o777)
        yield Vdsm(Path(name))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a collector; web1 has had 3 exits by port I/O and a halt."""
    folder = tmp_path_factory.mktemp("rpc")
    with Counting(folder) as counting:
        counting.feed(note(1, FIRST_PID))
        counting.feed(exits(3, guest=1, reason=0x7B, exit_ns=10**9, total_ns=1_000, user_ns=400))
        counting.feed(exits(1, guest=1, reason=0x78, exit_ns=10**9, total_ns=9_000))
        counting.writer.flush()
        known = [guest(FIRST_PID, "web1", samples.WEB1)]
        (folder / "ring.guests").write_bytes(encode(boot_id(), known))
        with rpc_server(folder / "ring", folder / "switch") as running:
            yield running


def address(server: Server) -> str:
    """Where it listens."""
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("point", ["after_get_all_vm_stats", "after_get_vm_stats"])
def test_vms_get_their_exits(vdsm: Vdsm, server: Server, point: str) -> None:
    """Found by UUID; all else is as it was, and so are VMs without exits."""
    after, said = vdsm.run(point, json.dumps(VMS).encode(), address(server))
    assert said == ""
    web1, db1 = json.loads(after)
    added = web1.pop("kvmlog")
    assert [web1, db1] == VMS
    assert (added["exits"], added["halts"]) == ("4", "1")
    assert added["exitTimeNs"]["vmm"] == "1200"
    assert set(added["exitTimeNs"]) == {"kvm", "vmm", "wait", "idle", "paused"}


def test_the_host_gets_its_losses(vdsm: Vdsm, server: Server) -> None:
    """All exits, and what was lost of them."""
    after, said = vdsm.run("after_get_stats", json.dumps(HOST).encode(), address(server))
    assert said == ""
    found = json.loads(after)
    assert found.pop("kvmlog") == {
        "tracing": False,
        "exits": "4",
        "lost": dict.fromkeys(("unplaced", "dropped", "records", "messages"), "0"),
    }
    assert found == HOST


def test_figures_of_late(vdsm: Vdsm, tmp_path: Path) -> None:
    """The rate, and the largest reason, once somebody has asked before."""
    rate = {
        "over_s": 15.0,
        "exits_per_s": 4210.5,
        "time": [{"name": "vmm", "percent": 12.345}],
        "largest_reason": "io",
        "largest_share": 0.5,
    }
    vm = {"uuid": samples.WEB1, "exits": "9", "halts": "0", "time": [], "rate": rate}
    reply = {"vms": [vm], "hosts": [], "tracing": True}
    with answering(xmlrpc_reply(reply)) as place:
        after, said = vdsm.run("after_get_vm_stats", json.dumps(VMS[:1]).encode(), place)
    assert said == ""
    assert json.loads(after)[0]["kvmlog"] == {
        "exits": "9",
        "halts": "0",
        "exitTimeNs": {},
        "exitsRate": "4210.50",
        "exitTimePercent": {"vmm": "12.35"},
        "largestReason": "io",
        "largestReasonPercent": "50.00",
    }


def xmlrpc_reply(document: Any) -> bytes:
    """A reply as it is on the wire."""
    return xmlrpc.client.dumps((document,), methodresponse=True).encode()


@contextlib.contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """The address of a server that answers everything so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()


def unchanged(
    vdsm: Vdsm,
    place: str,
    content: bytes,
    user: int | None = None,
    timeout_s: float = 60.0,
) -> str:
    """Run the hook; the file is as before, to the byte. Return the one line that it said."""
    after, said = vdsm.run("after_get_all_vm_stats", content, place, user, timeout_s)
    assert after == content
    (line,) = said.splitlines()
    assert line.startswith("kvmlog: no exits were added: ")
    return line


def test_no_server(vdsm: Vdsm) -> None:
    """It is down, or says nothing."""
    content = json.dumps(VMS).encode()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
        assert "cannot be asked" in unchanged(vdsm, place, content)
        free.listen()
        line = unchanged(vdsm, place, content, timeout_s=0.5)
        assert "has not answered within 0.5 s" in line or "cannot be asked" in line
    assert "no exits were added" in unchanged(vdsm, "nonsense", content)


def test_one_who_may_not_ask(vdsm: Vdsm, server: Server) -> None:
    """A user outside of the group: the server's own sentence."""
    assert "403 Forbidden: user 'nobody'" in unchanged(
        vdsm, address(server), json.dumps(VMS).encode(), NOBODY
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        xmlrpc_reply("text"),
        xmlrpc_reply({"vms": 7, "hosts": []}),
        xmlrpc_reply({"vms": [{"uuid": samples.WEB1}], "hosts": []}),
        b"x" * ((32 << 20) + 1),
    ],
    ids=["empty", "html", "text", "no list", "no figures", "too long"],
)
def test_replies_that_cannot_be_used(vdsm: Vdsm, body: bytes) -> None:
    """Those of another server."""
    with answering(body) as place:
        unchanged(vdsm, place, json.dumps(VMS).encode())


@pytest.mark.parametrize("content", [b"", b"{", b'"text"', b"[7]", b"\xff"])
def test_files_that_cannot_be_used(vdsm: Vdsm, server: Server, content: bytes) -> None:
    """No JSON, or other JSON."""
    unchanged(vdsm, address(server), content)


def test_without_a_file() -> None:
    """Run by hand it says what it is."""
    environment = {key: value for key, value in os.environ.items() if key != "_hook_json"}
    done = subprocess.run([HOOK], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "_hook_json is not set" in done.stderr
