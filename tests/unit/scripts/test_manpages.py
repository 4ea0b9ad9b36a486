# SPDX-License-Identifier: GPL-2.0-or-later
"""Man pages say what --help says, and man has nothing to warn of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from kvmlog.cli.examples import EXAMPLES
from kvmlog.cli.main import COMMANDS, full_parser
from kvmlog.cli.parser import commands
from scripts import manpages

PAGES = manpages.pages()


def shown(page: str, folder: Path) -> tuple[str, str]:
    """What man prints of a page, in lines that are long enough, and its warnings."""
    path = folder / page
    path.write_text(PAGES[page], encoding="utf-8")
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={"MANWIDTH": "2000", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANROFFOPT": "-c"},
    )
    return re.sub(r".\x08", "", done.stdout), done.stderr


def test_each_command_has_a_page_that_kvmlog_1_names() -> None:
    """Neither more nor fewer."""
    names = [name for name, _, _ in COMMANDS]
    assert PAGES.keys() == {"kvmlog.1", *(f"kvmlog-{name}.1" for name in names)}
    listed = re.findall(r"^\.BR kvmlog\\-(\S+) \(1\)$", PAGES["kvmlog.1"], re.MULTILINE)
    assert listed == names


@pytest.mark.parametrize("page", sorted(PAGES))
def test_man_shows_a_page_without_a_warning(page: str, tmp_path: Path) -> None:
    """All options, their help and the examples stand there, as they are typed."""
    text, warnings = shown(page, tmp_path)
    assert warnings == ""
    if page == "kvmlog.1":
        return
    name = page.removeprefix("kvmlog-").removesuffix(".1")
    parsers = {name: parser for name, _, parser in commands(full_parser())}
    words = " ".join(text.split())
    for parser in (parsers[name], *(below for _, _, below in commands(parsers[name]))):
        for action in parser._actions:
            assert all(option in words for option in action.option_strings)
            if action.help and not commands(parser):
                expanded = parser._get_formatter()._expand_help(action)
                assert " ".join(expanded.split()) in words
    for call, _ in EXAMPLES[name]:
        assert call in words
