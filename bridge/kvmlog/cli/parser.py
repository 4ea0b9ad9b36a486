# SPDX-License-Identifier: GPL-2.0-or-later
"""The parser of the command line: whatever is not known is refused with what was probably meant."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

_NEAR_ENOUGH: Final = 0.62
_SHOWN_CHARACTERS: Final = 64

# Commands of other tools, and what they are called here.
MEANT: Final[Mapping[str, str]] = {
    "convert": "export",
    "daemon": "bridge",
    "disable": "switch off",
    "domstats": "vms",
    "enable": "switch on",
    "follow": "tail",
    "list": "guests",
    "htop": "top",
    "live": "top",
    "log": "dump",
    "logs": "dump",
    "ls": "guests",
    "off": "switch off",
    "on": "switch on",
    "ps": "guests",
    "reasons": "explain",
    "server": "rpc",
    "sql": "query",
    "start": "switch on",
    "stop": "switch off",
    "trace": "switch on",
    "virt-top": "vms -i 10",
    "watch": "top",
}
# Commands that there are for this host only, and what shows the same of another.
_MEANT_THERE: Final[Mapping[str, str]] = {
    "history": "events",
    "live": "stat -i 1",
    "top": "stat -i 1",
    "vmstats": "vms",
    "watch": "stat -i 1",
}


class Parser(argparse.ArgumentParser):
    """argparse's, for the command and each of its sub-commands.

    on_error: takes the message for a wrong option in place of argparse, and does not return.
    """

    on_error: Callable[[str], NoReturn] | None = None

    def error(self, message: str) -> NoReturn:
        """End the process for a wrong option."""
        if self.on_error is not None:
            self.on_error(message)
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a command, or a value that is none of those to choose from."""
        if action.choices is None or value in action.choices:
            return
        word, names = str(value), [str(one) for one in action.choices]
        shown = repr(word if len(word) <= _SHOWN_CHARACTERS else word[:_SHOWN_CHARACTERS] + "...")
        if isinstance(action, argparse._SubParsersAction):
            # Sub-parsers know their full names: "kvmlog remote HOST stat".
            known = [
                found
                for table in (MEANT, _MEANT_THERE)
                if (found := table.get(word.lower(), "").split(" ", 1))[0] in names
            ]
            meant = known[0] if known else [nearest(word, names)]
            suggestion = ""
            if meant[0]:
                full = " ".join((action.choices[meant[0]].prog, *meant[1:]))
                suggestion = f" did you mean `{full}`?"
            raise argparse.ArgumentError(
                None, f"there is no command {shown};{suggestion} `{self.prog} --help` lists them"
            )
        near = nearest(word, names)
        suggestion = f"; did you mean {near}?" if near else ""
        raise argparse.ArgumentError(
            action, f"invalid choice: {shown} (choose from {', '.join(names)}){suggestion}"
        )

    def near_options(self, words: Iterable[str]) -> list[str]:
        """Return the options that unknown ones may have been meant for, each once."""
        known = list(dict.fromkeys(self._options()))
        found = (nearest(word.partition("=")[0], known) for word in words if word.startswith("-"))
        return list(dict.fromkeys(one for one in found if one))

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._options()


def commands(parser: argparse.ArgumentParser) -> list[tuple[str, str, argparse.ArgumentParser]]:
    """Return the sub-commands: name, help, parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            return [(name, helps.get(name, ""), one) for name, one in action.choices.items()]
    return []


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word that was probably meant; "" where none is near."""
    # Without the dashes: what all options begin with makes none of them near.
    by_lower = {one.lower().lstrip("-"): one for one in words}
    asked = word[:_SHOWN_CHARACTERS].lower().lstrip("-")
    close = difflib.get_close_matches(asked, by_lower, n=1, cutoff=_NEAR_ENOUGH)
    return by_lower[close[0]] if close else ""
