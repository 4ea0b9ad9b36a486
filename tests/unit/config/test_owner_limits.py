# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of owners, as kvmlog.toml has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmlog.config import owner_limits
from kvmlog.config.keys import RefusedValueError
from kvmlog.config.load import Config, ConfigError
from kvmlog.config.owner_limits import OwnerLimits


def test_each_owner_has_its_limits() -> None:
    """Some or all of them, in any order."""
    found = owner_limits.parse(
        ["c1a2 cores=20 ram_mib=51200 instances=10", "c1a3  instances=0", "* cores=2147483647"]
    )
    assert found == {
        "c1a2": OwnerLimits(20, 51200, 10),
        "c1a3": OwnerLimits(instances=0),
        "*": OwnerLimits(cores=2**31 - 1),
    }


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["c1a2"], "'c1a2': give an owner and limits, as in \"PROJECT cores=20"),
        ([""], "'': give an owner and limits"),
        (["cores=20"], "'cores=20': give an owner and limits"),
        (["cores=20 ram_mib=1"], "give an owner and limits"),
        (["c1a2 cpus=20"], "'cpus=20': give each of cores, ram_mib, instances at most once"),
        (["c1a2 cores=-1"], "'cores=-1': give each of"),
        (["c1a2 cores=1.5"], "'cores=1.5': give each of"),
        (["c1a2 cores="], "'cores=': give each of"),
        (["c1a2 cores"], "'cores': give each of"),
        (["c1a2 cores=1 cores=2"], "'cores=2': give each of"),
        (["c1a2 cores=2147483648"], "=0 to =2147483647"),
        (["c1a2 cores=9" + "9" * 5000], "=0 to =2147483647"),
        (["c1a2 cores=²"], "give each of"),
        (["c1a2 cores=1", "c1a2 cores=2"], "c1a2 is there twice; give it once"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(lines: list[str], sentence: str) -> None:
    """The sentence has the word that is wrong."""
    with pytest.raises(RefusedValueError) as caught:
        owner_limits.parse(lines)
    assert sentence in str(caught.value)


def test_the_file_is_checked(tmp_path: Path) -> None:
    """`kvmlog config check` says which key it is."""
    path = tmp_path / "kvmlog.toml"
    path.write_text('[limits]\nowners = ["c1a2 cpus=20"]\n', encoding="ascii")
    with pytest.raises(ConfigError) as caught:
        Config.load(str(path))
    assert "limits.owners" in str(caught.value)
