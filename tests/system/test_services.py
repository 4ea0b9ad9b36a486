# SPDX-License-Identifier: GPL-2.0-or-later
"""Bridge and RPC server as services: configuration file, SIGHUP, sd_notify, dropped root."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from xmlrpc.client import Fault, ServerProxy

import pytest

from kvmlog.rpcserver import faults
from kvmlog.rpcserver.methods.table import METHODS
from tests.support.bridge_process import HANG_S, KVMLOG, kvmlog

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


class Service:
    """A process with a configuration file and, as its manager, this test."""

    def __init__(self, folder: Path, command: str, text: str, *options: str, **given: str) -> None:
        self.folder = folder
        self.file = folder / "kvmlog.toml"
        self.write(text)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Abstract: whoever the process becomes may still send to it.
        self.manager.bind("")
        name = "@" + self.manager.getsockname()[1:].decode()
        self.manager.settimeout(HANG_S)
        environment = {**os.environ, "NOTIFY_SOCKET": name, **given}
        self.process = subprocess.Popen(
            [*KVMLOG, command, "--config", str(self.file), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(HANG_S)
        self._reader.join()
        self.manager.close()

    def write(self, text: str) -> None:
        """Another configuration; nobody reads it before SIGHUP."""
        places = f'[bridge]\nring = "{self.folder}/ring"\nswitch = "{self.folder}/switch"\n'
        self.file.write_text(places + text, encoding="utf-8")

    def says(self, words: str) -> str:
        """The next line of the log with these words."""
        seen = []
        while line := self._lines.get(timeout=HANG_S):
            seen.append(line)
            if words in line:
                return line.rstrip("\n")
        raise AssertionError(f"ended with {self.process.wait()} without {words!r}: {seen}")

    def tells(self, words: str) -> list[str]:
        """The manager's next message of which this is a line, after beats of the watchdog."""
        while True:
            lines = self.manager.recv(4096).decode().split("\n")
            if words in lines:
                return lines
            assert lines == ["WATCHDOG=1"]

    def hang_up(self) -> None:
        """The manager's reload: SIGHUP, which is told before and after."""
        self.process.send_signal(signal.SIGHUP)
        self.tells("RELOADING=1")
        self.tells("READY=1")

    def end(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        self.tells("STOPPING=1")
        return self.process.wait(HANG_S)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put("")


def bridge(folder: Path, udp: int = 0, more: str = "", **given: str) -> Service:
    """A bridge with the kernel module as its source, which need not be there."""
    return Service(folder, "bridge", _bridge_text(udp, more), "--slots", "1024", **given)


def _bridge_text(udp: int, more: str = "") -> str:
    return f'source = "kmod"\n{more}[udp]\nlisten = "127.0.0.1:{udp}"\nplain = "any"\n'


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A UDP port of loopback that somebody else has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        yield end.getsockname()[1]


def free_port() -> int:
    """A UDP port of loopback that nobody had a moment ago."""
    with taken_port() as port:
        return port


def answers(port: int) -> bytes:
    """Return the switch's answer to `off`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(HANG_S)
        link.connect(("127.0.0.1", port))
        link.send(b"off")
        return link.recv(4096)


def test_the_bridge_follows_its_file_at_sighup(tmp_path: Path) -> None:
    """The UDP port changes while it runs; the size of the ring, given as an option, does not."""
    first, second = free_port(), free_port()
    with bridge(tmp_path, first) as service:
        state = service.tells("READY=1")[1]
        assert state.endswith(f"; over UDP 127.0.0.1:{first}: plain ones of every local user")
        assert answers(first) == b"ok off"
        service.write(_bridge_text(second, "slots = 4096\nstatistics_mib = 8\n"))
        service.hang_up()
        line = service.says("configuration read again")
        assert line.endswith("; applied udp.listen; restart to apply bridge.statistics_mib")
        assert answers(second) == b"ok off"
        with pytest.raises(ConnectionRefusedError):
            answers(first)
        assert service.end() == 0


def test_a_broken_file_or_a_taken_port_changes_nothing(tmp_path: Path) -> None:
    """A line in the log; the bridge serves as before, and takes the next good file."""
    port = free_port()
    with bridge(tmp_path, port) as service, taken_port() as taken:
        service.tells("READY=1")
        service.write("slots = [\n")
        service.hang_up()
        assert "all stays as it was" in service.says("configuration not read again")
        service.write(_bridge_text(taken))
        service.hang_up()
        assert "Address already in use" in service.says("not applied, stays as it was")
        assert answers(port) == b"ok off"
        service.write(_bridge_text(port))
        service.hang_up()
        assert service.says("read again;").endswith("read again; no key has changed")
        assert service.end() == 0


def test_the_bridge_feeds_its_watchdog(tmp_path: Path) -> None:
    """The watchdog is fed again and again while the pump's thread keeps the ring's heartbeat."""
    with bridge(tmp_path, WATCHDOG_USEC="2000000") as service:
        service.tells("READY=1")
        assert [service.manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        assert service.end() == 0


def test_a_config_that_is_named_has_to_exist(tmp_path: Path) -> None:
    """Both processes; one sentence, exit status 1."""
    for command in ("bridge", "rpc"):
        refused = kvmlog(command, "--config", str(tmp_path / "none"))
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"kvmlog: {tmp_path}/none: cannot be read (No such file")
        assert refused.stderr.count("\n") == 1


def test_config_check_and_show(tmp_path: Path) -> None:
    """Every problem on a line of its own; show says where a value comes from."""
    file = tmp_path / "kvmlog.toml"
    file.write_text("[bridge]\nslots = 2048\n")
    good = kvmlog("config", "check", str(file))
    assert (good.returncode, good.stdout) == (0, f"{file}: good\n")
    shown = kvmlog("config", "show", str(file)).stdout.splitlines()
    assert [line.split() for line in shown if "slots" in line] == [
        ["bridge.slots", "2048", str(file)]
    ]
    file.write_text("[bridge]\nslots = 2047\nslot = 1\n")
    bad = kvmlog("config", "check", str(file))
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (1, "", 2)
    assert "did you mean bridge.slots?" in bad.stderr


def _status(pid: int) -> dict[str, list[str]]:
    """Lines of /proc/PID/status by name."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {name: rest.split() for name, _, rest in (line.partition(":") for line in file)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop root; run as root")
def test_rpc_drops_root(open_folder: Path) -> None:
    """All user and group ids, all capabilities, for good; it says so, and still serves."""
    text = '[rpc]\nuser = "nobody"\nlisten = "127.0.0.1:0"\n'
    with Service(open_folder, "rpc", text, WATCHDOG_USEC="1000000") as service:
        service.tells("READY=1")
        assert "user nobody" in service.says("root dropped")
        status = _status(service.process.pid)
        assert status["Uid"] == [str(NOBODY)] * 4
        assert status["Gid"] == [str(NOBODY)] * 4
        assert [int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapAmb")] == [0, 0, 0]
        assert status["NoNewPrivs"] == ["1"]
        assert "0" not in status["Groups"]
        assert [service.manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        service.write('[rpc]\nuser = "root"\nlisten = "127.0.0.1:0"\n')
        service.hang_up()
        assert service.says("read again").endswith("restart to apply rpc.user")
        assert service.end() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop root; run as root")
def test_rpc_needs_no_file_of_its_own_after_dropping_root(
    tmp_path: Path, open_folder: Path
) -> None:
    """Every method works for a user who cannot read the files that the server runs from."""
    for part in ("bridge", "rpcserver"):
        shutil.copytree(ROOT / part / "kvmlog", tmp_path / "kvmlog", dirs_exist_ok=True)
    tmp_path.chmod(0o700)
    # Otherwise an editable installation would find modules in the checkout instead.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in repr(f)]\n"
    )
    text = '[rpc]\nuser = "nobody"\nlisten = "127.0.0.1:0"\n'
    with Service(open_folder, "rpc", text, PYTHONPATH=str(tmp_path)) as service:
        assert "user nobody" in service.says("root dropped")
        maps = Path(f"/proc/{service.process.pid}/maps").read_text(encoding="utf-8")
        assert f"{tmp_path}/kvmlog/native/" in maps
        url = re.search(r"http://\S+", " ".join(service.tells("READY=1")))
        assert url
        with ServerProxy(url[0]) as server:
            codes = {name: _fault_code(server, name) for name in METHODS}
        assert faults.INTERNAL not in codes.values()
        # No bridge runs here: those that ran at all found no ring or no switch.
        assert {codes["kvmRecords"], codes["kvmStatistics"], codes["kvmPending"]} == {
            faults.NO_RING,
            faults.NO_STATISTICS,
            faults.SWITCH_FAILED,
        }
        assert service.end() == 0


def _fault_code(server: ServerProxy, name: str) -> int:
    """Call a method with parameters that it takes; return the code of its fault, 0 for none."""
    parameters: dict[str, tuple[Any, ...]] = {
        "kvmLogSwitch": ("on",),
        "kvmLogSwitchSC": ("on",),
        "kvmSwitch": ({"on": True},),
        "system.methodHelp": ("kvmStatus",),
        "system.methodSignature": ("kvmStatus",),
    }
    try:
        getattr(server, name)(*parameters.get(name, ()))
    except Fault as fault:
        return int(fault.faultCode)
    return 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop root; run as root")
@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("no-such-user", "there is no user no-such-user to become instead of root"),
        ("root", "runs as root, as requested"),
    ],
)
def test_rpc_stays_root_only_when_told_to(tmp_path: Path, user: str, words: str) -> None:
    """A missing user is no reason to go on as root."""
    text = '[rpc]\nlisten = "127.0.0.1:0"\n'
    with Service(tmp_path, "rpc", text, "--user", user) as service:
        assert words in service.says(words)
        if user == "root":
            service.tells("READY=1")
            assert service.end() == 0
        else:
            assert service.process.wait(HANG_S) == 1
