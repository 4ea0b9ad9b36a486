# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog why` of a recording, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmlog.cli.main import main
from kvmlog.why.serialize import parse_verdict

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "two-guests-boot.kvmlog"


def test_a_recording_has_exits_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Two guests that booted on a host with too few CPUs: that is named, and what is missing."""
    assert main(["why", "web1", "--from", str(RECORDING), "--json"]) == 0
    verdict = parse_verdict(json.loads(capsys.readouterr().out))
    assert verdict.name == "web1"
    assert [finding.rule for finding in verdict.findings] == ["cpu-wait"]
    assert verdict.looked_at == ("exits",)
    assert [gap.why for gap in verdict.gaps] == ["a recording has exits only"]


def test_lines_fit_into_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in them."""
    assert main(["why", "db1", "--from", str(RECORDING)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("db1 (")
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("nobody", "--from", str(RECORDING)), 1, "no known guest has the name, UUID or pid"),
        (("web1", "--from", "/nowhere.kvmlog"), 1, "/nowhere.kvmlog"),
        (("web1", "--from", str(RECORDING), "--trace"), 2, "--trace is for a VM that runs now"),
        (("web1", "--for", "0.5"), 2, "a VM is watched for 1 to 60 seconds"),
        (("web1", "--for", "soon"), 2, "is not a time from"),
        ((), 2, "VM"),
    ],
)
def test_bad_requests(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    """A sentence each."""
    try:
        got = main(["why", *arguments])
    except SystemExit as error:
        got = error.code  # type: ignore[assignment]  # argparse's is an integer
    assert got == status
    assert sentence in capsys.readouterr().err


def test_nobody_knows_the_vm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a collector nor a bridge is there."""
    places = ("--ring", f"{tmp_path}/ring", "--switch", f"{tmp_path}/s")
    assert main(["why", "web1", "--vmstats-file", f"{tmp_path}/vms", *places]) == 1
    assert "no known guest has the name, UUID or pid 'web1'" in capsys.readouterr().err
