# SPDX-License-Identifier: GPL-2.0-or-later
"""What `kvmlog stat` can be asked for, and what it says of nonsense."""

from __future__ import annotations

import argparse

import pytest

from kvmlog.cli.stat import command, options
from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query


def parsed(*arguments: str) -> argparse.Namespace:
    """As main() parses them."""
    parser = argparse.ArgumentParser(prog="kvmlog stat")
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("guest", By.GUEST),
        ("reason,guest", By.GUEST | By.REASON),
        ("guest, reason, vcpu", By.GUEST | By.REASON | By.VCPU),
        ("reason,detail", By.REASON | By.DETAIL),
        ("return", By.RETURN),
        ("guest,guest", By.GUEST),
    ],
)
def test_by(value: str, expected: By) -> None:
    """Any subset of guest and reason, and one more."""
    assert options.by(value) == expected


def test_defaults() -> None:
    """By guest and reason, all groups, the longest total time first; by return: in the VMM."""
    assert options.query(parsed()) == Query(By.GUEST | By.REASON, "total", None, False)
    assert options.query(parsed("--by", "return")).sort == "vmm"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "reasn"), "'reasn' is nothing to group by; give some of guest, vcpu, reason"),
        (("--by", ""), "'' is nothing to group by"),
        (("--by", "guest,"), "'' is nothing to group by"),
        (("--by", "vcpu,detail"), "vcpu and detail are not counted together; give one of them"),
        (
            ("--by", "detail"),
            "a detail means something only with its reason; give reason and detail",
        ),
        (("--by", "return", "--sort", "p99"), "give count, total, vmm or paused"),
        (("--sort", "speed"), "invalid choice: 'speed'"),
        (("-i", "0"), "'0' is no interval; give 0.1 to 86,400 seconds"),
        (("-i", "nan"), "'nan' is no interval"),
        (("-i", "fast"), "'fast' is no interval"),
        (("-i", "86401"), "'86401' is no interval"),
        (("-n", "2"), "-n counts the tables of -i; give -i S too"),
        (("-i", "1", "-n", "0"), "'0': no whole number of at least 1"),
        (("--top", "0"), "'0': no whole number of at least 1"),
        (("--json", "--csv"), "not allowed with argument"),
        (("--reset", "-i", "1"), "--reset shows nothing; give it alone"),
        (("--reset", "true"), "--reset shows nothing; give it alone"),
    ],
)
def test_nonsense_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    """Status 2, and what to give instead."""
    with pytest.raises(SystemExit) as end:
        options.query(parsed(*arguments))
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), []),
        (("--json", "--", "sleep", "1"), ["--", "sleep", "1"]),
        (("--json", "sleep", "1"), ["sleep", "1"]),
        (("sleep", "--json"), ["sleep", "--json"]),
        (("--", "a", "--", "b"), ["--", "a", "--", "b"]),
    ],
)
def test_the_command_has_its_own_options(arguments: tuple[str, ...], expected: list[str]) -> None:
    """From its name on nothing is ours; the first "--" is taken off when it is run."""
    args = parsed(*arguments)
    assert args.command == expected
    assert args.json == (arguments[:1] == ("--json",))
