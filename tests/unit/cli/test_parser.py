# SPDX-License-Identifier: GPL-2.0-or-later
"""What is not known on the command line, and what was probably meant."""

from __future__ import annotations

import pytest

from kvmlog.cli.main import COMMANDS, main
from kvmlog.cli.parser import MEANT

LISTED = "`kvmlog --help` lists them"
LISTED_THERE = "`kvmlog remote --help` lists them"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line of what it says."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("htop", f"there is no command 'htop'; did you mean `kvmlog top`? {LISTED}"),
        ("watch", f"there is no command 'watch'; did you mean `kvmlog top`? {LISTED}"),
        ("gests", f"there is no command 'gests'; did you mean `kvmlog guests`? {LISTED}"),
        ("STATUS", f"there is no command 'STATUS'; did you mean `kvmlog status`? {LISTED}"),
        ("xyzzy", f"there is no command 'xyzzy'; {LISTED}"),
        ("stop", f"there is no command 'stop'; did you mean `kvmlog switch off`? {LISTED}"),
        (
            "remote h statu",
            f"there is no command 'statu'; did you mean `kvmlog remote HOST status`? "
            f"{LISTED_THERE}",
        ),
        (
            "remote h top",
            f"there is no command 'top'; did you mean `kvmlog remote HOST stat -i 1`? "
            f"{LISTED_THERE}",
        ),
        (
            "remote h vmstats",
            f"there is no command 'vmstats'; did you mean `kvmlog remote HOST vms`? {LISTED_THERE}",
        ),
        # There is no such command for another host.
        ("remote h daemon", f"there is no command 'daemon'; {LISTED_THERE}"),
    ],
)
def test_an_unknown_command_suggests_the_nearest(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    """Spelling finds it, or what other tools call it; the commands are listed in --help."""
    assert refused(capsys, *words.split()).endswith(f"error: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("switch onn", "'onn' (choose from on, off); did you mean on?"),
        ("explain hlt --isa SVN", "'SVN' (choose from vmx, svm, arm64); did you mean svm?"),
        ("config chek", "(choose from check, show, default); did you mean check?"),
        ("stat --sort totl", "paused); did you mean total?"),
        ("bridge --source kmodd", "did you mean kmod?"),
        ("switch maybe", "'maybe' (choose from on, off)"),
    ],
)
def test_an_unknown_value_suggests_the_nearest(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    """The choices are listed, and the nearest of them is suggested."""
    assert refused(capsys, *words.split()).endswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dump --slwer-than 1ms", "--slwer-than 1ms; did you mean --slower-than? kvmlog dump"),
        ("dump --slwer-than=1ms --jsn", "did you mean --slower-than, --json? kvmlog dump --help"),
        ("remote h dump --resaon hlt", "did you mean --reason? kvmlog remote HOST dump --help"),
        ("remote h vms --sotr cpu", "did you mean --sort? kvmlog remote HOST vms --help"),
        ("dump --xyzzy", "unrecognized arguments: --xyzzy; kvmlog dump --help lists those there"),
        ("stat --bogus", "unrecognized arguments: --bogus; kvmlog stat --help lists those there"),
        ("stat --resaon", "unrecognized arguments: --resaon; kvmlog stat --help lists those there"),
        ("dump extra", "unrecognized arguments: extra; kvmlog dump --help"),
    ],
)
def test_an_unknown_option_suggests_the_nearest(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    """The nearest option of the command is suggested; also of a command for another host."""
    assert said in refused(capsys, *words.split())


def test_a_long_word_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody scrolls for the sentence."""
    assert len(refused(capsys, "x" * 100_000)) < 200


def test_what_other_tools_call_a_command_leads_to_one() -> None:
    """None is a command itself, and all that are suggested exist."""
    names = {name for name, _, _ in COMMANDS}
    assert not names & MEANT.keys()
    assert {meant.split()[0] for meant in MEANT.values()} <= names
