# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus scrapes a real `kvmlog metrics`: rules fire, the dashboard has data."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support import vmstats_samples as samples
from tests.support.certificates import Authority
from tests.support.metrics_host import FIRST_PID, MetricsHost, guest, metrics_host, uuid_of
from tests.support.prometheus import (
    PROGRAMS,
    ROOT,
    RULES,
    Prometheus,
    needs_prometheus,
    prometheus,
    promtool,
)
from tests.support.statistics_feed import exits, note
from tests.support.users import as_root

pytestmark = [needs_prometheus, as_root]

SECOND = 10**9
DASHBOARD = json.loads((RULES / "dashboard.json").read_text())
SCHEMA = ROOT / "tests/data/prometheus/grafana-dashboard.json"
TESTED_RULES = ROOT / "tests/data/prometheus/rules-test.yml"


def feed(host: MetricsHost, turn: int) -> None:
    """Let some time pass on the host: exits of two VMs, and what they use."""
    for number in (1, 2):
        host.counting.feed(
            exits(50 * number, guest=number, reason=0x7B, total_ns=20_000_000, user_ns=15_000_000),
            exits(10, guest=number, reason=0x400, total_ns=9_000, delay_kernel_us=3),
            exits(20, guest=number, reason=0x78, total_ns=3_000_000, halt_ns=2_900_000),
        )
    host.counting.writer.flush()
    more = turn * SECOND
    cpu = samples.cpu()
    vcpus = tuple(
        replace(one, time_ns=(one.time_ns or 0) + more, delay_ns=(one.delay_ns or 0) + more // 3)
        for one in cpu.vcpus
    )
    blocks = tuple(
        replace(
            one,
            read_requests=(one.read_requests or 0) + 10 * turn,
            read_time_ns=(one.read_time_ns or 0) + more // 10,
        )
        for one in samples.blocks()
    )
    web1 = samples.vm(cpu=replace(cpu, vcpus=vcpus), blocks=blocks)
    hung = samples.hung_vm(uuid=uuid_of(2), name="db1", pid=FIRST_PID + 2)
    host.write_vms(replace(samples.snapshot(), vms=(web1, hung)))


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes with TLS and a token, while exits come."""
    folder = tmp_path_factory.mktemp("scraped")
    authority = Authority(folder)
    certificate, key = authority.issue("server")
    tokens = folder / "tokens"
    with metrics_host(folder) as host:
        host.list_guests(
            guest(FIRST_PID + 1, "web1", samples.WEB1), guest(FIRST_PID + 2, "db1", uuid_of(2))
        )
        host.counting.feed(note(1, FIRST_PID + 1), note(2, FIRST_PID + 2))
        feed(host, 0)
        token = host.new_token(tokens)
        options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
        options += ["--token-file", str(tokens)]
        with host.serving(*options) as served:
            scrape = (
                "  scheme: https\n"
                f"  tls_config: {{ca_file: {authority.certificate}}}\n"
                f"  authorization: {{credentials: {token}}}\n"
            )
            done = threading.Event()

            def go_on() -> None:
                turn = 0
                while not done.wait(0.5):
                    turn += 1
                    feed(host, turn)

            feeding = threading.Thread(target=go_on)
            feeding.start()
            try:
                with prometheus(folder / "prometheus", scrape, served.port) as server:
                    server.until(lambda: bool(server.query("up == 1")), "a scrape")
                    server.until(
                        lambda: bool(server.query("rate(kvmlog_exits_total[20s]) > 0")), "a rate"
                    )
                    yield server
            finally:
                done.set()
                feeding.join()


def test_all_targets_are_up(scraped: Prometheus) -> None:
    """The scrape has no error, no duplicate, and no sample left out."""
    (target,) = scraped.api("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert "duplicate" not in scraped.log()


def expressions() -> list[tuple[str, str]]:
    """Title and query of each target of the dashboard, and the queries of its variables."""
    found = [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]
    for one in DASHBOARD["templating"]["list"]:
        if one["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", one["definition"])
            assert match
            found.append((one["name"], f"count by ({match[2]}) ({match[1]})"))
    return found


@pytest.mark.parametrize(("title", "expression"), expressions())
def test_every_query_of_the_dashboard_returns_data(
    scraped: Prometheus, title: str, expression: str
) -> None:
    """Each has some with all hosts and VMs selected, over the last seconds."""
    for variable, value in (("$host", ".*"), ("$vm", ".*"), ("$__rate_interval", "20s")):
        expression = expression.replace(variable, value)
    assert "$" not in expression
    scraped.until(lambda: bool(scraped.query(expression)), f"{title}: {expression}")


def test_every_recorded_series_is_there(scraped: Prometheus) -> None:
    """Each recording rule has been evaluated, without an error, to something."""

    def recorded() -> dict[str, Any]:
        groups = scraped.api("rules", type="record")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    assert len(recorded()) == 12
    # Nothing was seen by a source here: there is no part of it.
    for name in recorded().keys() - {"host:kvmlog_lost_exits:ratio_rate5m"}:
        scraped.until(lambda name=name: bool(scraped.query(name)), name)  # type: ignore[misc]
    assert {rule["lastError"] for rule in recorded().values() if "lastError" in rule} == set()


@pytest.mark.parametrize(
    ("alert", "labels"),
    [
        ("KvmlogBridgeDown", {"part": "bridge"}),
        ("VmDoesNotAnswer", {"domain": "db1"}),
        ("VmWaitsForCpu", {"domain": "web1"}),
        ("VmSlowExits", {"name": "web1"}),
        ("VmTimeInVmm", {"name": "db1", "spent": "vmm"}),
    ],
)
def test_an_alert_fires(scraped: Prometheus, alert: str, labels: dict[str, str]) -> None:
    """It does for what is wrong on this host, and says where."""

    def firing() -> bool:
        return any(
            one["state"] == "firing"
            and one["labels"]["alertname"] == alert
            and labels.items() <= one["labels"].items()
            for one in scraped.api("alerts")["alerts"]
        )

    scraped.until(firing, alert)


def test_nothing_else_fires(scraped: Prometheus) -> None:
    """What is right here has no alert."""
    found = {one["labels"]["alertname"] for one in scraped.api("alerts")["alerts"]}
    right = {"KvmlogMetricsDown", "KvmlogExitsLost", "KvmlogRecordsLost", "KvmlogSeriesLeftOut"}
    assert (
        found & (right | {"KvmlogCollectorDown", "VmExitStorm", "KvmlogStoppedByBudget"}) == set()
    )


def test_promtool_has_nothing_to_say() -> None:
    """Rules, and configurations of shards and of the server above them, are right."""
    for name in ("recording.yml", "alerts.yml"):
        done = promtool("check", "rules", f"docs/prometheus/{name}")
        assert done.returncode == 0, done.stdout
    for name in ("prometheus.yml", "federation.yml"):
        done = promtool("check", "config", "--syntax-only", f"docs/prometheus/{name}")
        assert done.returncode == 0, done.stdout


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """promtool tests them with samples of hours in no time; each alert is in it."""
    done = promtool("test", "rules", str(TESTED_RULES))
    assert done.returncode == 0, done.stdout
    alerts = set(re.findall(r"alert: (\w+)", (RULES / "alerts.yml").read_text()))
    assert set(re.findall(r"alertname: (\w+)", TESTED_RULES.read_text())) == alerts


def test_promtool_finds_our_text_good(tmp_path: Path) -> None:
    """Names, types and help of all families are as promtool wants them, but for inovex' own."""
    with metrics_host(tmp_path) as host:
        host.list_guests(guest(FIRST_PID + 1, "web1", samples.WEB1))
        host.counting.feed(note(1, FIRST_PID + 1))
        feed(host, 1)
        with host.serving() as served:
            text = served.text()
    found = promtool_metrics(text)
    assert [line for line in found if "kvmlog" in line] == []


def promtool_metrics(text: str) -> list[str]:
    """Return what `promtool check metrics` says of a scrape."""
    done = subprocess.run(
        [str(PROGRAMS / "promtool"), "check", "metrics"],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def test_the_dashboard_is_one() -> None:
    """It has what Grafana needs of a dashboard, by the schema; panels do not overlap."""
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(DASHBOARD)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert cells & taken == set(), panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
