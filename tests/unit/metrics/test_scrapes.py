# SPDX-License-Identifier: GPL-2.0-or-later
"""One scrape is made for all who wait for it, and none is older than what asked for it."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvmlog.metrics.scrapes import Scrapes


class Counted(Collector):
    """A collector that counts how often it is asked, and waits to be let on."""

    def __init__(self) -> None:
        self.times = 0
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()

    def collect(self) -> Iterator[Metric]:
        self.times += 1
        self.begun.set()
        self.goes_on.wait()
        yield GaugeMetricFamily("times", "How often.", self.times)


def scrapes() -> tuple[Counted, Scrapes]:
    """A collector, and the scrapes of it."""
    counted = Counted()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(counted)
    return counted, Scrapes(registry)


def test_each_question_has_a_newer_scrape() -> None:
    """What was made before it came is not for it."""
    counted, found = scrapes()
    bodies = [found.get(generate_latest, False, time.monotonic()) for _ in range(3)]
    assert counted.times == 3
    assert [body.split()[-1] for body in bodies] == [b"1.0", b"2.0", b"3.0"]


def test_all_who_waited_share_one() -> None:
    """The first of twenty who came while one was made has another made, for all of them."""
    counted, found = scrapes()
    counted.goes_on.clear()
    bodies: list[bytes] = []

    def ask() -> None:
        bodies.append(found.get(generate_latest, False, time.monotonic()))

    first = threading.Thread(target=ask)
    first.start()
    counted.begun.wait()
    asked_s = time.monotonic()
    others = [
        threading.Thread(target=lambda: bodies.append(found.get(generate_latest, False, asked_s)))
        for _ in range(20)
    ]
    for one in others:
        one.start()
    counted.goes_on.set()
    for one in (first, *others):
        one.join()
    assert counted.times == 2
    assert sorted(body.split()[-1] for body in bodies) == [b"1.0"] + [b"2.0"] * 20


def test_formats_are_apart_and_forgotten() -> None:
    """A packed one is the same when unpacked; old ones take no memory."""
    counted, found = scrapes()
    asked_s = time.monotonic()
    plain = found.get(generate_latest, False, asked_s)
    packed = found.get(generate_latest, True, asked_s)
    assert counted.times == 2
    assert gzip.decompress(packed).replace(b"2.0", b"1.0") == plain
    assert len(found._made) == 2
    found.tidy()
    assert len(found._made) == 2
    found._made = {key: one._replace(began_s=asked_s - 60) for key, one in found._made.items()}
    found.tidy()
    assert found._made == {}
