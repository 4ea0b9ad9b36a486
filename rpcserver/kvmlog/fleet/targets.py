# SPDX-License-Identifier: GPL-2.0-or-later
"""What Prometheus scrapes of a fleet, as its file_sd and http_sd take it.

Each host is a group of its own. `host` is the name without the port, for legends and joins;
`__scheme__` is https where the list says so; all others are the list's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kvmlog.config.schema.defaults import DEFAULT_METRICS
from kvmlog.fleet import FleetError
from kvmlog.fleet.hosts import FleetHost

METRICS_PORT: Final = int(DEFAULT_METRICS.rpartition(":")[2])
# Prometheus looks at these only, and at once: a temporary file must not end so.
_ENDINGS: Final = (".json", ".yml", ".yaml")
_MODE: Final = 0o644


def document(
    hosts: Iterable[FleetHost], port: int | None, labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the groups of targets; port: of /metrics, None: the hosts' own; labels: of all."""
    return [
        {
            "targets": [one.address(one.port if port is None else port)],
            "labels": {
                **labels,
                **({"__scheme__": "https"} if one.tls else {}),
                "host": one.host,
                **one.labels,
            },
        }
        for one in hosts
    ]


def text(groups: Iterable[Mapping[str, Any]]) -> str:
    """Return groups as JSON, one a line."""
    lines = ",\n".join(json.dumps(one, sort_keys=True) for one in groups)
    return f"[\n{lines}\n]\n"


def write(path: str, content: str) -> bool:
    """Put a file in place as a whole, unless it is so already; return whether it changed.

    FleetError.
    """
    if not path.endswith(_ENDINGS):
        raise FleetError(
            f"{path}: Prometheus reads files that end in {', '.join(_ENDINGS)}; give one that does"
        )
    data = content.encode()
    try:
        with open(path, "rb") as old:
            # More than that is not the same.
            if old.read(len(data) + 1) == data:
                return False
    except OSError:
        pass
    try:
        _replace(os.path.abspath(path), data)
    except OSError as error:
        raise FleetError(
            f"{path}: cannot be written ({error.strerror}); give another (-o)"
        ) from None
    return True


def _replace(path: str, data: bytes) -> None:
    """Put a new file in place of the old one; two at once have a new one each."""
    fd, new = tempfile.mkstemp(prefix=".kvmlog-", suffix=".new", dir=os.path.dirname(path))
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, _MODE)
            file.write(data)
        os.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
