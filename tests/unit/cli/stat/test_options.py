# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `kvmlog stat`, and its messages about invalid ones."""

from __future__ import annotations

import argparse

import pytest

from kvmlog.cli.stat import command, options
from kvmlog.ring.statistics.reader import By
from kvmlog.stat.query import Query


def parsed(*arguments: str) -> argparse.Namespace:
    """Parse the arguments as main() does."""
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


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("narrow", ("narrow",)),
        ("Wide", ("wide",)),
        ("p99, min,COUNT", ("p99", "min", "count")),
        ("avg,P99.9", ("mean", "p999")),
    ],
)
def test_columns(value: str, names: tuple[str, ...]) -> None:
    """A preset, or any figures in any order, also by the names that tables and others have."""
    assert parsed("--columns", value).columns == names


def test_help_names_every_column() -> None:
    """And what the presets are."""
    parser = argparse.ArgumentParser(prog="kvmlog stat")
    command.add_arguments(parser)
    text = " ".join(parser.format_help().split())
    assert "narrow (count, total, share, mean, max; in 80 columns), wide (all)" in text
    assert "count, total, share, mean, min, p50, p90, p99, p999, max, kvm, vmm, wait, idle" in text


def test_defaults() -> None:
    """Groups are by guest and reason, all, the longest total time first.

    By return: the longest time in the VMM first.
    """
    assert options.query(parsed()) == Query(By.GUEST | By.REASON, "total", None, False)
    assert options.query(parsed("--by", "return")).sort == "vmm"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--by", "reasn"),
            "'reasn' is not a grouping (did you mean reason?); give one or more of guest, vcpu, ",
        ),
        (
            ("--columns", "cuont"),
            "'cuont' is not a column (did you mean count?); give narrow, wide, or some of count, ",
        ),
        (("--columns", "narow"), "'narow' is not a column (did you mean narrow?)"),
        (("--columns", "narrow,p99"), "'narrow' is not a column"),
        (("--columns", ""), "'' is not a column; give narrow, wide"),
        (("--columns", "avg,mean"), "the column mean stands there twice; give it once"),
        (("--columns", "count,min,p99", "--by", "return"), "groups by return have no min or p99"),
        (("--exact",), "--exact is for details; give --by reason,detail too"),
        (("--columns", "count", "--csv"), "--columns is for tables; --json and --csv have all"),
        (("--by", ""), "'' is not a grouping"),
        (("--by", "guest,"), "'' is not a grouping"),
        (("--by", "vcpu,detail"), "vcpu and detail are not counted together; give one of them"),
        (
            ("--by", "detail"),
            "a detail means something only with its reason; give reason and detail",
        ),
        (("--by", "return", "--sort", "p99"), "give count, total, vmm or paused"),
        (("--sort", "speed"), "invalid choice: 'speed'"),
        (("-i", "0"), "'0' is not an interval; give 0.1 to 86,400 seconds"),
        (("-i", "nan"), "'nan' is not an interval"),
        (("-i", "fast"), "'fast' is not an interval"),
        (("-i", "86401"), "'86401' is not an interval"),
        (("-n", "2"), "-n counts the tables of -i; give -i S too"),
        (("-i", "1", "-n", "0"), "'0' is not a whole number of at least 1"),
        (("--top", "0"), "'0' is not a whole number of at least 1"),
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
    """Words from the command's name on are its own; the first "--" is removed before it is run."""
    args = parsed(*arguments)
    assert args.command == expected
    assert args.json == (arguments[:1] == ("--json",))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--hist",), Query(By.GUEST | By.REASON, "total", octaves=True)),
        (
            ("--hist", "--by", "reason", "--halts"),
            Query(By.REASON, "total", None, True, octaves=True),
        ),
        (("--heat", "-i", "1"), Query(By.GUEST, "total", octaves=True)),
        (("--heat", "-i", "1", "--by", "vcpu"), Query(By.VCPU, "total", octaves=True)),
    ],
)
def test_distributions(arguments: tuple[str, ...], expected: Query) -> None:
    """Octaves are asked for; a heat map is of all exits unless groups are named."""
    args = parsed(*arguments)
    assert options.query(args) == expected
    assert args.heat_apart == ("--heat" in arguments and "--by" in arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--heat",), "--heat shows a line for each interval; give -i S too"),
        (("--hist", "--by", "return"), "no distribution of durations is kept by return; group by"),
        (("--hist", "--columns", "p99"), "--columns is for tables; --hist and --heat are none"),
        (("--hist", "--heat"), "not allowed with argument --hist"),
    ],
)
def test_distributions_that_there_are_not(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused with the remedy."""
    with pytest.raises(SystemExit) as error:
        options.query(parsed(*arguments))
    assert error.value.code == 2
    assert sentence in capsys.readouterr().err
