# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog top` with real bridges, servers and terminals, and distributions of `kvmlog stat`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from kvmlog.client import Client
from kvmlog.control.sampling import Sampling
from kvmlog.top.model.scope import ROOT, Level, Wanted
from kvmlog.top.source.base import Sample
from kvmlog.top.source.remote import RemoteSource
from kvmlog.util.errors import KvmlogError
from tests.support.bridge_process import (
    HANG_S,
    KVMLOG,
    NOT_LOADED,
    kvmlog,
    running_bridge,
    without_module,
)
from tests.support.live_host import LiveHost
from tests.support.rpc_process import Server, rpc_server
from tests.support.top_screen import driven, local

NAMES = ["web1", "web2"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LiveHost]:
    """Two guests with exits."""
    with LiveHost(tmp_path, NAMES) as made:
        made.feed(0, 400)
        made.feed(1, 200)
        made.counting.writer.flush()
        yield made


@pytest.fixture
def server(host: LiveHost) -> Iterator[Server]:
    """A server of that host."""
    with rpc_server(Path(host.ring), Path(host.switch)) as made:
        yield made


def remote(server: Server) -> RemoteSource:
    """The source that --host makes."""
    return RemoteSource(lambda: Client("127.0.0.1", server.port), "host1")


def in_terminal(
    arguments: list[str], until: bytes, keys: bytes, environment: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Run `kvmlog` on a terminal; press keys once some bytes came; its status and output."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [*KVMLOG, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environment or {})},
    )
    os.close(theirs)
    seen, pressed, limit = b"", False, time.monotonic() + HANG_S
    with process, contextlib.suppress(OSError):
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            assert time.monotonic() < limit, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65_536)
            if until in seen and not pressed:
                os.write(ours, keys)
                pressed = True
    os.close(ours)
    return process.wait(), seen


def paths(host: LiveHost) -> list[str]:
    """The options that name its files."""
    return ["--ring", host.ring, "--switch", host.switch]


def test_on_a_terminal(host: LiveHost) -> None:
    """The first picture comes at once, q ends it, and the terminal is as it was before."""
    status, seen = in_terminal(["top", *paths(host)], b"web2", b"q")
    assert status == 0
    assert b"averages since" in seen
    assert b"\x1b[?1049h" in seen
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h")


def test_ctrl_c_ends_it(host: LiveHost) -> None:
    """As it ends every other command that goes on, with success."""
    assert in_terminal(["top", *paths(host)], b"web2", b"\x03")[0] == 0


def test_no_colour_on_a_terminal(host: LiveHost) -> None:
    """NO_COLOR: no colour is ever sent."""
    status, seen = in_terminal(["top", *paths(host)], b"web2", b"q", {"NO_COLOR": "1"})
    assert status == 0
    codes = {
        code
        for part in seen.split(b"\x1b[")[1:]
        if b"m" in part and set(part.split(b"m")[0]) <= set(b"0123456789;")
        for code in part.split(b"m")[0].split(b";")
    }
    assert codes <= {b"", b"0", b"1", b"2", b"4", b"7", b"39", b"49"}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TERM": "dumb"}, "that can move its cursor, and TERM is 'dumb'; kvmlog stat -i 1"),
        ({"TERM": ""}, "that can move its cursor, and TERM is ''"),
    ],
)
def test_a_terminal_that_cannot(host: LiveHost, environment: dict[str, str], sentence: str) -> None:
    """A sentence says so, and what to do instead."""
    status, seen = in_terminal(["top", *paths(host)], b"never", b"", environment)
    assert status == 1
    assert sentence in " ".join(seen.decode().split())


def test_no_terminal(host: LiveHost) -> None:
    """A pipe is nothing to draw on."""
    done = kvmlog("top", *paths(host))
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs a terminal as stdin, stdout and stderr, and here is none" in done.stderr


def test_without_textual(host: LiveHost) -> None:
    """The sentence names the package."""
    code = (
        "import importlib.util as u, sys; f = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'textual' else f(name, *a); "
        "from kvmlog.cli.main import main; "
        f"sys.exit(main({['top', *paths(host)]!r}))"
    )
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    assert process.wait(HANG_S) == 1
    said = " ".join(os.read(ours, 65_536).decode().split())
    assert "needs textual, 2.1 or newer, which is not installed; pip install 'kvmlog[top]'" in said
    os.close(ours)
    os.close(theirs)


def test_no_statistics(tmp_path: Path) -> None:
    """Before the screen is opened."""
    status, seen = in_terminal(["top", "--ring", str(tmp_path / "ring")], b"never", b"")
    assert status == 1
    assert b"there are no statistics; start the bridge (kvmlog bridge)" in seen


def test_options_that_do_not_go_together(host: LiveHost) -> None:
    """Credentials are for another host, whose intervals have limits."""
    for arguments, sentence in (
        (["--token-file", "x"], "--token-file is for another host; give --host"),
        (["--host", "h", "-i", "90"], "another host counts for 0.1 to 60 s"),
    ):
        status, seen = in_terminal(["top", *paths(host), *arguments], b"never", b"")
        assert status == 2
        assert sentence in " ".join(seen.decode().split())


@without_module
def test_the_bridge_goes_away_and_comes_back(tmp_path: Path) -> None:
    """The screen says so meanwhile; afterwards it goes on with the new statistics."""

    async def run() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(running_bridge(tmp_path))
            async with driven(local(tmp_path)) as shown:
                assert NOT_LOADED in shown.text[2]
                stack.close()
                await shown.step()
                assert shown.text[2].startswith("no bridge writes these statistics now; start it")
                with running_bridge(tmp_path):
                    await shown.step()
                    assert NOT_LOADED in shown.text[2]

    asyncio.run(run())


def test_another_host(host: LiveHost, server: Server) -> None:
    """All through RPC: lines, drilling down, the switch; exits of each interval only."""

    async def run() -> None:
        async with driven(Spaced(remote(server), host)) as screen:
            assert screen.names[0] == "all"
            assert set(screen.names[1:]) >= set(NAMES)
            assert "host1" in screen.text[0]
            assert "cost 2.5% of a CPU" in screen.text[1]
            await screen.press("slash", *"web2", "enter", "down", "enter")
            assert screen.app.state.place.scope.level is Level.VCPUS
            assert "waiting for figures" in "\n".join(screen.text)
            # What is under way was asked for before.
            await screen.step()
            await screen.step()
            assert set(screen.names) == {"all vCPUs", "vCPU 0", "vCPU 1"}
            assert screen.app.state.exits_per_s
            await screen.press("s", "right", "enter")
            await screen.until(lambda: "web2 for 60 s" in screen.app.state.said)
            assert host.commands[-1].vm == ("web2",)
            server.stop()
            await screen.step()
            assert f"127.0.0.1:{server.port}" in screen.text[2]
            assert set(screen.names) == {"all vCPUs", "vCPU 0", "vCPU 1"}

    asyncio.run(run())


class Spaced:
    """A source of intervals of 0.3 s, in which the guests exit."""

    def __init__(self, inner: RemoteSource, host: LiveHost) -> None:
        self._inner, self._host = inner, host
        self.host = inner.host

    def sample(self, wanted: Sequence[Wanted], interval_s: float | None) -> Sample:
        """Feed exits while the server counts."""
        feeding = threading.Timer(0.15, self._host.feed, (1, 100))
        feeding.start()
        try:
            return self._inner.sample(wanted, None if interval_s is None else 0.3)
        finally:
            feeding.join()

    def switch(self, on: bool, vm: Sequence[str], for_s: float | None, sampling: Sampling) -> None:
        """Switch as the real one does."""
        self._inner.switch(on, vm, for_s, sampling)

    def close(self) -> None:
        """Close the real one."""
        self._inner.close()


def test_a_server_refuses(host: LiveHost, server: Server) -> None:
    """Its sentence is about that host."""
    source = remote(server)
    Path(host.ring + ".statistics").unlink()
    with pytest.raises(KvmlogError, match="statistics"):
        source.sample([ROOT.wanted()], None)
    source.close()


def test_histograms_here_and_there(host: LiveHost, server: Server) -> None:
    """The same text over RPC, halts apart; counts of octaves are those of the groups."""
    here = kvmlog("stat", *paths(host), "--hist")
    there = kvmlog("remote", f"127.0.0.1:{server.port}", "stat", "--hist")
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert here.stdout.splitlines()[1:] == there.stdout.splitlines()[1:]
    assert here.stdout.index("\nhalts:\n") < here.stdout.index("web1  hlt: ")
    assert "web1  io: 64 exits, min " in here.stdout
    assert "us -> " in here.stdout
    found = json.loads(kvmlog("stat", *paths(host), "--hist", "--json").stdout)
    for row in found["rows"]:
        assert sum(row["octaves"]) == row["count"]
    header, first, *_ = kvmlog("stat", *paths(host), "--hist", "--csv").stdout.splitlines()
    columns = dict(zip(header.split(","), first.split(","), strict=True))
    spans = [int(columns[name]) for name in columns if name.startswith("from_")]
    assert len(spans) == 37
    assert sum(spans) == int(columns["count"])


def test_a_heat_map_here_and_there(host: LiveHost, server: Server) -> None:
    """A line for each interval; with --by one for each group that had exits."""
    here = kvmlog("stat", *paths(host), "--heat", "-i", "0.2", "-n", "2")
    there = kvmlog("remote", f"127.0.0.1:{server.port}", "stat", "--heat", "-i", "0.2", "-n", "2")
    for done in (here, there):
        assert done.returncode == 0, done.stderr
        legend, axis, *rows = done.stdout.splitlines()
        assert legend.startswith("exits: . 1 and more, : 10")
        assert "|" in axis
        assert len(rows) == 2
        assert all(len(row.split("|")[1]) == 37 for row in rows)


def test_octaves_that_a_server_does_not_give(server: Server) -> None:
    """None are kept by return, and a reply with them has fewer groups."""
    with server.client() as proxy:
        for parameters, sentence in (
            ({"by": ["return"], "octaves": True}, "no distribution of durations is kept by return"),
            ({"octaves": True, "top": 2_049}, "give at most 2048"),
        ):
            with pytest.raises(Exception, match=sentence):
                proxy.kvmStatistics(parameters)
        rows = proxy.kvmStatistics({"octaves": True, "top": 2_048})["rows"]
        assert all(sum(map(int, row["octaves"])) == int(row["count"]) for row in rows)
