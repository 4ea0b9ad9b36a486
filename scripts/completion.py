# SPDX-License-Identifier: GPL-2.0-or-later
"""Print kvmlog's completion for a shell, made from the commands' own parsers.

    PYTHONPATH=... scripts/completion.py bash|zsh|fish

scripts/install calls this where it has built kvmlog; nothing of it runs when a command is typed.
bash and zsh by shtab; fish, which Debian 12's shtab does not know, by the function below.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Final

import shtab

from kvmlog.cli.main import full_parser
from kvmlog.cli.parser import commands

SHELLS: Final = ("bash", "zsh", "fish")
# Values that are files, by the name that --help gives them.
FILES: Final = frozenset(("FILE", "PATH", "SOCKET"))
# shtab's arrays of values to choose from.
CHOICES: Final = re.compile(r"^(?P<name>\w+_choices)=\((?P<words>.*)\)$", re.MULTILINE)


def script(shell: str) -> str:
    """Return the completion script for one of SHELLS."""
    parser = full_parser()
    if shell == "fish":
        return "\n".join(fish_lines(parser)) + "\n"
    for one in every_parser(parser):
        for action in one._actions:
            if action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    text = str(shtab.complete(parser, shell=shell))
    return CHOICES.sub(_one_text, text) if shell == "bash" else text


def _one_text(match: re.Match[str]) -> str:
    # shtab 1.5.5 reads the first element of the array, as a list of lines; newer ones all elements.
    words = shlex.split(match["words"])
    return f"{match['name']}=$'" + "\\n".join(words) + "'"


def every_parser(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser, and all below it."""
    yield parser
    for _, _, command in commands(parser):
        yield from every_parser(command)


def fish_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield fish's `complete` commands; sub-commands of sub-commands follow their own name."""
    yield "# SPDX-License-Identifier: GPL-2.0-or-later"
    names = [name for name, _, _ in commands(parser)]
    nowhere = f"not __fish_seen_subcommand_from {' '.join(names)}"
    yield "complete -c kvmlog -f"
    for name, text, command in commands(parser):
        yield f"complete -c kvmlog -n {quoted(nowhere)} -a {name} -d {quoted(text)}"
        # The first command counts: `kvmlog remote HOST dump` is not `kvmlog dump`.
        here = f"__fish_seen_subcommand_from {name}"
        if name != "remote":
            here += "; and not __fish_seen_subcommand_from remote"
        yield from fish_options(command, here)
        inner = [one for one, _, _ in commands(command)]
        for one, words, below in commands(command):
            none = f"{here}; and not __fish_seen_subcommand_from {' '.join(inner)}"
            yield f"complete -c kvmlog -n {quoted(none)} -a {one} -d {quoted(words)}"
            yield from fish_options(below, f"{here}; and __fish_seen_subcommand_from {one}")


def fish_options(parser: argparse.ArgumentParser, condition: str) -> Iterator[str]:
    """Yield what completes a command's own options, and arguments with a choice of values."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        parts = ["complete", "-c", "kvmlog", "-n", quoted(condition)]
        for option in action.option_strings:
            long = option.startswith("--")
            parts += ["-l" if long else "-s", option.lstrip("-")]
        if action.choices:
            parts += ["-a", quoted(" ".join(map(str, action.choices)))]
        elif not action.option_strings:
            continue
        if action.option_strings and action.nargs != 0:
            parts += ["-r"] if action.metavar in FILES else ["-x"]
        if action.metavar in FILES:
            parts.append("-F")
        if action.help:
            parts += ["-d", quoted(action.help % {**vars(action), "prog": parser.prog})]
        yield " ".join(parts)


def quoted(text: str) -> str:
    """Return the text as one word of fish's."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def main() -> int:
    """Print the script for the shell that the only argument names."""
    parser = argparse.ArgumentParser(description="Print kvmlog's completion for a shell.")
    parser.add_argument("shell", choices=SHELLS)
    sys.stdout.write(script(parser.parse_args().shell))
    return 0


if __name__ == "__main__":
    sys.exit(main())
