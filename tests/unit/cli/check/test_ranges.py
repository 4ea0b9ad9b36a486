# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of thresholds are those of the Monitoring Plugins; performance data is theirs, too."""

from __future__ import annotations

import locale
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmlog.cli.check.ranges import Threshold, number, perfdata
from kvmlog.util.errors import UsageError

CHECK_CLUSTER = Path("/usr/lib/nagios/plugins/check_cluster")
# The table of the guidelines, "Threshold and Ranges": alerts where ...
TABLE = [
    ("10", lambda value: value < 0 or value > 10),
    ("10:", lambda value: value < 10),
    ("~:10", lambda value: value > 10),
    ("10:20", lambda value: value < 10 or value > 20),
    ("@10:20", lambda value: 10 <= value <= 20),
]
AROUND = (-1e9, -0.001, 0, 0.001, 9.999, 10, 10.001, 15, 19.999, 20, 20.001, 1e12)


@pytest.mark.parametrize(("text", "alerts"), TABLE, ids=[text for text, _ in TABLE])
def test_the_guidelines_table_holds(text: str, alerts: object) -> None:
    """Each example of the guidelines, at and beside its bounds."""
    assert callable(alerts)
    threshold = Threshold(text, "-w")
    assert [threshold.alerts(value) for value in AROUND] == [alerts(value) for value in AROUND]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nan", "NaN:", "inf", "~", "1e3", "1e999", "0x10", "--1", "1,5", "1;2", "5 %"),
        *(":", "1:2:3", "@", "@@1", "a:b", "1_000", "٣", "~:~", "10~", "\n", "1" * 400),
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    """It is refused in a sentence with the option, in whatever way nagiosplugin would take it."""
    if text == ":":
        # By the guidelines from zero on.
        assert Threshold(text, "-w").alerts(-1)
        return
    with pytest.raises(UsageError, match=r"^-c .*: is no range; give MAX, MIN:"):
        Threshold(text, "-c")


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    """It is refused in a sentence; at equal ends it is a range of one value."""
    with pytest.raises(UsageError, match=r"^-w 20:10: its end is below its start$"):
        Threshold("20:10", "-w")
    with pytest.raises(UsageError):
        Threshold("-5", "-w")  # from 0 to -5
    assert [Threshold("@7:7", "-w").alerts(value) for value in (6, 7, 8)] == [False, True, False]


@pytest.mark.skipif(not CHECK_CLUSTER.exists(), reason="install monitoring-plugins-basic")
@pytest.mark.parametrize(
    "text",
    [
        *("0", "1", "3", "0:", "2:", "~:0", "~:2", "1:3", "2:2", "@0", "@0:0", "@1:2", "@2:"),
        *("@~:1", "-3:2", "~:-1", "@-5:-1", "1.5", "1.5:", "@0.5:1.5", ":2", "0:0"),
    ],
)
def test_another_plugin_reads_the_same_range(text: str) -> None:
    """check_cluster, which counts services that are not OK, alerts at the same counts."""
    threshold = Threshold(text, "-c")
    for bad in range(5):
        data = ",".join(["2"] * bad + ["0"] * (5 - bad))
        command = [str(CHECK_CLUSTER), "-s", "-d", data, f"-c{text}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 2), done.stdout
        assert (done.returncode == 2) is threshold.alerts(bad), (text, bad, done.stdout)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_have_a_point_and_no_exponent(value: float) -> None:
    """They are of the class [-0-9.], as the guidelines have it, and within a millionth."""
    text = number(value)
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)
    assert float(text) == pytest.approx(value, rel=1e-6, abs=1e-6)


@given(st.text(max_size=300))
def test_labels_are_quoted_and_close_their_quotes(label: str) -> None:
    """What stands between the quotes has none, and no equals sign, whatever a VM is called."""
    found = perfdata(label, 1.5, "ms", Threshold("10", "-w"), None, 0)
    match = re.fullmatch(r"'([^'=]{1,128})'=1\.5ms;10;;0", found, re.DOTALL)
    assert match, found


def test_a_locale_with_commas_changes_nothing() -> None:
    """Performance data has points in German, too, where this machine has that locale."""
    before = locale.setlocale(locale.LC_ALL)
    names = [name for name in ("de_DE.UTF-8", "fr_FR.UTF-8") if shutil.which("locale")]
    try:
        for name in names:
            try:
                locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
        assert perfdata("a b", 0.25, "%") == "'a b'=0.25%"
    finally:
        locale.setlocale(locale.LC_ALL, before)
