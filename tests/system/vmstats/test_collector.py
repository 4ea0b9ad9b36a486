# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vmstats` as a process: how it starts, what it refuses, what it writes and as whom."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.sample import State
from tests.support.bridge_process import HANG_S, KVMLOG, kvmlog
from tests.support.libvirt_test_driver import write_host
from tests.support.users import MEMBER, MEMBER_UID, NOBODY, as_root, group_file
from tests.support.vmstats_process import collector

URI: Final = "test:///default"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users get to: pytest's are within one that is root's alone."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def refused(*arguments: str, status: int = 1) -> str:
    """What a collector says that cannot start, on one line, without a traceback."""
    done = kvmlog("vmstats", *arguments)
    assert done.returncode == status
    assert done.stderr.startswith("kvmlog: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_test_drivers_domain(tmp_path: Path) -> None:
    """State and definition are there; what the driver does not tell is absent, with a reason."""
    with collector(tmp_path, URI) as running:
        vm = running.until_vm("test", lambda vm: vm.sample.state is State.RUNNING)
        assert vm.sample.uri == URI
        assert vm.sample.cpu is None
        assert {one.group for one in vm.sample.absent} >= {"cpu", "blocks", "interfaces"}
        snapshot = running.until(lambda now: bool(now.hosts))
        (host,) = snapshot.hosts
        assert (host.hypervisor_type, host.local, host.ksm) == ("TEST", False, None)
        assert snapshot.collector.pid == running.process.pid
        mode = stat.S_IMODE(running.file.stat().st_mode)
        assert mode == 0o640
        assert running.stop() == 0
    # Readers go on with it, and see its age.
    assert running.snapshot().vms[0].sample.name == "test"


@pytest.mark.parametrize("given", ["nonsense", "qemu:/system", "qemu://host:port/system"])
def test_a_malformed_uri(tmp_path: Path, given: str) -> None:
    """It ends the collector, also beside one that would do."""
    options = ("--vmstats-file", str(tmp_path / "f"), "--uri", URI, "--uri", given)
    said = refused(*options, status=2)
    assert f"'{given}' is no libvirt URI; give one such as qemu:///system" in said


def test_no_libvirt(tmp_path: Path) -> None:
    """It stays, says so once, goes on trying and writing; its domains are not made up."""
    absent = f"qemu+unix:///system?socket={tmp_path}/none"
    with collector(tmp_path, absent) as running:
        first = running.until(lambda now: bool(now.collector.connections[0].error))
        later = running.until(
            lambda now: now.collector.written.monotonic_ns > first.collector.written.monotonic_ns
        )
        (connection,) = later.collector.connections
        assert not connection.connected
        assert "No such file or directory; start libvirtd" in str(connection.error)
        assert (later.vms, later.hosts) == ((), ())
        assert running.stop() == 0
    assert running.log().count("No such file or directory") == 1


@as_root
def test_no_permission(public: Path) -> None:
    """A socket that is not for this user: the reason, and a remedy."""
    path = public / "sock"
    place = public / "place"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        options = ("--user", "nobody")
        with collector(place, f"qemu+unix:///system?socket={path}", options=options) as running:
            now = running.until(lambda now: bool(now.collector.connections[0].error))
            error = str(now.collector.connections[0].error)
            assert "Permission denied; run the collector as root or as a user of the" in error


def test_a_listener_that_never_answers(tmp_path: Path) -> None:
    """It is no libvirtd; connecting is given up, one attempt at a time, and nothing grows."""
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with collector(tmp_path, f"qemu+unix:///system?socket={path}", URI) as running:
            told = running.until(lambda now: bool(now.collector.connections[0].error))
            assert "has not answered within" in str(told.collector.connections[0].error)
            threads, descriptors = running.threads(), running.descriptors()
            polls = told.collector.connections[1].polls
            running.until(lambda now: now.collector.connections[1].polls >= polls + 12)
            assert running.threads() <= threads
            assert running.descriptors() <= descriptors
            assert running.stop() == 0


def test_two_collectors_of_one_file(tmp_path: Path) -> None:
    """The second is refused; after the first the next one begins."""
    with collector(tmp_path, URI) as running:
        running.until(lambda now: bool(now.vms))
        said = refused("--vmstats-file", str(running.file), "--uri", URI, "--user", "root")
        assert "another collector writes it; end that one" in said
        assert running.stop() == 0
    with collector(tmp_path, URI) as again:
        again.until(lambda now: now.collector.pid == again.process.pid)


@pytest.mark.parametrize("kind", ["link", "fifo", "others"])
def test_a_planted_file(tmp_path: Path, kind: str) -> None:
    """What is not the collector's own is not replaced."""
    target, file = tmp_path / "target", tmp_path / "vms.json"
    target.write_text("precious")
    if kind == "link":
        file.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.write_text("")
        file.chmod(0o666)
    said = refused("--vmstats-file", str(file), "--uri", URI, "--user", "root")
    assert "remove it or choose another place" in said
    assert target.read_text() == "precious"
    assert not file.is_file() or file.read_text() in ("", "precious")


@contextlib.contextmanager
def dropping(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A collector that root started, to become a user who is in the group kvmlog."""
    prefix = group_file(folder, f"kvmlog:x:4242:{MEMBER}\nextra:x:4343:{MEMBER}\n")
    file = folder / "made" / "vms.json"
    arguments = ("--vmstats-file", str(file), "--uri", URI, "--user", MEMBER, "--interval", "1")
    command = [*prefix, *KVMLOG, "vmstats", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@as_root
def test_root_is_dropped(public: Path) -> None:
    """The user's own groups stay (libvirt's), and the file is the group kvmlog's."""
    with dropping(public) as process:
        assert process.stderr is not None
        said = ""
        while "root dropped" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        status = Path(f"/proc/{process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert set(fields["Uid"].split()) == {str(MEMBER_UID)}
        assert {"4242", "4343"} <= set(fields["Groups"].split())
        assert int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"].strip() == "1"
        file = public / "made" / "vms.json"
        while not file.exists():
            assert process.poll() is None
        made = file.stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (MEMBER_UID, 4242, 0o640)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0


def test_above_the_budget(tmp_path: Path) -> None:
    """Polls become rarer, and the file says why."""
    uri = write_host(tmp_path, 50)
    with collector(tmp_path, uri, options=("--budget", "0.1")) as running:
        now = running.until(lambda now: now.collector.stretched is not None)
        assert now.collector.interval_s == 1
        assert now.collector.effective_interval_s > 1
        assert "more than 0.1 % of one CPU" in str(now.collector.stretched)
        assert now.collector.cost.budget_percent == 0.1
        assert (now.collector.cost.own_percent or 0) > 0.1


def test_hup_and_the_watchdog(tmp_path: Path) -> None:
    """A reload changes nothing and ends nothing; the service's manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(HANG_S)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        told: list[str] = []

        def until(word: str) -> None:
            while not any(word in one for one in told):
                told.append(manager.recv(4096).decode())

        command = [*KVMLOG, "vmstats", "--uri", URI, "--user", "root", "--interval", "1"]
        command += ["--vmstats-file", str(tmp_path / "vms.json")]
        process = subprocess.Popen(command, env={**os.environ, **environment})
        with process:
            try:
                until("READY=1")
                until("STATUS=1 VMs from 1 of 1 libvirt connections every 1 s")
                until("WATCHDOG=1")
                told.clear()
                process.send_signal(signal.SIGHUP)
                until("RELOADING=1")
                until("READY=1")
                process.send_signal(signal.SIGTERM)
                until("STOPPING=1")
                assert process.wait(HANG_S) == 0
            finally:
                process.kill()


def test_many_domains(tmp_path: Path) -> None:
    """All are there, each with a sample of every poll."""
    uri = write_host(tmp_path, 200)
    with collector(tmp_path, uri) as running:
        running.until(lambda now: len(now.vms) == 200)
        begin = Moment.now()
        now = running.until(lambda now: all(vm.sample.taken > begin for vm in now.vms))
        assert len({vm.sample.uuid for vm in now.vms}) == 200
        assert now.collector.connections[0].stuck_threads == 0
