# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the docs: made by the program, the same each time, and shown somewhere."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.docs_pictures.__main__ import MAKERS, PICTURES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", MAKERS)
def test_a_picture_is_there_and_shown(name: str) -> None:
    """A page of the docs has it, and it is whole."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"pictures/{name}" in page.read_text(encoding="utf-8") for page in pages)
    if name.endswith(".svg"):
        root = ElementTree.fromstring((PICTURES / name).read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_no_other_pictures_are_there() -> None:
    """Each is made by one of the functions."""
    assert {path.name for path in PICTURES.iterdir()} == set(MAKERS)


def test_a_picture_is_the_same_each_time() -> None:
    """And shows the program as it is now."""
    made = MAKERS["top.svg"]()
    assert made == MAKERS["top.svg"]()
    assert isinstance(made, str)
    text = "".join(ElementTree.fromstring(made).itertext()).replace("\xa0", " ")
    for words in ("kvm-host-17", "build-runner", "budget 2%", "how long exits took", "lost 0"):
        assert words in text
