# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog vms` as a real process: here, through a server, on a terminal, and when it cannot."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from kvmlog.cli.vms.figures import NAMES
from kvmlog.vmstats import file
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot
from tests.support import vmstats_samples as make
from tests.support.bridge_process import HANG_S, KVMLOG, kvmlog
from tests.support.rpc_process import rpc_server
from tests.support.users import as_nobody, as_root
from tests.support.vmstats_process import collector


def snapshot(age_s: float = 0) -> Snapshot:
    """web1 that is on time, db1 that is off, one that hangs, and one named like a formula."""
    now = Moment.now()
    taken = Moment(now.monotonic_ns - round(age_s * 1e9), now.realtime_ns - round(age_s * 1e9))
    hung = Moment(taken.monotonic_ns - 9_000_000_000_000, taken.realtime_ns)
    return make.snapshot(
        make.vm(taken=taken),
        make.off_vm(taken=taken),
        make.hung_vm(name="stuck", uuid=make.WEB1[:-2] + "33", pid=4301, taken=hung),
        make.off_vm(name="=1+1", uuid=make.DB1[:-2] + "44", taken=taken),
        collector=make.collector(
            written=taken,
            interval_s=1.0,
            effective_interval_s=10.0,
            connections=(make.connection(hung=(make.WEB1[:-2] + "33",)),),
        ),
    )


def write(folder: Path, found: Snapshot) -> str:
    """The path of the collector's file, which has this."""
    path = folder / "vms.json"
    path.with_suffix(".new").write_bytes(file.encode(found))
    path.with_suffix(".new").rename(path)
    return str(path)


def options(folder: Path) -> tuple[str, ...]:
    """Places of the test's own."""
    places = {"vmstats-file": "vms.json", "ring": "ring", "switch": "switch"}
    return tuple(f"--{name}={folder / path}" for name, path in places.items())


def vms(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run, to its end."""
    return kvmlog("vms", *options(folder), *arguments)


def test_a_line_per_vm(tmp_path: Path) -> None:
    """What runs, what does not, and what hangs; nothing is said on stderr."""
    write(tmp_path, snapshot())
    done = vms(tmp_path, "--sort", "name")
    assert (done.returncode, done.stderr) == (0, "")
    heading, titles, *rows = done.stdout.splitlines()
    assert heading.endswith(": 4 VMs, 2 active, 1 hung; exits are not counted")
    assert titles.split()[:4] == ["NAME", "STATE", "AGE", "CPU%"]
    assert [row.split()[:2] for row in rows] == [
        ["=1+1", "off"],
        ["db1", "off"],
        ["stuck", "hung"],
        ["web1", "running"],
    ]


def test_json_and_csv_have_all_figures(tmp_path: Path) -> None:
    """The same ones; a name like a formula is none in CSV; an unknown one is null, or empty."""
    write(tmp_path, snapshot())
    told = json.loads(vms(tmp_path, "--json", "--sort", "name").stdout)
    lines = vms(tmp_path, "--csv", "--sort", "name").stdout.splitlines()
    rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["realtime_ns", *NAMES, "time"]
    assert [row["name"] for row in rows] == ["'=1+1", "db1", "stuck", "web1"]
    assert told["collector"]["cost"]["budget_percent"] == 5.0
    web1 = told["vms"][-1]
    assert set(NAMES) < set(web1)
    assert web1["sample"]["uuid"] == make.WEB1
    assert web1["memory_used_bytes"] == int(rows[-1]["memory_used_bytes"]) == 1800 * make.MIB
    assert (told["vms"][1]["memory_used_bytes"], rows[1]["memory_used_bytes"]) == (None, "")


def test_intervals_end_with_ctrl_c(tmp_path: Path) -> None:
    """The first table comes at once; Ctrl-C is the regular end."""
    write(tmp_path, snapshot())
    command = [*KVMLOG, "vms", *options(tmp_path), "-i", "60", "--vm", "web1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_S)
    assert first[2].startswith("web1 ")
    assert (process.returncode, errors) == (0, "")


def test_a_terminal_of_eighty_columns(tmp_path: Path) -> None:
    """No line is wider; with -i a table takes the place of the one before."""
    write(tmp_path, snapshot())
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [*KVMLOG, "vms", *options(tmp_path), "-i", "1", "-n", "2"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**environment, "NO_COLOR": "1"},
            timeout=HANG_S,
            check=False,
        )
        os.close(theirs)
        shown = terminal.read(65_536)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.count(b": 4 VMs, ") >= 2
    assert b"\x1b[1A" in shown
    assert b"REASON" in shown
    assert b"UUID" not in shown


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--vm", "wbe"), 1, "kvmlog: no VM has the name, UUID or pid 'wbe'; name one of: web1 ("),
        (("-n", "2"), 2, "-n counts the tables of -i; give -i S too"),
        (("-i", "0.5"), 1, "kvmlog: an interval of 0.5 s: the collector polls every 1 s; give at"),
        (("--sort", "cpus"), 2, "did you mean cpu?"),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """One sentence, with the remedy."""
    write(tmp_path, snapshot())
    done = vms(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_without_a_collector(tmp_path: Path) -> None:
    """No file, one that is not its own, and one that may not be read: never an empty table."""
    missing = vms(tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == (
        f"kvmlog: {tmp_path}/vms.json: there are no VM statistics; start the collector "
        "(kvmlog vmstats)\n"
    )
    (tmp_path / "vms.json").write_text("{}")
    foreign = vms(tmp_path)
    assert (foreign.returncode, foreign.stdout) == (1, "")
    assert "no file of VM statistics, or a damaged one" in foreign.stderr
    assert "check --vmstats-file" in foreign.stderr


@pytest.mark.parametrize("kind", ["directory", "fifo", "names"])
def test_nobody_is_told_to_remove_what_is_not_ours(tmp_path: Path, kind: str) -> None:
    """What is no file was named by mistake; so it is with the names beside the ring."""
    place = tmp_path / ("ring.guests" if kind == "names" else "vms.json")
    if kind == "names":
        write(tmp_path, snapshot())
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
    done = vms(tmp_path) if kind != "names" else kvmlog("guests", *options(tmp_path)[1:])
    what = "no regular file" if kind == "fifo" else "a directory"
    option = "--ring" if kind == "names" else "--vmstats-file"
    assert done.returncode == 1
    assert f"kvmlog: {place}: is {what}, no file of " in done.stderr
    assert f"({option})" in done.stderr
    assert "remove it" not in done.stderr


def test_exits_that_cannot_be_read_are_said_once(tmp_path: Path) -> None:
    """Also with --json, among its problems; the figures are shown all the same."""
    write(tmp_path, snapshot())
    (tmp_path / "ring.statistics").write_bytes(b"of another version")
    text, told = vms(tmp_path), vms(tmp_path, "--json")
    assert (text.returncode, told.returncode) == (0, 0)
    assert text.stderr == told.stderr
    (problem,) = json.loads(told.stdout)["problems"]
    assert told.stderr == f"kvmlog: {problem}\n"
    assert problem.startswith(f"exits are not known: {tmp_path}/ring.statistics: ")


@as_root
def test_without_permission() -> None:
    """The group that may read is named."""
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory(prefix="kvmlog-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = Path(write(folder, snapshot()))
        path.chmod(0o640)
        done = as_nobody("vms", *options(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"kvmlog: {path}: cannot be read (Permission denied); run as root or join the group "
        "kvmlog\n"
    )


def test_a_late_collector_and_a_lost_connection_are_told(tmp_path: Path) -> None:
    """The last figures are shown with their age; each sentence comes once."""
    late = snapshot(age_s=100)
    gone = replace(late.collector.connections[0], connected=False, error="libvirtd is gone")
    collector = replace(late.collector, connections=(gone,), stretched="polls every 20 s: cost")
    write(tmp_path, replace(late, collector=collector))
    done = vms(tmp_path, "--vm", "web1", "-i", "1", "-n", "2")
    assert done.returncode == 0
    old, lost, stretched = done.stderr.splitlines()
    assert old.startswith("kvmlog: these figures are 1")
    assert "the collector has not written since" in old
    assert lost == "kvmlog: qemu:///system: libvirtd is gone"
    assert stretched == "kvmlog: polls every 20 s: cost"
    assert [line.split()[2] for line in done.stdout.splitlines() if line.startswith("web1")] == [
        "1m"
    ] * 2


def test_what_a_real_collector_found(tmp_path: Path) -> None:
    """A collector of libvirt's test driver, whose VM runs and tells nothing but its state."""
    with collector(tmp_path, "test:///default") as running:
        running.until_vm("test", lambda vm: vm.sample.active)
        (vm,) = json.loads(vms(tmp_path, "--vm", "test", "--json").stdout)["vms"]
    assert (vm["state"], vm["uri"], vm["stale"]) == ("running", "test:///default", False)
    assert (vm["memory_used_bytes"], vm["read_bytes"], vm["exits"]) == (None, None, None)


def test_the_same_through_a_server(tmp_path: Path) -> None:
    """Table and figures of another host are those of that host; its refusals name it."""
    write(tmp_path, snapshot())
    where = ("--vmstats-file", str(tmp_path / "vms.json"))
    with rpc_server(tmp_path / "ring", tmp_path / "switch", extra=where) as server:
        remote = ("remote", f"{server.host}:{server.port}", "vms", "--sort", "name")
        table = kvmlog(*remote)
        told = json.loads(kvmlog(*remote, "--json", "--vm", "web1").stdout)
        unknown = kvmlog(*remote, "--vm", "wbe")
        (tmp_path / "vms.json").unlink()
        missing = kvmlog(*remote)
    here = write(tmp_path, snapshot())
    local = vms(tmp_path, "--sort", "name")
    assert (table.returncode, table.stderr) == (0, "")
    assert table.stdout.splitlines()[1:] == local.stdout.splitlines()[1:]
    expected = json.loads(vms(tmp_path, "--json", "--vm", "web1").stdout)["vms"][0]
    (found,) = told["vms"]
    ages = {"age_s", "sample"}
    assert {name: found[name] for name in found if name not in ages} == {
        name: expected[name] for name in expected if name not in ages
    }
    assert here.endswith("vms.json")
    assert (unknown.returncode, missing.returncode) == (1, 1)
    assert "no VM has the name, UUID or pid 'wbe'" in unknown.stderr
    assert f"start the collector (kvmlog vmstats on {server.host}:{server.port})" in missing.stderr
