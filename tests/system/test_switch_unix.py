# SPDX-License-Identifier: GPL-2.0-or-later
"""The local socket of a real bridge, its client, and the commands that use it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.util.errors import SwitchError
from tests.support.bridge_process import (
    KVMLOG,
    NOT_LOADED,
    Bridge,
    kvmlog,
    options,
    running_bridge,
    without_module,
)
from tests.support.users import NOBODY, as_root, run_as


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """A bridge without its module."""
    with running_bridge(tmp_path, "--udp-plain", "owner") as process:
        yield process


@pytest.fixture
def client(bridge: Bridge) -> SwitchClient:
    """Its client."""
    return SwitchClient(str(bridge.switch))


def test_commands_are_answered(client: SwitchClient) -> None:
    """Commands are answered as text, and as calls that raise."""
    assert client.send("off") == "ok off"
    assert client.switch(on=False) == "ok off"
    assert client.send("nonsense").startswith("error: unknown command 'nonsense'")
    assert client.status()["commands"]["unix"] == {"off": 2, "unknown": 1, "status": 1}


@without_module
def test_a_command_that_was_not_carried_out_raises(client: SwitchClient) -> None:
    """The sentence is the bridge's own."""
    with pytest.raises(SwitchError, match=NOT_LOADED):
        client.switch(on=True)


def test_no_bridge_is_a_sentence(tmp_path: Path) -> None:
    """No socket, a stale one, a file that is none."""
    path = tmp_path / "switch"
    with pytest.raises(SwitchError, match="no bridge is running"):
        SwitchClient(str(path)).status()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind(str(path))
    with pytest.raises(SwitchError, match="no bridge is running"):
        SwitchClient(str(path)).status()


def test_a_bridge_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    """Bound, never read."""
    path = tmp_path / "switch"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(path))
        with pytest.raises(SwitchError, match=r"no answer within 0\.05 s"):
            SwitchClient(str(path), timeout_s=0.05).status()


# Tries to answer the socket with the abstract address argv[1], in hex.
FORGE = """
import socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    link.sendto(b"ok off, said nobody", bytes.fromhex(sys.argv[1]))
except PermissionError:
    print("refused")
"""


@as_root
def test_nobody_else_can_answer(client: SwitchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user, who tries after each step that the client's socket takes."""
    tried: list[str] = []

    def then_forge(step: str) -> Callable[[socket.socket, Any], None]:
        take = getattr(socket.socket, step)

        def taken(link: socket.socket, address: Any) -> None:
            take(link, address)
            if link.getsockname():
                tried.append(run_as(NOBODY, FORGE, link.getsockname().hex()))

        return taken

    for step in ("bind", "connect"):
        monkeypatch.setattr(socket.socket, step, then_forge(step))
    assert client.send("off") == "ok off"
    assert tried
    assert set(tried) == {"refused\n"}


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A slip in --switch must not cost anybody a file."""
    path = tmp_path / "switch"
    path.write_text("Dear reader,\n")
    refused = kvmlog("bridge", *options(tmp_path))
    assert refused.returncode == 1
    assert "is no socket" in refused.stderr
    assert path.read_text() == "Dear reader,\n"


def test_clients_without_an_answerable_address_are_counted(
    bridge: Bridge, client: SwitchClient, tmp_path: Path
) -> None:
    """Unbound, bound to a path, and gone before the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unbound:
        unbound.sendto(b"off", str(bridge.switch))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named:
        named.bind(str(tmp_path / "client"))
        named.sendto(b"off", str(bridge.switch))
    counts = client.status()["commands"]["unix"]
    assert counts == {"off": 2, "no_reply_address": 2, "status": 1}


def test_the_command_line_switches_and_shows_the_status(bridge: Bridge) -> None:
    """`kvmlog switch off`, `kvmlog status`, `kvmlog status --json`."""
    place = ["--switch", str(bridge.switch)]
    off = kvmlog("switch", "off", *place)
    assert (off.returncode, off.stdout) == (0, "ok off\n")
    shown = kvmlog("status", *place, "--ring", str(bridge.ring))
    assert shown.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if line[0] != " ")
    assert lines["tracing"] == "off"
    assert lines["bridge"].startswith(f"pid {bridge.process.pid}, ")
    assert lines["records"] == "0 written, newest 0 kept, room for 65536"
    answer = kvmlog("status", "--json", *place, "--ring", str(bridge.ring))
    status = json.loads(answer.stdout)
    assert status["bridge"]["pid"] == bridge.process.pid
    assert status["ring"]["state"] == "running"


def test_arguments_that_cannot_be_are_refused(bridge: Bridge, client: SwitchClient) -> None:
    """Each in a sentence, over the local socket; over UDP whatever they are."""
    for command, sentence in (
        ('on {"for_s": 0}', '"for_s" is 0; give seconds from 0.001'),
        ('on {"vm": []}', '"vm" is an empty list; name a guest'),
        ("on {" + "x" * 8_189, "a command has at most 8192 bytes"),
        ("on {" + "[" * 8_000, "is no JSON object"),
    ):
        assert sentence in client.send(command)
        assert bridge.ask(command[:512].encode()).startswith(
            b"error: on takes arguments over the local socket only"
        )
    counts = client.status()["commands"]
    assert counts["unix"] == {"bad_arguments": 3, "oversized": 1, "status": 1}
    assert counts["udp"] == {"unknown": 4}


def test_no_such_guest_is_a_sentence(bridge: Bridge, client: SwitchClient) -> None:
    """The call and the command both refuse; nothing is switched, with a source or without."""
    with pytest.raises(SwitchError, match="no running guest has the name, UUID or pid 'nobody'"):
        client.switch(on=True, vm=["nobody"], for_s=5)
    place = ("--switch", str(bridge.switch))
    refused = kvmlog("switch", "on", "--vm", "nobody", "--for", "5s", *place)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'nobody'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    status = client.status()
    assert (status["state"], status["filter"], status["lease_s"]) == ("off", None, None)


def test_guests_are_looked_for_and_written_down(bridge: Bridge, client: SwitchClient) -> None:
    """The count of running guests is in the status too; only the group can read the file."""
    assert client.guests() == client.status()["guests"]["running"]
    file = Path(f"{bridge.ring}.guests")
    assert json.loads(file.read_text())["format"] == "kvmlog-guests"
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "arguments", [("off", "--vm", "web1"), ("off", "--for", "5"), ("on", "--for", "1w")]
)
def test_arguments_of_switch_that_cannot_be(arguments: tuple[str, ...]) -> None:
    """Status 2 and a sentence."""
    done = kvmlog("switch", *arguments)
    assert done.returncode == 2
    assert "kvmlog switch: error: " in done.stderr


@without_module
def test_a_refused_switch_is_exit_status_1_and_one_sentence(bridge: Bridge) -> None:
    """`kvmlog switch on` without the module."""
    refused = kvmlog("switch", "on", "--switch", str(bridge.switch))
    assert refused.returncode == 1
    assert NOT_LOADED in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_status_without_a_bridge_tells_what_it_can(tmp_path: Path) -> None:
    """The ring of a bridge that was stopped; exit status 1."""
    with running_bridge(tmp_path) as bridge:
        bridge.stop()
    place = ["--switch", str(tmp_path / "switch"), "--ring", str(tmp_path / "ring")]
    shown = kvmlog("status", *place)
    assert shown.returncode == 1
    assert "no bridge is running" in shown.stdout
    assert ", stopped, id " in shown.stdout
    gone = json.loads(kvmlog("status", "--json", *place[:2], "--ring", "/none").stdout)
    assert gone["ring"] is None
    assert "there is no ring" in gone["ring_error"]


def test_usage_errors_are_exit_status_2() -> None:
    """Usage errors are reported by argparse."""
    assert kvmlog().returncode == 2
    assert kvmlog("switch", "sideways").returncode == 2
    assert kvmlog("nonsense").returncode == 2
    assert kvmlog("--help").returncode == 0


def test_a_closed_pipe_is_no_traceback(bridge: Bridge) -> None:
    """`kvmlog status | true`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run(
            [*KVMLOG, "status", "--switch", str(bridge.switch), "--ring", str(bridge.ring)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.stderr == ""
    assert ended.returncode == 141
