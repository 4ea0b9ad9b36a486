# SPDX-License-Identifier: GPL-2.0-or-later
"""A real `kvmlog rpc` with its JSON port, over a file of VM statistics made by hand."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvmlog.rpcserver.http.service import NO_HEADERS
from kvmlog.vmstats.file import encode
from kvmlog.vmstats.moment import Moment
from kvmlog.vmstats.snapshot import Snapshot
from tests.support import vmstats_samples as samples
from tests.support.rpc_process import REPLY_S, Server, rpc_server


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)

    @property
    def sentence(self) -> str:
        """What is wrong, of a problem or of a fault of Nova's."""
        document = self.json
        if self.headers.get_content_type() == "application/problem+json":
            assert document["status"] == self.status
            return str(document["detail"])
        ((_, fault),) = document.items()
        assert fault["code"] == self.status
        return str(fault["message"])


class JsonHost:
    """A running server, and the port that it has beside XML-RPC's."""

    def __init__(self, server: Server, vms: Path) -> None:
        found = re.search(r", https?://(?:\[([^]]+)]|([^:]+)):(\d+)/ from ", server._lines[0])
        assert found, server._lines
        self.server = server
        self.vms = vms
        self.host, self.port = found[1] or found[2], int(found[3])

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """Return a connection that is kept."""
        if context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=REPLY_S)
        return http.client.HTTPSConnection(self.host, self.port, timeout=REPLY_S, context=context)

    def get(
        self,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        """Return the reply to one request."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, path, method, body, headers)


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] = NO_HEADERS,
) -> Reply:
    """Send one request on a connection and return the reply."""
    connection.request(method, path, body or None, dict(headers))
    reply = connection.getresponse()
    return Reply(reply.status, reply.headers, reply.read())


def fresh(snapshot: Snapshot | None = None) -> Snapshot:
    """The snapshot, by default that of web1 and db1, as if it were written just now, for long."""
    found = samples.snapshot() if snapshot is None else snapshot
    collector = replace(
        found.collector, written=Moment.now(), interval_s=600.0, effective_interval_s=600.0
    )
    return replace(found, collector=collector)


def write_vms(path: Path, snapshot: Snapshot) -> None:
    """Put a new file in place, as the collector does."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(encode(snapshot))
    new.chmod(0o644)
    new.rename(path)


@contextlib.contextmanager
def json_server(
    folder: Path,
    snapshot: Snapshot | None = None,
    extra: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Iterator[JsonHost]:
    """Run a server with these VMs; as rpc_server() does."""
    vms = folder / "vms"
    write_vms(vms, fresh(snapshot))
    options = ["--json-listen", "127.0.0.1:0", "--vmstats-file", str(vms), *extra]
    with rpc_server(folder / "ring", folder / "switch", extra=options, prefix=prefix) as server:
        yield JsonHost(server, vms)
