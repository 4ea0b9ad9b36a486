# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog history` as a process: its socket, who may use it, what it says and what stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.history import protocol
from kvmlog.history.model import Binary, ChangeKind
from kvmlog.history.protocol import Update
from kvmlog.util.errors import HistoryError
from tests.support.bridge_process import HANG_S, running_bridge, without_module
from tests.support.history_process import History, command, history
from tests.support.metrics_host import metrics_host
from tests.support.users import NOBODY, as_root, run_as


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[History]:
    """A history without collector and bridge."""
    with history(tmp_path) as made:
        yield made


def ask(kept: History, datagram: bytes) -> dict[str, object]:
    """Send a datagram as it is; return the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.connect(str(kept.socket))
        link.bind("")
        link.send(datagram)
        answer = json.loads(link.recv(protocol.ANSWER_BYTES))
        assert isinstance(answer, dict)
        return answer


def test_what_is_set_stays(tmp_path: Path) -> None:
    """Over a kill and a restart; enabling clears the reason; each change is in the journal once."""
    with history(tmp_path) as kept:
        kept.client.beat(Binary.RPC)
        kept.client.update_service(
            Binary.RPC, Update(enabled=False, disabled_reason="maintenance", forced_down=True)
        )
        kept.process.kill()
    with history(tmp_path) as kept:
        (rpc,) = kept.reader.services(binary="kvmlog-rpc")
        assert (rpc.enabled, rpc.disabled_reason, rpc.forced_down) == (False, "maintenance", True)
        assert rpc.report_count == 1
        assert not rpc.is_up(rpc.last_seen)
        for _ in range(2):
            kept.client.update_service(Binary.RPC, Update(enabled=True, forced_down=False))
        kept.client.beat(Binary.RPC)
        (rpc,) = kept.reader.services(binary="kvmlog-rpc")
        assert (rpc.enabled, rpc.disabled_reason, rpc.report_count) == (True, None, 2)
        assert rpc.is_up(rpc.last_seen)
        told = [
            one.body
            for one in kept.reader.changes(0)
            if one.kind is ChangeKind.SERVICE and one.body["binary"] == Binary.RPC
        ]
        assert [one["what"] for one in told][:2] == ["up", "updated"]
        assert [one["what"] for one in told].count("updated") == 2
        assert kept.stop() == 0
        # The writer has gone, and with it what it shared with readers.
        assert not Path(f"{kept.file}-wal").exists()
        assert kept.reader.services(binary="kvmlog-rpc") == (rpc,)
        assert kept.reader.services(host="another") == ()
        assert kept.reader.services(binary="nova-compute") == ()


def test_updates_that_are_refused(kept: History) -> None:
    """A sentence each, and nothing changes."""
    kept.until(lambda reader: reader.services())
    with pytest.raises(HistoryError, match="'nova-compute' has been seen on this host; give one"):
        kept.client.update_service("nova-compute", Update(enabled=False))
    with pytest.raises(HistoryError, match="nothing is to be set"):
        kept.client.update_service(Binary.HISTORY, Update())
    with pytest.raises(HistoryError, match="give enabled false"):
        kept.client.update_service(Binary.HISTORY, Update(enabled=True, disabled_reason="no"))
    with pytest.raises(HistoryError, match="at most 255 printable characters"):
        kept.client.update_service(Binary.HISTORY, Update(enabled=False, disabled_reason="x" * 256))
    with pytest.raises(HistoryError, match="tells no heartbeats of its own"):
        kept.client.beat(Binary.BRIDGE)
    (own,) = kept.reader.services()
    assert own.enabled


@pytest.mark.parametrize(
    ("datagram", "said"),
    [
        (b"", "a request is a JSON object"),
        (b"\xff\x00", "a request is a JSON object"),
        (b"[" * 4_000, "a request is a JSON object"),
        (b'{"command":7}', "command is no text"),
        (b'{"command":"drop"}', "there is no command 'drop'"),
        (b'{"command":"beat"}', "binary is missing"),
        (b'{"command":"consumed","consumer":"a","sequence":-1}', "sequence is no number"),
        (b'{"command":"consumed","consumer":"a","sequence":true}', "sequence is no number"),
        (b'{"command":"consumed","consumer":"a\\n","sequence":1}', "consumer is no text"),
        (b'{"command":"consumed","consumer":"a","sequence":1,"x":2}', "'x' is no field"),
        (b" " * (protocol.REQUEST_BYTES + 1), "longer than 8192 bytes"),
    ],
)
def test_bad_requests(kept: History, datagram: bytes, said: str) -> None:
    """A sentence each; the next one is served."""
    answer = ask(kept, datagram)
    assert said in str(answer["error"])
    assert ask(kept, b'{"command":"beat","binary":"kvmlog-rpc"}') == {"ok": {}}


@as_root
def test_strangers(kept: History, tmp_path: Path) -> None:
    """May not connect; and where they could, the kernel says who they are."""
    assert os.stat(kept.socket).st_mode & 0o777 == 0o660
    for path in (tmp_path, *tmp_path.parents):
        if path != Path("/"):
            os.chmod(path, path.stat().st_mode | 0o055)
    program = (
        "import socket, sys\n"
        "with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:\n"
        "    s.settimeout(60)\n"
        "    try:\n"
        "        s.connect(sys.argv[1])\n"
        "    except PermissionError:\n"
        "        sys.exit(print('refused'))\n"
        "    s.bind('')\n"
        '    s.send(b\'{"command":"beat","binary":"kvmlog-rpc"}\')\n'
        "    print(s.recv(4096).decode())\n"
    )
    assert run_as(NOBODY, program, str(kept.socket)) == "refused\n"
    os.chmod(kept.socket, 0o666)
    assert "neither root nor in the group kvmlog" in run_as(NOBODY, program, str(kept.socket))
    assert kept.reader.services(binary=Binary.RPC) == ()


def test_a_second_history(kept: History, tmp_path: Path) -> None:
    """Is refused where the first one writes the same file."""
    done = subprocess.run(
        command(tmp_path), capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another kvmlog history writes it" in done.stderr


@without_module
def test_the_bridge_is_found(kept: History, tmp_path: Path) -> None:
    """Its switch too; its source, which is not there, is no service yet."""
    with running_bridge(tmp_path):
        kept.until(lambda reader: len(reader.services()) >= 3)
    found = {one.binary for one in kept.reader.services()}
    assert found == {Binary.HISTORY, Binary.BRIDGE, Binary.SWITCH}


def test_reload_and_end(kept: History) -> None:
    """SIGHUP reads the configuration again; SIGTERM ends it."""
    kept.process.send_signal(signal.SIGHUP)
    kept.until(lambda _: "configuration read again" in kept.log())
    assert kept.stop() == 0
    assert kept.log().endswith("kvmlog history: stopped\n")
    assert not kept.socket.exists()


def test_metrics_tell_that_they_live(tmp_path: Path) -> None:
    """As rpc does: `kvmlog metrics` is among the services, and up."""
    with history(tmp_path) as kept, metrics_host(tmp_path) as host:
        assert not kept.reader.services(binary="kvmlog-metrics")
        with host.serving("--history-socket", str(kept.socket)):
            (found,) = kept.until(lambda reader: reader.services(binary="kvmlog-metrics"))
        assert found.is_up(found.last_seen)
