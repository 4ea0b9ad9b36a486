# SPDX-License-Identifier: GPL-2.0-or-later
"""Write kvmlog's man pages, made from the commands' own parsers: the text is that of --help.

    PYTHONPATH=... scripts/manpages.py FOLDER

kvmlog.1, and kvmlog-COMMAND.1 for each command; what docs/kvmlog.1 says beside the commands (files,
exit status) is taken from there, where a line `.\\" COMMANDS` stands for them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from kvmlog.cli.examples import EXAMPLES
from kvmlog.cli.main import COMMANDS, full_parser
from kvmlog.cli.parser import commands

ROOT: Final = Path(__file__).resolve().parent.parent
FRAME: Final = ROOT / "docs" / "kvmlog.1"
PLACE: Final = '.\\" COMMANDS\n'
LICENSE: Final = '.\\" SPDX-License-Identifier: GPL-2.0-or-later\n'


def pages() -> dict[str, str]:
    """Return all pages by the names of their files."""
    parser = full_parser()
    found = {"kvmlog.1": FRAME.read_text(encoding="utf-8").replace(PLACE, command_list())}
    for name, text, command in commands(parser):
        found[f"kvmlog-{name}.1"] = page(name, text, command)
    return found


def command_list() -> str:
    """Return the commands with what each does, and the name of its page."""
    lines = []
    for name, _, text in COMMANDS:
        lines += [".TP", f".BR kvmlog\\-{escaped(name)} (1)", sentence(text)]
    return "\n".join(lines) + "\n"


def page(name: str, text: str, command: argparse.ArgumentParser) -> str:
    """Return the page of a command, those of its own sub-commands (remote dump) included."""
    lines = [heading(f"kvmlog-{name}"), ".SH NAME", f"kvmlog\\-{escaped(name)} \\- {escaped(text)}"]
    lines += [".SH SYNOPSIS", *synopsis(command)]
    lines += [".SH DESCRIPTION", sentence(command.description or text), *options(command)]
    for inner, words, below in commands(command):
        lines += [f".SH {escaped(inner.upper())}", sentence(words), *synopsis(below)]
        lines += options(below, level=".SS")
    lines += notes(command)
    if EXAMPLES.get(name):
        lines.append(".SH EXAMPLES")
        for call, what in EXAMPLES[name]:
            lines += [".TP", escaped(what), bold(call)]
    lines += [".SH SEE ALSO", ".BR kvmlog (1),", ".I /usr/share/doc/kvmlog/cli.md"]
    return LICENSE + "\n".join(lines) + "\n"


def heading(title: str) -> str:
    """Return what begins a page, with date and version of docs/kvmlog.1; nothing is justified."""
    frame = FRAME.read_text(encoding="utf-8")
    found = re.search(r"^\.TH KVMLOG (.*)$", frame, re.MULTILINE)
    assert found is not None
    return f".TH {escaped(title.upper())} {found[1]}\n.ad l\n.nh"


def synopsis(parser: argparse.ArgumentParser) -> list[str]:
    """Return argparse's usage line as paragraphs of a page."""
    usage = parser.format_usage().removeprefix("usage: ")
    words = " ".join(usage.split())
    rest = words.removeprefix(parser.prog).strip()
    return [bold(parser.prog), escaped(rest)] if rest else [bold(parser.prog)]


def options(parser: argparse.ArgumentParser, level: str = ".SH") -> Iterator[str]:
    """Yield the arguments and options with their help."""
    shown = [
        one
        for one in parser._actions
        if one.help is not argparse.SUPPRESS and not isinstance(one, argparse._SubParsersAction)
    ]
    for title, actions in (
        ("ARGUMENTS", [one for one in shown if not one.option_strings]),
        ("OPTIONS", [one for one in shown if one.option_strings]),
    ):
        if actions:
            yield f"{level} {title}"
        for action in actions:
            yield ".TP"
            yield ", ".join(_named(parser, action))
            yield escaped(parser._get_formatter()._expand_help(action) if action.help else "")


def _named(parser: argparse.ArgumentParser, action: argparse.Action) -> Sequence[str]:
    """Return how an argument is written: \\fB\\-o\\fR \\fIFILE\\fR."""
    values = parser._get_formatter()._format_args(action, str(action.metavar or action.dest))
    if action.metavar is None and action.choices:
        values = "|".join(str(one) for one in action.choices)
    value = f"\\fI{escaped(values)}\\fR" if action.nargs != 0 else ""
    if not action.option_strings:
        return [value]
    return [f"\\fB{escaped(one)}\\fR {value}".rstrip() for one in action.option_strings]


def notes(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what --help says below the options, examples left out, as it stands there."""
    text = (parser.epilog or "").partition("examples:\n")[0].strip()
    if text:
        yield ".SH NOTES"
        yield ".nf"
        yield from (escaped(line) for line in text.splitlines())
        yield ".fi"


def sentence(text: str) -> str:
    """Return a text that ends with a full stop."""
    whole = " ".join(text.split())
    whole = whole[:1].upper() + whole[1:]
    return escaped(whole if not whole or whole.endswith((".", "?", ":")) else f"{whole}.")


def bold(text: str) -> str:
    """Return a text in bold, on a line of its own."""
    return f"\\fB{escaped(text)}\\fR"


def escaped(text: str) -> str:
    """Return a text that troff takes as it is: no line of it is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def main() -> int:
    """Write all pages into the folder that the only argument names."""
    parser = argparse.ArgumentParser(description="Write kvmlog's man pages.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
