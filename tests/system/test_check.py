# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog check` against a real `kvmlog rpc`: states, exit status, and that nothing can hang it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvmlog.cli import main as cli
from kvmlog.cli.check import command
from kvmlog.client import Client
from tests.support import vmstats_samples as samples
from tests.support.bridge_process import HANG_S, running_bridge, without_module
from tests.support.json_history import served_history
from tests.support.json_process import JsonHost, fresh, json_server, json_server_of, write_vms
from tests.support.metrics_host import uuid_of
from tests.support.users import as_root

pytestmark = as_root

VMS = (
    samples.vm(),
    samples.off_vm(),
    samples.hung_vm(uuid=uuid_of(1), name="hung1"),
    samples.vm(uuid=uuid_of(2), name="a|b'=c", memory=None),
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JsonHost]:
    """A server with these VMs, and without a bridge."""
    folder = tmp_path_factory.mktemp("rpc")
    with json_server(folder, replace(samples.snapshot(), vms=VMS)) as found:
        yield found


def check(host: JsonHost, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Return status and output of a check, run in this process."""
    address = f"127.0.0.1:{host.server.port}"
    status = cli.main(["check", *words, "--host", address])
    said = capsys.readouterr()
    assert said.err == ""
    return status, said.out.splitlines()


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ("cpu --vm web1", 0, "KVMLOG CPU OK - web1 45 % | 'web1'=45%;;;0;100"),
        (
            "cpu --vm web1 -w 40 -c 90",
            1,
            "KVMLOG CPU WARNING - web1 45 % (warning at 40) | 'web1'=45%;40;90;0;100",
        ),
        (
            "cpu --vm web1 -w 40 -c @45:46",
            2,
            "KVMLOG CPU CRITICAL - web1 45 % (critical at @45:46) | 'web1'=45%;40;@45:46;0;100",
        ),
        (
            "steal --vm web1 -c 1.5",
            2,
            "KVMLOG STEAL CRITICAL - web1 2 % (vCPU 1) (critical at 1.5) | 'web1'=2%;;1.5;0;100",
        ),
        ("cpu --vm db1", 3, "KVMLOG CPU UNKNOWN - db1: does not run (shutoff)"),
        (
            "cpu --vm hung1",
            3,
            "KVMLOG CPU UNKNOWN - hung1: does not answer libvirt; its figures are old",
        ),
        (
            f"memory --vm {uuid_of(2)}",
            3,
            "KVMLOG MEMORY UNKNOWN - a/b'=c: the guest does not tell (no balloon driver, or its "
            "statistics are off)",
        ),
        ("vm --vm web1", 0, "KVMLOG VM OK - web1 is running | 'running'=1;;;0;1"),
        ("vm --vm db1", 2, "KVMLOG VM CRITICAL - db1 is shutoff | 'running'=0;;;0;1"),
        (
            "vm",
            2,
            "KVMLOG VM CRITICAL - hung1 is running, and does not answer libvirt | "
            "'running'=3;;;0;4",
        ),
        (f"cpu --vm {uuid_of(2)}", 0, "KVMLOG CPU OK - a/b'=c 45 % | 'a|b__c'=45%;;;0;100"),
    ],
)
def test_outcomes(
    host: JsonHost, capsys: pytest.CaptureFixture[str], words: str, status: int, line: str
) -> None:
    """Status and line in full."""
    assert check(host, capsys, *words.split()) == (status, [line])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("cpu --vm nope", "no VM has the name, UUID or pid 'nope'"),
        ("exits", "no bridge is running; start it"),
        ("latency", "no bridge is running; start it"),
        ("losses", "there is no ring; start the bridge"),
        ("cpu -w nan", "-w 'nan': is no range"),
        ("cpu -c 20:10", "-c 20:10: its end is below its start"),
        ("cpu --over 0", "--over 0: give 1 to 60 s"),
        ("cpu -t nan", "--timeout nan: give more than 0 s"),
        ("cpu --frob", "unrecognized arguments: --frob"),
        ("frob", "invalid choice: 'frob'"),
        ("", "the following arguments are required: WHAT"),
    ],
)
def test_what_cannot_be_measured_is_unknown(
    host: JsonHost, capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    """Status 3, a sentence, no performance data; wrong options too."""
    try:
        status, lines = check(host, capsys, *words.split())
    except SystemExit as ended:
        status, lines = int(str(ended.code)), capsys.readouterr().out.splitlines()
    assert status == 3
    (line,) = lines
    assert line.startswith("KVMLOG ")
    assert " UNKNOWN - " in line
    assert sentence in line
    assert " | " not in line


def test_verbose_has_a_line_for_each_vm(host: JsonHost, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that do not run are none of it unless they are asked for."""
    _, lines = check(host, capsys, "cpu", "-v")
    assert lines[1:] == [
        "OK web1: 45 %",
        "UNKNOWN hung1: does not answer libvirt; its figures are old",
        "OK a/b'=c: 45 %",
    ]


def test_without_the_library_it_is_unknown(
    host: JsonHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the package."""
    monkeypatch.setitem(sys.modules, "nagiosplugin", None)  # type: ignore[misc]
    status, (line,) = check(host, capsys, "cpu", "-w", "5")
    assert status == 3
    assert "install python3-nagiosplugin, or kvmlog[check] with pip" in line


def test_a_defect_is_unknown(
    host: JsonHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own status for a traceback is 1, which is WARNING."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(command, "_measure", broken)
    assert check(host, capsys, "cpu") == (
        3,
        ["KVMLOG CPU UNKNOWN - internal error (ZeroDivisionError: x)"],
    )


def test_a_server_that_says_nothing_cannot_hang_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It accepts, and is silent."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        status = cli.main(["check", "cpu", "-t", "0.3", "--host", address])
    assert status == 3
    assert "no reply to vmStats within 0.3 s" in capsys.readouterr().out


def test_the_whole_has_a_deadline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host: JsonHost
) -> None:
    """The alarm ends it, whatever each call may take, and is taken back."""
    monkeypatch.setattr(command, "_GRACE_S", -1.5)
    monkeypatch.setattr(command, "_measure", lambda _: time.sleep(HANG_S))
    status, (line,) = check(host, capsys, "cpu", "-t", "0.6")
    assert status == 3
    assert "nothing was measured within 0.1 s" in line


def test_a_late_collector_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Old figures are no figures."""
    vms = tmp_path / "vms"
    write_vms(vms, samples.snapshot())
    with json_server_of(vms, tmp_path) as late:
        status, (line,) = check(late, capsys, "cpu", "-w", "1")
        assert status == 3
        assert "the collector has not written since" in line
        write_vms(vms, replace(fresh(), vms=(samples.vm(),)))
        # The server may have the file of before for some seconds.
        limit = time.monotonic() + HANG_S
        while check(late, capsys, "cpu", "-w", "1")[0] != 1:
            assert time.monotonic() < limit
            time.sleep(0.5)


def test_an_unreachable_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Its service is down, which is what `service` is about; everything else is not known."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert cli.main(["check", "service", "-H", address]) == 2
        assert "is kvmlog rpc running there" in capsys.readouterr().out
        assert cli.main(["check", "cpu", "-H", address]) == 3


@without_module
def test_a_bridge_without_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real bridge that waits for its module: a warning; exits are not traced; none is lost."""
    with running_bridge(tmp_path) as bridge, json_server(tmp_path, fresh()) as host:
        status, lines = check(host, capsys, "service", "-v")
        assert status == 1
        assert re.match(r"KVMLOG SERVICE WARNING - source: .*module", lines[0])
        assert [line.split(":")[0] for line in lines[1:]] == [
            "OK rpc",
            "OK bridge",
            "WARNING source",
            "OK vmstats",
        ]
        status, (line,) = check(host, capsys, "exits")
        assert (status, "tracing is off" in line) == (3, True)
        status, (line,) = check(host, capsys, "losses")
        assert status == 0
        assert line == (
            "KVMLOG LOSSES OK - lost 0 % (0 of 0 exits) | 'lost'=0%;0;1;0;100 "
            "'lost_dropped'=0c 'lost_records'=0c 'lost_messages'=0c"
        )
        assert bridge.process.poll() is None


def test_services_by_their_heartbeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Down is critical, disabled a warning, forced down critical; history away: not known."""
    with contextlib.ExitStack() as stack:
        past = stack.enter_context(contextlib.ExitStack())
        running, options = past.enter_context(served_history(tmp_path, tmp_path / "vms"))
        host = stack.enter_context(json_server(tmp_path, fresh(), options))
        running.until(lambda reader: len(reader.services()) == 3)

        def told(binary: str) -> str:
            lines = check(host, capsys, "service", "-v")[1][1:]
            (line,) = (one for one in lines if one.split(":")[0].endswith(f" {binary}"))
            return line

        def update(binary: str, **wanted: Any) -> None:
            with Client("127.0.0.1", host.server.port) as client:
                (found,) = client.services(binary=f"kvmlog-{binary}")
                client.update_service(found["id"], **wanted)

        assert told("history").startswith("OK history: ")
        update("vmstats", enabled=False, disabled_reason="new disks")
        lines = check(host, capsys, "service", "-v")[1]
        assert "WARNING vmstats: disabled (new disks)" in lines
        update("vmstats", enabled=True)
        update("history", forced_down=True)
        status, lines = check(host, capsys, "service")
        assert (status, "history: forced down" in lines[0]) == (2, True)
        update("history", forced_down=False)
        past.close()
        # Nobody listens any more, and nobody has for long.
        with sqlite3.connect(running.file) as file:
            file.execute("UPDATE service SET seen_mono = 0, seen = 0")
        status, _ = check(host, capsys, "service")
        assert status == 2
        assert told("history").startswith("CRITICAL history: down, last seen 1970-")


def test_a_link_to_it_is_a_plugin(host: JsonHost, tmp_path: Path) -> None:
    """Called by the name check_kvmlog, as from a folder of plugins; in any locale."""
    link = tmp_path / "check_kvmlog"
    link.symlink_to(Path(sys.executable).parent / "kvmlog")
    done = subprocess.run(
        [str(link), "cpu", "--vm", "web1", "-w", "44.5", "-H", f"127.0.0.1:{host.server.port}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "de_DE.UTF-8"},
    )
    assert done.returncode == 1
    assert done.stdout.endswith("| 'web1'=45%;44.5;;0;100\n")
    version = subprocess.run([str(link), "-V"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stdout.split()[0]) == (3, "check_kvmlog")
