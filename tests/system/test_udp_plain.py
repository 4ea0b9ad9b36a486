# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain datagrams on loopback: none by default, everybody's where the configuration says so."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.bridge_process import Bridge, kvmlog, running_bridge, until
from tests.support.udp_senders import ASK, SEND_AND_GO, counts
from tests.support.users import NOBODY, as_root, run_as

OFF = b'error: plain commands are not taken (udp.plain = "off"); use the local socket '
REMEDY = '(udp.plain = "any", --udp-plain any)'


@pytest.mark.parametrize("command", ["on", "off", "status", "nonsense"])
def test_none_is_accepted_by_default(tmp_path: Path, command: str) -> None:
    """Not even root's, not even status; the sender and the log are told what to do."""
    with running_bridge(tmp_path) as bridge:
        place = f"127.0.0.1:{bridge.udp[1]}"
        assert bridge.lines[-1].endswith(f"over UDP {place}: none (udp.plain, udp.key_file)")
        answer = bridge.ask(command.encode())
        assert answer.startswith(OFF)
        assert answer.decode().endswith(REMEDY)
        assert counts(bridge) == {"refused": 1}
        _, log = bridge.stop()
    assert log.count("refused: plain commands are not taken") == log.count(REMEDY) == 1


def test_a_sender_that_goes_on_leaves_some_lines(tmp_path: Path) -> None:
    """Old monitoring asks for the status for ever: the log says so, and does not fill."""
    with running_bridge(tmp_path) as bridge:
        for _ in range(300):
            bridge.ask(b"status")
        assert counts(bridge) == {"refused": 300}
        _, log = bridge.stop()
    assert 0 < log.count(REMEDY) < 150


def test_the_command_line_needs_none(tmp_path: Path) -> None:
    """`kvmlog switch` and `status` take the local socket; what they say of UDP is true."""
    with running_bridge(tmp_path) as bridge:
        place = ("--switch", str(bridge.switch))
        assert kvmlog("switch", "off", *place).stdout == "ok off\n"
        shown = kvmlog("status", *place, "--ring", str(bridge.ring)).stdout
        udp = f"{bridge.udp[0]}:{bridge.udp[1]}"
        assert f"UDP {udp}: none (udp.plain, udp.key_file)" in shown
        assert counts(bridge) == {}


def test_a_switch_without_key_says_which_way_there_is(tmp_path: Path) -> None:
    """--udp needs --key, and the other way round; each is named with its value."""
    for words, told in (
        (["--udp", "127.0.0.1:50000"], "--udp 127.0.0.1:50000 needs --key FILE"),
        (["--key", "udp.key"], "--key udp.key needs --udp HOST:PORT"),
    ):
        refused = kvmlog("switch", "on", *words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert told in refused.stderr
    assert "a bridge on this host takes them on its local socket, without --udp" in kvmlog(
        "switch", "on", "--udp", "127.0.0.1:50000"
    ).stderr.replace("\n", " ").replace("  ", " ")


def commands(bridge: Bridge) -> dict[str, str]:
    """Where the status says that commands are taken."""
    told = json.loads(bridge.say("status").removeprefix("ok status "))
    return {name: told[name] for name in ("udp", "udp_accepts")}


@as_root
def test_one_line_takes_those_of_old_senders(tmp_path: Path) -> None:
    """udp.plain = "any": from everybody, gone or not; at SIGHUP, too, and back again."""
    config = tmp_path / "kvmlog.toml"
    config.write_text('[udp]\nplain = "any"\n', encoding="utf-8")
    with running_bridge(tmp_path, "--config", str(config)) as bridge:
        assert commands(bridge)["udp_accepts"] == "plain ones of every local user"
        assert run_as(NOBODY, ASK, str(bridge.udp[1]), "off") == "ok off\n"
        run_as(NOBODY, SEND_AND_GO, str(bridge.udp[1]), "0")
        until(lambda: counts(bridge) == {"off": 2})
        told = json.loads(run_as(NOBODY, ASK, str(bridge.udp[1]), "status")[len("ok status ") :])
        assert told["pid"] == bridge.process.pid
        config.write_text("", encoding="utf-8")
        bridge.process.send_signal(signal.SIGHUP)
        until(lambda: bridge.ask(b"off").startswith(OFF))
        assert commands(bridge)["udp_accepts"] == "none (udp.plain, udp.key_file)"


def test_the_option_does_so_too(tmp_path: Path) -> None:
    """--udp-plain any."""
    with running_bridge(tmp_path, "--udp-plain", "any") as bridge:
        assert bridge.ask(b"off") == b"ok off"
