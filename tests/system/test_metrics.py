# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog metrics` as a process: what it serves, to whom, and that nothing can keep it from it."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.support import vmstats_samples as samples
from tests.support.bridge_process import kvmlog, running_bridge, until, without_module
from tests.support.certificates import Authority
from tests.support.json_process import write_vms
from tests.support.metrics_host import FIRST_PID, MetricsHost, guest, metrics_host, uuid_of
from tests.support.statistics_feed import exits, note
from tests.support.users import MEMBER_UID, NOBODY, as_root, run_as

pytestmark = as_root

OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[MetricsHost]:
    """A host with web1, whose exits are counted, and db1, which is shut off."""
    tmp_path.chmod(0o755)
    with metrics_host(tmp_path) as found:
        found.list_guests(guest(FIRST_PID + 1, "web1", samples.WEB1))
        found.counting.feed(note(1, FIRST_PID + 1), exits(7, reason=0x7B, total_ns=20_000))
        found.counting.writer.flush()
        found.write_vms(samples.snapshot())
        yield found


def values(text: str, name: str) -> dict[str, float]:
    """Samples of a name in a scrape, by their labels as they stand there."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_text_and_openmetrics_by_negotiation(host: MetricsHost) -> None:
    """Each is complete, both have the same samples, and both can be packed."""
    with host.serving():
        status, headers, text = host.get()
        assert (status, headers.get_content_type()) == (200, "text/plain")
        _, headers, om = host.get(headers={"Accept": OPENMETRICS})
        assert headers.get_content_type() == "application/openmetrics-text"
        assert om.endswith(b"# EOF\n")
        _, headers, packed = host.get(headers={"Accept-Encoding": "br;q=1, gzip;q=0.8"})
        assert headers["Content-Encoding"] == "gzip"
        assert b"kvmlog_exits_total" in gzip.decompress(packed)
        _, headers, body = host.get(headers={"Accept-Encoding": "gzip;q=0"})
        assert headers["Content-Encoding"] is None
        assert b"kvmlog_exits_total" in body

    def steady(text: str, parse: object) -> set[tuple[str, str]]:
        assert callable(parse)
        return {
            (one.name, str(sorted(one.labels.items())))
            for family in parse(text)
            for one in family.samples
        }

    assert steady(text.decode(), plain) == steady(om.decode(), openmetrics)
    assert len(steady(text.decode(), plain)) > 100


def test_exits_are_those_of_kvmlog_stat(host: MetricsHost) -> None:
    """A scrape tells what the statistics hold now, without asking anybody."""
    labels = f'isa="svm",name="web1",reason="io",uuid="{samples.WEB1}"'
    with host.serving():
        assert values(host.text(), "kvmlog_exits_total") == {labels: 7}
        host.counting.feed(exits(5, reason=0x7B, total_ns=1_000))
        host.counting.writer.flush()
        assert values(host.text(), "kvmlog_exits_total") == {labels: 12}
        done = kvmlog("stat", "--json", "--ring", str(host.folder / "ring"))
        assert '"count": 12' in done.stdout


def test_a_vm_that_left_has_no_series(host: MetricsHost) -> None:
    """Its exits go, and so does what it used."""
    with host.serving():
        assert 'name="web1"' in host.text()
        ended = replace(guest(FIRST_PID + 1, "web1", samples.WEB1), ended_realtime_ns=5)
        host.list_guests(ended)
        host.write_vms(replace(samples.snapshot(), vms=(samples.off_vm(),)))
        text = host.text()
        assert "web1" not in text
        assert 'domain="db1"' in text


def test_missing_and_hostile_files_keep_no_scrape_waiting(host: MetricsHost) -> None:
    """Fifos and rubbish in place of each file: kvmlog_up says so, and the log says why once."""
    with host.serving():
        for name in ("ring", "ring.statistics", "ring.guests", "vms"):
            (host.folder / name).unlink()
            os.mkfifo(host.folder / name)
        for _ in range(2):
            text = host.text()
            up = values(text, "kvmlog_up")
            assert up['part="ring"'] == up['part="bridge"'] == 0
            assert values(text, "libvirt_up") == {"": 0}
            assert values(text, "kvmlog_tracing") == {"": 0}
        for name in ("ring", "ring.statistics", "vms"):
            (host.folder / name).unlink()
            (host.folder / name).write_bytes(b"\xff" * 5_000)
        assert values(host.text(), "libvirt_up") == {"": 0}
        assert "libvirt_domain_info" not in host.text()
    said = [line for line in host.lines if "VMs' figures cannot be read" in line]
    assert len(said) == 2, host.lines


def test_a_collector_that_stopped_writing_has_no_domains(host: MetricsHost) -> None:
    """Its last figures would look like those of idle VMs."""
    old = samples.snapshot()
    with host.serving():
        assert values(host.text(), "libvirt_domains") == {"": 2}
        write_vms(host.folder / "vms", old)
        text = host.text()
    assert values(text, "libvirt_up") == {"": 0}
    assert "libvirt_domain" not in text
    (age,) = values(text, "kvmlog_collector_age_seconds").values()
    assert age > 60


def test_hostile_names_survive_the_text(host: MetricsHost) -> None:
    """Quotes, backslashes, half a pair of surrogates, no name at all: a parser reads them back."""
    names = ['a"b\\c', "", "\ud800x", "ä b", "web1", "web1"]
    host.write_vms(
        replace(
            samples.snapshot(),
            vms=tuple(
                samples.vm(uuid=uuid_of(number), name=name) for number, name in enumerate(names)
            ),
        )
    )
    with host.serving():
        text = host.text()
        host.get(headers={"Accept": OPENMETRICS})
    found = {
        one.labels["domain"]
        for family in plain(text)  # type: ignore[no-untyped-call]
        for one in family.samples
        if one.name == "libvirt_domain_info_virtual_cpus"
    }
    assert found == {'a"b\\c', "", "\\ud800x", "ä b", "web1", f"web1 ({uuid_of(5)})"}
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))


@without_module
def test_a_bridge_is_asked_aside(tmp_path: Path) -> None:
    """Its budget and source are there; one that is stopped keeps no scrape waiting."""
    with running_bridge(tmp_path) as bridge, MetricsHost(tmp_path).serving() as host:
        host.until(lambda text: values(text, "kvmlog_up")['part="bridge"'] == 1)
        text = host.text()
        assert values(text, "kvmlog_up") == {
            'part="ring"': 1,
            'part="statistics"': 1,
            'part="bridge"': 1,
        }
        assert values(text, "kvmlog_source_connected") == {"": 0}
        assert values(text, "kvmlog_budget_ratio") == {"": 0.02}
        assert values(text, "kvmlog_budget_stopped") == {"": 0}
        assert values(text, "kvmlog_lease_seconds") == {}
        assert 'source="kmod"' in text
        bridge.process.send_signal(signal.SIGSTOP)
        try:
            assert values(host.text(), "kvmlog_tracing") == {"": 0}
            host.until(lambda text: values(text, "kvmlog_up")['part="bridge"'] == 0)
        finally:
            bridge.process.send_signal(signal.SIGCONT)


def test_who_may_scrape(host: MetricsHost) -> None:
    """The group's members on loopback and whoever has a token may; nobody else."""
    tokens = host.folder / "tokens"
    token = host.new_token(tokens)
    program = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]));"
        "c.request('GET', '/metrics', headers={'Authorization': sys.argv[2]} if sys.argv[2:] else"
        " {}); print(c.getresponse().status)"
    )
    with host.serving("--token-file", str(tokens)):
        assert host.get()[0] == 200
        port = str(host.port)
        assert run_as(NOBODY, program, port).strip() == "403"
        assert run_as(NOBODY, program, port, f"Bearer {token}").strip() == "200"
        assert run_as(MEMBER_UID, program, port, "Bearer wrong").strip() == "401"


def test_tls_and_certificates(host: MetricsHost) -> None:
    """The server takes them as RPC does, from the section's own keys."""
    authority = Authority(host.folder)
    certificate, key = authority.issue("server")
    options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    options += ["--tls-ca", str(authority.certificate)]
    with host.serving(*options):
        context = authority.client(authority.issue("prometheus"))
        assert host.get(context=context)[0] == 200
        with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|EOF"):
            host.get(context=authority.client())


def test_other_requests(host: MetricsHost) -> None:
    """Each is refused in a sentence."""
    with host.serving():
        for path, method, status, sentence in (
            ("/", "GET", 404, b"GET /metrics"),
            ("/metrics/x", "GET", 404, b"GET /metrics"),
            ("/metrics", "POST", 405, b"Send GET."),
            ("/metrics", "HEAD", 200, b""),
        ):
            found, _, body = host.get(path, method=method)
            assert (found, sentence in body) == (status, True), body
        taken = kvmlog("metrics", "--user", "root", "--listen", f"127.0.0.1:{host.port}")
    assert taken.returncode == 1
    assert "is another kvmlog metrics running? --listen takes another port" in taken.stderr


def test_reload_takes_new_tokens(host: MetricsHost) -> None:
    """SIGHUP has the token file read again."""
    tokens = host.folder / "tokens"
    first = host.new_token(tokens)
    with host.serving("--token-file", str(tokens)):
        tokens.write_text("")
        assert host.get(headers={"Authorization": f"Bearer {first}"})[0] == 200
        assert host.process is not None
        host.process.send_signal(signal.SIGHUP)
        until(lambda: any("configuration read again" in line for line in host.lines))
        assert host.get(headers={"Authorization": f"Bearer {first}"})[0] == 401


def test_clients_that_give_up_hold_up_nobody(host: MetricsHost) -> None:
    """Requests that were left behind are not worked off one by one, and are no malformed ones."""
    with host.serving():
        for _ in range(40):
            with socket.create_connection((host.address, host.port)) as left:
                left.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert "kvmlog_exits_total" in host.text()
    assert "no HTTP request" not in "".join(host.lines)
