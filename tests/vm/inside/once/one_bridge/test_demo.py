# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog demo` of real exits: what it shows, and that nothing is left, however it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvmlog.cli.demo.guest import NAME
from tests.support.certificates import Authority
from tests.support.demo_output import EXIT, whole_session
from tests.vm.inside import host
from tests.vm.inside.processes import HANG_S, KVMLOG, Bridge, Process, ended, until
from tests.vm.inside.sources import KMOD, only

MEMBER, STRANGER = "watcher", "stranger"
# What a turn of it is to SVM; a timer's end may be an intr, or come while it halts.
REASONS = {"cpuid", "io", "npf", "hlt", "msr"}


@dataclass
class Host:
    """A bridge, its RPC server with TLS, and the configuration that tells of both."""

    bridge: Bridge
    config: Path

    def demo(self, *options: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """One run to its end."""
        command = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *self.command()]
        return subprocess.run([*command, *options], capture_output=True, text=True, timeout=HANG_S)

    def command(self) -> list[str]:
        """Return the command line of a demo of 2 seconds, unless options say otherwise."""
        return [str(KVMLOG), "demo", "--config", str(self.config), "--seconds", "2"]

    def check_nothing_is_left(self) -> None:
        """Tracing is off, and no guest is there."""
        status = self.bridge.status()
        assert (status["wanted"], status["state"], status["filter"]) == ("off", "off", None)
        assert demo_guests() == []


@pytest.fixture
def member() -> Iterator[str]:
    """A user who is in the groups kvmlog and kvm, and nothing else; STRANGER is in kvm only.

    The VM's /etc is its own.
    """
    host.run("groupadd", "--system", "kvmlog")
    host.run("groupadd", "--system", "--force", "kvm")
    host.run("useradd", "--no-create-home", "--groups", "kvmlog,kvm", MEMBER)
    host.run("useradd", "--no-create-home", "--groups", "kvm", STRANGER)
    before = Path("/dev/kvm").stat()
    host.run("chgrp", "kvm", "/dev/kvm")
    host.run("chmod", "0660", "/dev/kvm")
    yield MEMBER
    os.chown("/dev/kvm", before.st_uid, before.st_gid)
    os.chmod("/dev/kvm", before.st_mode)
    host.run("userdel", MEMBER)
    host.run("userdel", STRANGER)
    host.run("groupdel", "kvmlog")


@pytest.fixture(scope="module")
def served(running_bridge: Bridge) -> Iterator[Host]:
    """Serve on all addresses, as a host does that its engine calls through TLS."""
    folder = running_bridge.ring.parent.parent / "demo"
    folder.mkdir()
    authority = Authority(folder)
    certificate, key = authority.issue("server")
    certificate.chmod(0o644)
    tokens = folder / "tokens"
    host.run(str(KVMLOG), "rpc", "--token-file", str(tokens), "--new-token", "engine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "kvmlog.toml"
    config.write_text(
        f'[bridge]\nring = "{running_bridge.ring}"\nswitch = "{running_bridge.switch}"\n'
        f'[rpc]\nlisten = "0.0.0.0:{port}"\nuser = "root"\n'
        f'tls_cert = "{certificate}"\ntls_key = "{key}"\ntoken_file = "{tokens}"\n'
    )
    server = Process(folder / "rpc.log", "rpc", "--config", config)
    with ended(server):
        server.says(r"serving https://")
        yield Host(running_bridge, config)


def demo_guests() -> list[int]:
    """QEMU processes of demos."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"guest={NAME},".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


@contextlib.contextmanager
def running_demo(served: Host, log: Path) -> Iterator[Process]:
    """A demo without end that has shown exits."""
    demo = Process(log, command=[*served.command(), "--seconds", "1h"])
    try:
        demo.says(EXIT.pattern.replace("^", r"(?m)^", 1))
        yield demo
    finally:
        demo.end(signal.SIGKILL)


def test_a_member_of_the_groups_sees_a_whole_session(
    bridge: Bridge, served: Host, member: str
) -> None:
    """A member of the groups sees exits, statistics and the end over TLS, without root.

    A member of one group only is told the other.
    """
    refused = served.demo(user=STRANGER)
    assert refused.returncode == 1
    assert (
        f"HTTP 403: user '{STRANGER}' is neither root nor in the group kvmlog; " in refused.stderr
    )
    done = served.demo(user=member)
    assert (done.returncode, done.stderr) == (0, "")
    session = whole_session(done.stdout)
    assert set(session.live) >= REASONS, done.stdout
    assert session.counted >= REASONS
    served.check_nothing_is_left()


@only(KMOD)
def test_what_was_on_before_is_left_on(bridge: Bridge, served: Host) -> None:
    """Tracing of all guests stays on: the demo shows its own guest and switches nothing."""
    bridge.client.switch(on=True)
    epoch = bridge.status()["source"]["config_epoch"]
    done = served.demo()
    assert (done.returncode, done.stderr) == (0, "")
    assert "tracing is on already" in done.stdout
    assert set(EXIT.findall(done.stdout)) >= REASONS
    status = bridge.status()
    assert (status["wanted"], status["filter"], status["lease_s"]) == ("on", None, None)
    assert status["source"]["config_epoch"] == epoch
    assert demo_guests() == []


@only(KMOD)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle_it_puts_all_back(
    bridge: Bridge, served: Host, tmp_path: Path, number: signal.Signals
) -> None:
    """Meanwhile another demo is refused, and ends nothing of the first one's."""
    with running_demo(served, tmp_path / "log") as demo:
        (guest,) = demo_guests()
        second = served.demo()
        assert second.returncode == 1
        assert f"a guest {NAME} runs here already, pid {guest}: another demo?" in second.stderr
        assert bridge.status()["filter"] == {"vm": [NAME], "tgids": 1}
        assert demo_guests() == [guest]
        assert demo.end(number) == 128 + number
        assert "Traceback" not in demo.log()
    served.check_nothing_is_left()


@only(KMOD)
def test_its_terminal_goes_away(bridge: Bridge, served: Host) -> None:
    """The same holds when its terminal goes away, as when an ssh connection breaks."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(KVMLOG, [*served.command(), "--seconds", "1h"])
    shown = b""
    while not EXIT.search(shown.decode().replace("\r", "")):
        shown += os.read(terminal, 4096)
    assert len(demo_guests()) == 1
    os.close(terminal)
    os.waitpid(pid, 0)
    served.check_nothing_is_left()


def test_killed_in_the_middle_its_lease_ends_tracing(
    bridge: Bridge, served: Host, tmp_path: Path
) -> None:
    """Its guest dies with it; a demo after it takes over what it left."""
    options = ("--seconds", "3")
    with running_demo(served, tmp_path / "log") as demo:
        lease_s = bridge.status()["lease_s"]
        assert 3_600 < lease_s <= 3_630
        assert demo.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: demo_guests() == [], "the guest outlives its demo")
    assert bridge.status()["filter"]["vm"] == [NAME]
    after = served.demo(*options)
    assert (after.returncode, after.stderr) == (0, "")
    assert "still on for the guest of a demo that was killed" in after.stdout
    served.check_nothing_is_left()

    # A short one: nobody comes after it.
    short = Process(tmp_path / "short", command=[*served.command(), *options])
    until(lambda: bridge.status()["wanted"] == "on", "never on")
    assert short.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: bridge.status()["wanted"] == "off", "the lease has no end")
    until(lambda: demo_guests() == [], "the guest outlives its demo")
    served.check_nothing_is_left()
