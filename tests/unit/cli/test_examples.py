# SPDX-License-Identifier: GPL-2.0-or-later
"""Each command's --help ends with examples, which the real parser accepts."""

from __future__ import annotations

import argparse
import shlex

import pytest

from kvmlog.cli.examples import EXAMPLES
from kvmlog.cli.main import full_parser


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return a parser's sub-commands by name, none if it has none."""
    actions = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(actions[0].choices) if actions else {}


def all_parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of kvmlog (""), its commands, and their sub-commands ("remote dump")."""
    parser = full_parser()
    found = {"": parser}
    for name, command in commands(parser).items():
        found[name] = command
        found |= {f"{name} {inner}": one for inner, one in commands(command).items()}
    return found


def test_every_command_has_examples() -> None:
    """None is left out, and none is there for a command that does not exist."""
    assert all_parsers().keys() == EXAMPLES.keys()


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_ends_with_examples_that_parse(command: str) -> None:
    """Two to four lines, each a call of that command, begin "kvmlog"; comments stand above."""
    parser = all_parsers()[command]
    _, title, block = parser.format_help().rpartition("\nexamples:\n")
    assert title != ""
    lines = block.splitlines()
    comments, calls = lines[::2], lines[1::2]
    assert 2 <= len(calls) <= 4
    assert [line for line in comments if not line.startswith("  # ")] == []
    for line in calls:
        assert line.startswith(f"  kvmlog {command}".replace(" remote ", " remote host1 ").rstrip())
        assert len(line) <= 88
        words = shlex.split(line)[1:]
        args = full_parser().parse_args(words)
        assert callable(args.run)
