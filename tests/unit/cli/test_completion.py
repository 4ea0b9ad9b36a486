# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion scripts know every command and option that the parsers know."""

from __future__ import annotations

import re
import subprocess

import pytest

from kvmlog.cli.main import COMMANDS, full_parser
from scripts import completion


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_command_and_option_is_there(shell: str) -> None:
    """Each shell's script has the names of all commands and all long options."""
    text = completion.script(shell)
    options = {
        option
        for parser in completion.every_parser(full_parser())
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    # fish has options without their dashes.
    names = {option.lstrip("-") for option in options} if shell == "fish" else options
    assert len(names) >= 30
    words = set(re.findall(r"-{0,2}[a-z0-9][a-z0-9-]*", text))
    assert names - words == set()
    assert {name for name, _, _ in COMMANDS} - words == set()


def test_fish_distinguishes_remote_commands() -> None:
    """`kvmlog remote HOST stat` does not complete what only `kvmlog stat` takes."""
    lines = completion.script("fish").splitlines()
    resets = [line for line in lines if " -l reset " in line]
    assert len(resets) == 1
    assert (
        "-n '__fish_seen_subcommand_from stat; and not __fish_seen_subcommand_from remote'"
        in resets[0]
    )


def test_fish_words_are_quoted() -> None:
    """A quotation mark within a help text does not end the word."""
    assert completion.quoted("the ring's \\ path") == "'the ring\\'s \\\\ path'"


def test_bash_takes_the_script() -> None:
    """It defines the completion of kvmlog without an error."""
    done = subprocess.run(
        ["bash", "--norc", "-c", "source /dev/stdin && complete -p kvmlog"],
        input=completion.script("bash"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.rstrip().endswith(" kvmlog")
