# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of a bridge about the source bpf: what it traces, and why it cannot."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest

from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import Sampling
from kvmlog.ring.reader import RingReader
from tests.support import bridge_process
from tests.support.bpf_host import needs_returns
from tests.support.bpf_process import Traced
from tests.support.bridge_process import KVMLOG, kvmlog, running_bridge

RETURNS_ONLY: Final = "returns from KVM_RUN only: no exits are traced in this KVM"


@needs_returns
def test_the_status_says_what_is_traced_and_how_it_was_made(traced: Traced) -> None:
    """The status gives an operator the sentence, who compiled it, and the times."""
    source = traced.status()["source"]
    assert (source["name"], source["connected"]) == ("bpf", True)
    assert (source["isa"], source["vendor"], source["waiting_for"]) == ("none", None, None)
    sentence, how = source["notes"]
    assert sentence == RETURNS_ONLY
    pattern = r"compiled (in \d+\.\d s|before,) by bcc \S+, checked by the kernel in \d+\.\d\d s"
    assert re.fullmatch(pattern, how)
    assert any(RETURNS_ONLY in line for line in traced.bridge.lines)
    traced.switch.switch(on=True)
    status = traced.status()
    assert (status["state"], status["source"]["on"]) == ("on", True)
    with RingReader(traced.bridge.ring) as reader:
        assert (reader.info().source, reader.info().switched_on) == ("bpf", True)


@needs_returns
def test_statistics_come_with_what_they_leave_out(traced: Traced, tmp_path: Path) -> None:
    """Asked of the bridge that writes them; where it cannot be asked, that is said."""
    traced.switch.switch(on=True, sampling=Sampling(one_in=7))

    def notes(switch: Path) -> str:
        ring = str(traced.bridge.ring)
        done = kvmlog("stat", "--ring", ring, "--switch", str(switch))
        assert done.returncode == 0
        return done.stderr

    unknown = "kvmlog: whether all exits are counted is not known: "
    counted = "kvmlog: only recorded exits are counted: one exit in 7 on average is recorded\n"
    assert notes(traced.bridge.switch) == counted
    assert notes(tmp_path / "none").startswith(f"{unknown}{tmp_path}/none: no bridge")
    other = tmp_path / "other"
    other.mkdir()
    with running_bridge(other) as stranger:
        words = f"{unknown}the bridge at {stranger.switch} writes another ring; "
        assert notes(stranger.switch).startswith(words)


@needs_returns
def test_without_bcc_a_kept_program_runs_and_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log, the status and the answer to `on` name the package; the bridge runs all the same.

    What another start has compiled is enough: then neither bcc nor a child process is asked for.
    """
    # Found before the system's own, and no bcc.
    (tmp_path / "bcc.py").write_text("raise ImportError('no such luck')\n", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    words = "bcc cannot be imported (no such luck); install python3-bpfcc"
    own = str(tmp_path / "cache")
    with running_bridge(tmp_path, "--source", "bpf", "--bpf-cache", own) as bridge:
        traced = Traced(bridge)
        assert any(words in line for line in bridge.lines)
        assert bridge.say("on").startswith(f"error: {words}")
        status = traced.status()
        assert (status["state"], status["source"]["connected"]) == ("off", False)
        assert words in status["trouble"]
        assert "kvmlog bpf build" in status["trouble"]
        assert traced.programs() == set()
    monkeypatch.delenv("PYTHONPATH")
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        assert any("compiled" in line for line in bridge.lines)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        assert not any("compiling" in line for line in bridge.lines)
        assert "compiled before, by bcc " in Traced(bridge).status()["source"]["notes"][1]
        assert bridge.say("on") == "ok on"


@needs_returns
def test_a_bridge_without_privileges_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root without any capability; before anything is compiled."""
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    monkeypatch.setattr(bridge_process, "KVMLOG", [*powerless, *KVMLOG])
    with running_bridge(tmp_path, "--source", "bpf") as bridge:
        words = "loading BPF programs needs CAP_SYS_ADMIN; run the bridge as root"
        assert any(line.endswith(words) for line in bridge.lines)
        assert not any("compiling" in line for line in bridge.lines)
        assert bridge.say("on") == f"error: {words}"
        assert SwitchClient(str(bridge.switch)).status()["trouble"] == words


@needs_returns
@pytest.mark.parametrize("reason", ["vcpu", "event"])
def test_a_way_to_a_reason_that_is_not_here_is_refused(tmp_path: Path, reason: str) -> None:
    """A request for reasons is never answered with records that have none."""
    with running_bridge(tmp_path, "--source", "bpf", "--bpf-reason", reason) as bridge:
        answer = bridge.say("on")
        assert answer.startswith("error: ")
        assert "--bpf-reason auto" in answer


@needs_returns
def test_a_machine_that_loads_no_modules_uses_bpf_by_itself(tmp_path: Path) -> None:
    """--source auto, which is the default, and says why."""
    if os.path.exists("/proc/modules"):
        pytest.skip("this kernel loads modules; auto would load kvmlog.ko where it is installed")
    with running_bridge(tmp_path, "--source", "auto") as bridge:
        assert any(
            line.endswith("source bpf: this kernel cannot load modules") for line in bridge.lines
        )
        assert Traced(bridge).status()["source"]["name"] == "bpf"
