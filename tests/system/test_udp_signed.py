# SPDX-License-Identifier: GPL-2.0-or-later
"""Signed commands from another address: taken once, answered with a signature, or not at all."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmlog.control import udp_auth
from kvmlog.control.udp_client import UdpClient
from kvmlog.util.errors import SwitchError
from tests.support.bridge_process import HANG_S, Bridge, kvmlog, options, running_bridge, until
from tests.support.udp_senders import counts as counts_here
from tests.support.users import ADDRESS, as_root, own_network, run_as, same_network

pytestmark = as_root

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))

# Sends the hex argv[2] to ADDRESS, port argv[1]; prints the answer that comes in argv[3] seconds.
SEND = f"""
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(float(sys.argv[3]))
link.connect(({ADDRESS!r}, int(sys.argv[1])))
link.send(bytes.fromhex(sys.argv[2]))
try:
    print(link.recv(65536).hex())
except TimeoutError:
    print("none")
"""


STATUS = """
import socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.settimeout(60)
link.bind("")
link.connect(sys.argv[1])
link.send(b"status")
print(link.recv(65536).decode())
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The key as a file."""
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(KEY.hex() + "\n", encoding="ascii")
    return path


@pytest.fixture
def bridge(tmp_path: Path, key: Path) -> Iterator[Bridge]:
    """A bridge in a network of its own, on all its addresses; plain commands from loopback."""
    extra = ("--udp", "0.0.0.0:0", "--udp-key", str(key), "--udp-plain", "any")
    with running_bridge(tmp_path, *extra, prefix=own_network()) as process:
        yield process


def sent(bridge: Bridge, datagram: bytes, timeout_s: float = HANG_S) -> bytes | None:
    """Sends it to ADDRESS from ADDRESS; the answer, None for none in that time."""
    words = (str(bridge.udp[1]), datagram.hex(), str(timeout_s))
    answer = run_as(0, SEND, *words, prefix=tuple(same_network(bridge.process.pid))).strip()
    return None if answer == "none" else bytes.fromhex(answer)


def request(bridge: Bridge, command: str, ahead_s: float = 0.0) -> tuple[bytes, bytes]:
    """A signed command for this bridge, by a clock that is ahead, and its nonce."""
    now_ns = time.time_ns() + int(ahead_s * 1e9)
    return udp_auth.format_request(KEY, command, f"{ADDRESS}:{bridge.udp[1]}", now_ns)


def counts(bridge: Bridge) -> dict[str, int]:
    """Count the datagrams of each kind that came over UDP.

    Asked in the bridge's network: answers go to abstract addresses, and each network has its own.
    """
    inside = tuple(same_network(bridge.process.pid))
    told = run_as(0, STATUS, str(bridge.switch), prefix=inside)
    found: dict[str, int] = json.loads(told.removeprefix("ok status "))["commands"].get("udp", {})
    return found


def test_a_signed_command_is_carried_out_and_the_answer_is_signed(bridge: Bridge) -> None:
    """An address other than loopback may send it; the log names the sender."""
    datagram, nonce = request(bridge, "off")
    answer = sent(bridge, datagram)
    assert answer is not None
    assert udp_auth.parse_answer(KEY, nonce, answer) == b"ok off"
    datagram, nonce = request(bridge, "status")
    told = udp_auth.parse_answer(KEY, nonce, sent(bridge, datagram) or b"")
    assert told is not None
    assert json.loads(told.removeprefix(b"ok status "))["pid"] == bridge.process.pid
    assert counts(bridge) == {"signed": 2, "off": 1, "status": 1}
    assert "(by key): off: ok off" in bridge.stop()[1]


def test_the_command_line_switches_from_afar(bridge: Bridge, key: Path) -> None:
    """`kvmlog switch off --udp HOST:PORT --key FILE`, and what it refuses."""
    command = [*same_network(bridge.process.pid), sys.executable, "-m", "kvmlog.cli.main", "switch"]
    place = ["--udp", f"{ADDRESS}:{bridge.udp[1]}"]
    cases = (
        (["off", *place, "--key", str(key)], 0, "ok off\n"),
        (["on", *place, "--key", str(key)], 1, ""),
        (["off", *place], 2, ""),
        (["on", *place, "--key", str(key), "--for", "1m"], 2, ""),
    )
    for words, status, output in cases:
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert (done.returncode, done.stdout) == (status, output), done.stderr


def test_what_is_forged_cut_or_not_signed_gets_no_answer(bridge: Bridge) -> None:
    """Nothing is carried out; each is counted, and the next signed command is taken."""
    good, nonce = request(bridge, "off")
    here = f"{ADDRESS}:{bridge.udp[1]}"
    other, _ = udp_auth.format_request(bytes(32), "off", here, time.time_ns())
    elsewhere, _ = udp_auth.format_request(KEY, "off", "192.0.2.8:50000", time.time_ns())
    forged = [good.replace(b" off ", b" on "), good[:-1], good[:60], other, elsewhere]
    forged += [good + b" ", b"kvmlog1 ", good[:-64] + b"0" * 64, good + b"\0" * 2_000]
    for datagram in forged:
        assert sent(bridge, datagram, 0.05) is None
    for datagram in (b"on", b"off", b"status", b""):
        assert sent(bridge, datagram, 0.05) is None
    until(lambda: counts(bridge) == {"forged": len(forged), "unsigned": 4})
    assert udp_auth.parse_answer(KEY, nonce, sent(bridge, good) or b"") == b"ok off"


def test_a_replay_is_not_carried_out(bridge: Bridge) -> None:
    """Nor answered; nor after a restart, which forgets all nonces."""
    datagram, _ = request(bridge, "off")
    assert sent(bridge, datagram) is not None
    for _ in range(3):
        assert sent(bridge, datagram, 0.05) is None
    until(lambda: counts(bridge).get("replayed") == 3)
    assert counts(bridge)["off"] == 1


def test_a_new_bridge_takes_no_old_command(tmp_path: Path, key: Path) -> None:
    """One that was captured before, and was never taken for all that it knows."""
    before_ns = time.time_ns()
    with running_bridge(tmp_path, "--udp-key", str(key)) as bridge:
        here = f"127.0.0.1:{bridge.udp[1]}"
        datagram, nonce = udp_auth.format_request(KEY, "off", here, before_ns)
        answer = udp_auth.parse_answer(KEY, nonce, bridge.ask(datagram))
        assert answer is not None
        assert answer.startswith(b"error: the command is older than what this bridge remembers")
        assert UdpClient(here, KEY).send("off") == "ok off"


@pytest.mark.parametrize("ahead_s", [-40.0, 40.0])
def test_a_stale_command_is_told_so(bridge: Bridge, ahead_s: float) -> None:
    """The answer is signed: it names the difference of the clocks."""
    datagram, nonce = request(bridge, "off", ahead_s)
    answer = udp_auth.parse_answer(KEY, nonce, sent(bridge, datagram) or b"")
    assert answer is not None
    assert answer.startswith(b"error: the command's time is ")
    assert counts(bridge) == {"stale": 1}


@pytest.mark.parametrize("ahead_s", [-(10**8), -3_600, 3_600])
def test_a_client_whose_clock_is_wrong_signs_again_as_offered(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    """Nobody has to set a clock for kvmlog's own client; the log has both requests."""
    time_ns = time.time_ns
    with running_bridge(tmp_path, "--udp-key", str(key)) as bridge:
        monkeypatch.setattr(time, "time_ns", lambda: time_ns() + ahead_s * 10**9)
        client = UdpClient(f"127.0.0.1:{bridge.udp[1]}", KEY)
        assert [client.send("off"), client.send("off")] == ["ok off", "ok off"]
        assert counts_here(bridge) == {"stale": 2, "signed": 2, "off": 2}
        _, log = bridge.stop()
    assert log.count("sign it again with the nonce ") == 2
    assert log.count("(by key): off: ok off") == 2


def test_a_client_believes_no_answer_without_signature() -> None:
    """A host that says yes to everything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as impostor:
        impostor.bind(("127.0.0.1", 0))
        client = UdpClient(f"127.0.0.1:{impostor.getsockname()[1]}", KEY, timeout_s=0.2)
        with pytest.raises(SwitchError, match="no answer within"):
            client.send("off")
        _, sender = impostor.recvfrom(1024)
        assert sender[0] == "127.0.0.1"


def test_bad_datagrams_cannot_fill_the_log(bridge: Bridge) -> None:
    """Hundreds of them leave some lines."""
    flood = SEND.replace("link.send(bytes", "for _ in range(300): link.send(bytes")
    words = (str(bridge.udp[1]), b"kvmlog1 x".hex(), "0.05")
    run_as(0, flood, *words, prefix=tuple(same_network(bridge.process.pid)))
    until(lambda: counts(bridge).get("forged", 0) > 100)
    _, log = bridge.stop()
    assert 0 < log.count("signature not ours") < 60


def test_the_documented_shell_commands(tmp_path: Path) -> None:
    """docs/access.md: they make a key, and a datagram that the bridge accepts."""
    documented = (ROOT / "docs/access.md").read_text(encoding="utf-8")
    make_key = re.search(r"^    (\(umask 077; openssl .*\))$", documented, re.M)
    sign = re.search(r"From a shell:\n\n((?:    .*\n)+)", documented)
    assert make_key
    assert sign
    key = tmp_path / "udp.key"
    subprocess.run(["sh", "-c", make_key[1].replace("/etc/kvmlog/", f"{tmp_path}/")], check=True)
    with running_bridge(tmp_path, "--udp-key", str(key)) as bridge:
        here = f"127.0.0.1:{bridge.udp[1]}"
        text = sign[1].replace("192.0.2.7:50000", here).split(" | nc ")[0]
        done = subprocess.run(
            ["bash", "-ec", text], cwd=tmp_path, capture_output=True, timeout=HANG_S, check=True
        )
        nonce = done.stdout.split()[2]
        answer = udp_auth.parse_answer(udp_auth.read_key(str(key)), nonce, bridge.ask(done.stdout))
        assert answer is not None
        # Over UDP the command needs no rights but the key's; here the module is missing.
        assert answer.startswith((b"ok on", b"error: the kernel module kvmlog is not loaded"))
        assert counts_here(bridge)["on"] == 1


def test_beyond_loopback_takes_a_key(tmp_path: Path) -> None:
    """Else the bridge does not start."""
    places = options(tmp_path)
    places[places.index("--udp") + 1] = "0.0.0.0:0"
    refused = kvmlog("bridge", *places)
    assert refused.returncode == 1
    assert "without a key commands are taken on loopback only" in refused.stderr


def test_key_and_openness_change_at_sighup(tmp_path: Path, key: Path) -> None:
    """The configuration file decides at SIGHUP; a broken key changes nothing."""
    config = tmp_path / "kvmlog.toml"
    config.write_text(f'[udp]\nkey_file = "{key}"\nplain = "owner"\n', encoding="utf-8")
    with running_bridge(tmp_path, "--config", str(config)) as bridge:
        here = f"127.0.0.1:{bridge.udp[1]}"
        assert UdpClient(here, KEY).send("off") == "ok off"
        key.write_text("00" * 32, encoding="ascii")
        bridge.process.send_signal(signal.SIGHUP)

        def taken() -> bool:
            try:
                return UdpClient(here, bytes(32), timeout_s=0.2).send("off") == "ok off"
            except SwitchError:
                return False

        until(taken)
        key.write_text("broken", encoding="ascii")
        config.write_text(f'[udp]\nkey_file = "{key}"\nplain = "off"\n', encoding="utf-8")
        bridge.process.send_signal(signal.SIGHUP)
        assert bridge.ask(b"off") == b"ok off"
        assert taken()
        key.write_text("00" * 32, encoding="ascii")
        bridge.process.send_signal(signal.SIGHUP)
        until(lambda: bridge.ask(b"off").startswith(b"error: plain commands are not taken"))
