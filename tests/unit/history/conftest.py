# SPDX-License-Identifier: GPL-2.0-or-later
"""A history for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.history_book import Book


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """A history that begins."""
    with Book(tmp_path) as made:
        yield made
