# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog switch`: its arguments, and what it says of the answer."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import pytest

from kvmlog.cli import switch
from kvmlog.cli.switch import period_s
from kvmlog.control.client import SwitchClient
from kvmlog.control.sampling import describe_sampling


def run(*arguments: str) -> int:
    """The sub-command with these arguments."""
    parser = argparse.ArgumentParser()
    switch.add_arguments(parser)
    return switch.run(parser.parse_args(arguments))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the commands sent to a bridge that accepts everything; web1 is two processes."""
    commands: list[str] = []

    def send(client: SwitchClient, command: str) -> str:
        commands.append(command)
        word, _, arguments = command.partition(" ")
        matched = '"matched": {"web1": [100, 300], "200": [200]}, ' if "vm" in arguments else ""
        return f'ok {word} {{{matched}"for_s": 90}}' if arguments else f"ok {word}"

    monkeypatch.setattr(SwitchClient, "send", send)
    return commands


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("60", 60),
        ("0.5", 0.5),
        ("1ms", 0.001),
        ("90s", 90),
        ("1.5m", 90),
        ("1h", 3_600),
        ("365d", 31_536_000),
    ],
)
def test_periods(value: str, seconds: float) -> None:
    """Seconds, or a number and its unit."""
    assert period_s(value) == seconds


@pytest.mark.parametrize("value", ["", "0", "0.0001", "-1", "1w", "s", "1 h", "1e3", "366d", "nan"])
def test_what_is_no_period_is_refused(value: str) -> None:
    """The refusal says what is allowed."""
    with pytest.raises(
        argparse.ArgumentTypeError, match="is not a time from 1ms to 365d; give seconds"
    ):
        period_s(value)


@pytest.mark.parametrize("arguments", [("--vm", "web1"), ("--for", "5")])
def test_off_takes_neither(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is no way of leaving others on."""
    with pytest.raises(SystemExit) as ended:
        run("off", *arguments)
    assert ended.value.code == 2
    assert (
        "error: --vm, --for, --one-in, --window and --max-per-s go with on; off"
        in capsys.readouterr().err
    )


def test_what_is_asked_and_said(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The output says which processes, and until when; plain commands print the plain answer."""
    for arguments in ("on", "off", "on --for 90s", "on --vm web1 --vm 200 --for 1.5m"):
        assert run(*arguments.split()) == 0
    assert asked == [
        *("on", "off", 'on {"for_s": 90.0}'),
        'on {"vm": ["web1", "200"], "for_s": 90.0}',
    ]
    until = r"until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \(90 s\), then off by itself\n"
    assert re.fullmatch(
        f"ok on\nok off\ntracing all guests\n{until}"
        f"tracing web1: processes 100, 300\ntracing 200: process 200\n{until}",
        capsys.readouterr().out,
    )


def test_sampling_is_asked_for_and_said(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it in one command, one line for each."""
    assert run("on", "--one-in", "10", "--window", "5/95", "--max-per-s", "1000") == 0
    assert asked == ['on {"one_in": 10, "on_ms": 5, "off_ms": 95, "max_per_s": 1000}']
    assert capsys.readouterr().out.splitlines() == [
        "tracing all guests",
        "one exit in 10 on average is recorded",
        "recorded for 5 ms, left out for 95 ms",
        "at most 1,000 exits recorded a second",
    ]


def test_the_caps_doing_is_told_from_what_was_asked_for() -> None:
    """The words keep the two apart, from the fields of the status."""
    status = {"one_in": 1, "on_ms": 0, "off_ms": 0, "max_per_s": 1000, "one_in_now": 8}
    assert describe_sampling(status)[0] == (
        "one exit in 8 on average is recorded now, for the cap (asked for: one in 1)"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("on", "--one-in", "0"), '"one_in" is 0; give a whole number from 1 to 1000000'),
        (("on", "--window", "5"), "is not a sampling window; give ms on and ms off"),
        (("on", "--window", "5/0"), '"off_ms" is 0; give a whole number from 1'),
        (("off", "--one-in", "2"), "go with on; off switches off for all"),
    ],
)
def test_sampling_that_cannot_be_is_a_usage_error(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent."""
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
