# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus, Debian's, unpacked below build/ (scripts/setup test), and its promtool."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge_process import HANG_S

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build/prometheus/usr/bin"
RULES = ROOT / "docs/prometheus"

needs_prometheus = pytest.mark.skipif(
    not (PROGRAMS / "prometheus").exists(), reason="Prometheus is missing; run scripts/setup test"
)


def promtool(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end; its output as one text."""
    return subprocess.run(
        [str(PROGRAMS / "promtool"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
    )


class Prometheus:
    """A running server that scrapes each second."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    def api(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=HANG_S) as reply:
            found = json.load(reply)
        assert found["status"] == "success", found
        return found["data"]

    def snapshot(self, folder: Path) -> Path:
        """Have it write all samples as blocks; return their folder, below that of its data."""
        url = f"http://127.0.0.1:{self.port}/api/v1/admin/tsdb/snapshot"
        request = urllib.request.Request(url, method="POST")
        with urllib.request.urlopen(request, timeout=HANG_S) as reply:
            name = json.load(reply)["data"]["name"]
        return folder / "data/snapshots" / str(name)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query, as of now."""
        found = self.api("query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what has to come; fails only when it hangs."""
        limit = time.monotonic() + HANG_S
        while True:
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError):
                if condition():
                    return
            assert time.monotonic() < limit, (what, self.log()[-3_000:])
            time.sleep(0.2)

    def log(self) -> str:
        """Return its log."""
        return self._log.read_text()


def prompt_copy(rules: Path) -> str:
    """A file of rules whose alerts fire at once, and whose averages are of a few seconds."""
    text = re.sub(r"for: \w+", "for: 0s", rules.read_text())
    return re.sub(r"\[(5m|10m)\]", "[20s]", text)


@contextlib.contextmanager
def prometheus(folder: Path, scrape: str, port_scraped: int) -> Iterator[Prometheus]:
    """Run a server over prompt copies of the rules.

    scrape: more of the scrape configuration, in YAML; port_scraped: of this machine.
    """
    folder.mkdir(exist_ok=True)
    for name in ("recording.yml", "alerts.yml"):
        (folder / name).write_text(prompt_copy(RULES / name))
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [recording.yml, alerts.yml]\n"
        "scrape_configs:\n"
        "- job_name: kvmlog\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{port_scraped}']}}]\n{scrape}"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "prometheus.log"
    command = [
        str(PROGRAMS / "prometheus"),
        "--web.enable-admin-api",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    with process:
        try:
            yield Prometheus(process, port, log)
        finally:
            process.kill()
