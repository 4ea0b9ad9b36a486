# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of the kernel, as the sentence that helps."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kvmlog.sources.base import SourceGoneError
from kvmlog.sources.kmod import source


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("live", source.ELSEWHERE),
        # For a moment while it is loaded or unloaded.
        ("coming", source.ABSENT),
        ("going", source.ABSENT),
        (None, source.ABSENT),
    ],
)
def test_a_family_that_is_not_seen_is_not_always_a_module_that_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None, sentence: str
) -> None:
    """Another network namespace than the host's has no family, whatever is loaded."""
    initstate = tmp_path / "initstate"
    if state is not None:
        initstate.write_text(f"{state}\n")
    monkeypatch.setattr(source, "INITSTATE", str(initstate))
    error = source._source_error(errno.ENOENT, os.strerror(errno.ENOENT))
    assert isinstance(error, SourceGoneError)
    assert str(error) == sentence
    assert str(source._source_error(errno.ENOENT, "No such CPU")) == (
        "the kernel module refused: No such CPU"
    )
