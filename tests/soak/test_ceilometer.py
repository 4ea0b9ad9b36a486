# SPDX-License-Identifier: GPL-2.0-or-later
"""Ceilometer's own agent polls a real `kvmlog rpc` by the definitions in docs/ceilometer.

make soak puts it into a venv of its own (scripts/packages/ceilometer.txt).
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from scripts.vm.kernels import PROJECT
from tests.support import vmstats_samples as samples
from tests.support.bridge_process import HANG_S
from tests.support.json_process import json_server
from tests.support.ports import free_port
from tests.support.traced_vm import traced_vm

AGENT = PROJECT / "build" / "ceilometer" / "bin" / "ceilometer-polling"
FOLDER = PROJECT / "docs" / "ceilometer"
# The agent takes a while to start.
_START_S = 5 * HANG_S
# Neither Keystone nor a broker: the agent shows its samples itself.
CONFIGURATION = """
[DEFAULT]
transport_url = fake://
pollsters_definitions_dirs = {folder}
[polling]
cfg_file = {folder}/sources
enable_notifications = false
enable_prometheus_exporter = true
prometheus_listen_addresses = 127.0.0.1:{port}
"""
SOURCES = "sources: [{name: kvmlog, interval: 5, meters: ['kvmlog.*']}]\n"
LOSSES = ("dropped", "records", "messages", "unplaced")
SAMPLE = re.compile(
    r'^ceilometer_\w+\{counter="(?P<meter>kvmlog\.[^"]+)",.*resource="(?P<resource>[^"]+)"'
    r'.*unit="(?P<unit>\w+)".*\} (?P<volume>\S+)$',
    re.MULTILINE,
)


def test_the_agent_has_all_meters(tmp_path: Path) -> None:
    """Each meter with its unit, the VM's by UUID, and the owner that Nova's metadata has."""
    host_folder, folder = tmp_path / "host", tmp_path / "agent"
    host_folder.mkdir()
    folder.mkdir()
    port = free_port()
    with traced_vm(host_folder), json_server(host_folder) as host:
        for file in (FOLDER / "pollsters.d").glob("*.yaml"):
            text = file.read_text().replace("127.0.0.1:50081", f"127.0.0.1:{host.port}")
            (folder / file.name).write_text(text)
        (folder / "sources").write_text(SOURCES)
        configuration = folder / "ceilometer.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
        command = [str(AGENT), "--config-file", str(configuration)]
        command += ["--polling-namespaces", "compute"]
        with (folder / "log").open("wb") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log)
        with agent:
            try:
                text = shown(agent, port, folder / "log")
            finally:
                agent.send_signal(signal.SIGTERM)
                agent.wait(HANG_S)
    found = {
        (one["meter"], one["resource"]): (one["unit"], float(one["volume"]))
        for one in SAMPLE.finditer(text)
    }
    of_vm = {meter: one for (meter, resource), one in found.items() if resource == samples.WEB1}
    assert of_vm == {
        "kvmlog.exits": ("exit", 6),
        "kvmlog.exits.halts": ("exit", 2),
        "kvmlog.exit.time.kvm": ("ns", 20_300),
        "kvmlog.exit.time.vmm": ("ns", 1_200),
        "kvmlog.exit.time.wait": ("ns", 0),
        "kvmlog.exit.time.idle": ("ns", 0),
        "kvmlog.exit.time.paused": ("ns", 0),
        "kvmlog.exits.reason.io": ("exit", 3),
        "kvmlog.exits.reason.msr": ("exit", 1),
    }
    of_host = {meter for meter, resource in found if resource != samples.WEB1}
    assert of_host == {f"kvmlog.losses.{name}" for name in LOSSES}
    instance = samples.vm().sample.definition.instance
    assert instance is not None
    assert f'project="{instance.project_id}"' in text


def shown(agent: subprocess.Popen[bytes], port: int, log: Path) -> str:
    """Wait until the agent has polled all five pollsters; return all that it shows."""
    limit = time.monotonic() + _START_S
    text = ""
    while len({one["meter"] for one in SAMPLE.finditer(text)}) < 9 + len(LOSSES):
        assert agent.poll() is None, log.read_text()[-5_000:]
        assert time.monotonic() < limit, (text, log.read_text()[-5_000:])
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
                text = reply.read(1 << 20).decode()
        except OSError:
            continue
    return text
