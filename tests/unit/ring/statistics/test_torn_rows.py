# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of statistics that are being written, and what a killed writer leaves to them."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from kvmlog.ring.statistics.reader import By, Snapshot, StatisticsReader
from kvmlog.util.errors import StatisticsError
from tests.support import statistics_race
from tests.support.forking import Child
from tests.support.scale import STATISTICS_BATCHES
from tests.support.statistics_corruption import STRUCT, element, number_at, offset, patch
from tests.support.statistics_feed import PER_REASON, Counting, counted, note

MIB = 8
KILLS = 30


def counts(snapshot: Snapshot) -> dict[tuple[object, ...], int]:
    """Return the counts of each guest and reason."""
    return {(row.guest, row.reason): row.count for row in snapshot.rows(PER_REASON)}


@pytest.mark.parametrize("kind", ["busy", "scan"])
def test_while_it_is_written_every_row_is_whole_and_none_goes_backwards(
    tmp_path: Path, kind: str
) -> None:
    """Snapshots all the time, millions of exits: sums, histograms, guests and header fit.

    Intervals, too, also where a row has changed its detail and where there is no row.
    """
    seen = 0
    # Each exit of a scan costs some ten times as much.
    batches = STATISTICS_BATCHES if kind == "busy" else STATISTICS_BATCHES // 4
    with Counting(tmp_path, MIB) as counting:
        last = counting.snapshot()
        with Child(lambda: statistics_race.write(counting, batches, kind)) as writer:
            while writer.is_running():
                now = counting.reader.snapshot()
                statistics_race.check(now)
                before, after = counts(last), counts(now)
                assert now.torn == 0
                assert now.exits >= last.exits
                assert all(after[key] >= count for key, count in before.items())
                for by in (By.REASON, PER_REASON | By.DETAIL):
                    for row in now.rows(by, last):
                        assert row.total_ns == row.count * statistics_race.value_ns(row.reason)
                seen += last.exits < now.exits
                last = now
            assert writer.wait() == 0
        # What the child still had in its cache is lost with it; the last copy may be old.
        assert counting.reader.snapshot().exits >= 0.9 * batches * statistics_race.BATCH
    assert seen > 10, "the writer was never watched at work: the race was not run"


def test_while_guests_are_forgotten_moved_and_all_is_reset_every_row_is_whole(
    tmp_path: Path,
) -> None:
    """No reader ever has to give up, and an interval never holds more than has come."""
    changes = 0
    with Counting(tmp_path, MIB) as counting:
        last = counting.snapshot()
        with Child(lambda: statistics_race.write(counting, STATISTICS_BATCHES, "churn")) as writer:
            while writer.is_running():
                now = counting.reader.snapshot()
                statistics_race.check(now)
                assert now.torn == 0
                for row in now.rows(By.REASON, last):
                    assert row.total_ns == row.count * statistics_race.value_ns(row.reason)
                    assert row.count <= now.exits
                changes += now.generation != last.generation
                last = now
            assert writer.wait() == 0
    assert changes > 10, "nothing changed its owner while it was watched: the race was not run"


def test_no_row_is_without_its_reason(tmp_path: Path) -> None:
    """Nor is one that a new reason has got from an older one's detail, while it is copied."""
    looks = 0
    with (
        Counting(tmp_path, MIB) as counting,
        Child(lambda: statistics_race.write_new(counting, STATISTICS_BATCHES)) as writer,
    ):
        while writer.is_running():
            statistics_race.check(counting.reader.snapshot())
            looks += 1
        assert writer.wait() == 0
    assert looks > 10, "the writer was never watched at work: the race was not run"


@pytest.mark.parametrize("where", ["reason", "row", "guest", "header", "generation"])
def test_a_writer_that_was_only_interrupted_is_waited_for(tmp_path: Path, where: str) -> None:
    """One that does not go on is not waited for for ever: what it was writing is left out."""
    with Counting(tmp_path) as counting:
        counting.feed(note(1, 100), statistics_race.calm())
        whole = counting.snapshot()
        at = offset(where if where == "generation" else "sequence")
        if where in ("reason", "row", "guest"):
            at = element(counting.path, where) + offset("sequence", f"{STRUCT}_{where}")
        sequence = number_at(counting.path, at)
        patch(counting.path, at, sequence + 1)
        if where == "generation":
            with pytest.raises(StatisticsError, match="try again, or restart the bridge"):
                counting.reader.snapshot()
        else:
            assert counting.reader.snapshot().torn == 1
        goes_on = threading.Timer(0.02, patch, (counting.path, at, sequence + 2))
        goes_on.start()
        now = counting.reader.snapshot()
        goes_on.join()
    statistics_race.check(now)
    assert (now.torn, now.exits) == (0, whole.exits)
    assert now.rows(PER_REASON | By.VCPU) == whole.rows(PER_REASON | By.VCPU)


def kill_at_work(folder: Path, kind: str, after_s: float) -> None:
    """A writer that goes on with what is there, killed so long after it has begun to count."""
    ready, started = os.pipe()

    def work() -> None:
        with Counting(folder, MIB) as counting:
            counting.feed(statistics_race.calm())
            os.write(started, b"!")
            statistics_race.write(counting, 10**9, kind)

    with Child(work) as writer:
        assert os.read(ready, 1) == b"!"
        time.sleep(after_s)
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    os.close(ready)
    os.close(started)


@pytest.mark.parametrize("kind", ["calm", "busy", "churn"])
def test_after_a_kill_the_statistics_go_on_or_begin_anew_and_say_so(
    tmp_path: Path, kind: str
) -> None:
    """Killed again and again: readers see whole rows, the next writer none that do not fit."""
    chance = random.Random(kind)
    went_on = 0
    for _ in range(KILLS):
        kill_at_work(tmp_path, kind, chance.uniform(0, 0.01))
        left = None
        try:
            with StatisticsReader(tmp_path / "ring.statistics") as reader:
                left = reader.snapshot()
        except StatisticsError as error:
            assert "restart the bridge" in str(error)  # noqa: PT017 - it may raise, or not
        if left is not None and not left.torn:
            statistics_race.check(left)
        with Counting(tmp_path, MIB) as counting:
            now = counting.snapshot()
            statistics_race.check(now)
            assert now.exits == counted(now)
            if counting.writer.continued:
                assert left is not None
                assert (now.statistics_id, now.exits) == (left.statistics_id, left.exits)
                assert now.rows(PER_REASON | By.VCPU) == left.rows(PER_REASON | By.VCPU)
            else:
                assert counting.writer.restart_reason == "they were left in the middle of an update"
                assert (now.exits, now.guests) == (0, {})
            went_on += counting.writer.continued
    assert kind != "calm" or went_on > 0
