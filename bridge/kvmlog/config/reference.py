# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema as text: the commented default file, and the tables of docs/operations.md."""

from __future__ import annotations

import json
import textwrap
from typing import Any, Final

from kvmlog.config.keys import Key
from kvmlog.config.schema.sections import KEYS, SECTIONS

_HEAD: Final = """\
# kvmlog: configuration of the services kvmlog-bridge, kvmlog-rpc, kvmlog-vmstats, kvmlog-history,
# kvmlog-notify and kvmlog-metrics, and of kvmlog fleet serve (and of `kvmlog bridge`, `kvmlog rpc`
# and so on, whose options go before what stands here).
# Each key is shown with its default, commented out. `kvmlog config check` reports all problems,
# `kvmlog config show` the values in effect. `systemctl reload` applies the keys that say so, a
# restart applies all.
"""
_WIDTH: Final = 96


def toml_value(value: Any) -> str:
    """Format a value as TOML."""
    if isinstance(value, str):
        # JSON's strings are TOML's, as long as nothing has to be escaped by surrogates.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    return repr(value)


def remarks(one: Key) -> list[str]:
    """Return what a key's help does not say: its choices, its bounds, whether reload applies it."""
    words = []
    if one.choices:
        words.append("one of " + ", ".join(one.choices))
    if one.bounds():
        words.append(one.bounds())
    if one.live:
        words.append("applied by reload")
    return words


def default_file() -> str:
    """Return the default file: every key with its default, commented out."""
    parts = [_HEAD]
    for section, kind in SECTIONS.items():
        parts.append(f"\n# {kind.__doc__}\n[{section}]\n")
        for one in _keys(section):
            words = "; ".join([one.help, *remarks(one)])
            for line in textwrap.wrap(f"{words[0].upper()}{words[1:]}.", _WIDTH):
                parts.append(f"# {line}\n")
            parts.append(f"#{one.name} = {toml_value(one.default)}\n")
    return "".join(parts)


def reference() -> str:
    """Return the keys as Markdown tables."""
    parts = []
    for section, kind in SECTIONS.items():
        parts.append(f"`[{section}]` {kind.__doc__}\n\n")
        parts.append("| Key | Default | Option | What |\n|---|---|---|---|\n")
        for one in _keys(section):
            words = "; ".join([one.help, *remarks(one)]).replace("|", "\\|")
            option = f"`{one.option}`" if one.option else ""
            parts.append(f"| `{one.name}` | `{toml_value(one.default)}` | {option} | {words} |\n")
        parts.append("\n")
    return "".join(parts)


def _keys(section: str) -> list[Key]:
    return [one for one in KEYS.values() if one.section == section]


if __name__ == "__main__":
    print(reference().strip())
