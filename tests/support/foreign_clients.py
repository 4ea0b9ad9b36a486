# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign clients of the JSON port, in a venv of their own (scripts/setup test)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.support.json_process import JsonHost
from tests.support.scale import OPENAPI_EXAMPLES

BIN: Final = Path(__file__).resolve().parents[2] / "build" / "clients" / "bin"
# A bound for a busy machine; of one example some 0.1 s each of three ways at 18 paths.
WAIT_S: Final = 300 + 10 * OPENAPI_EXAMPLES


def run(host: JsonHost, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the venv, without anything of this user's environment or folders."""
    assert (BIN / command[0]).exists(), f"{BIN / command[0]}: not there; run scripts/setup test"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=environment,
        cwd=host.vms.parent,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def auth(host: JsonHost, kind: str) -> dict[str, Any]:
    """How the SDK authenticates: not at all, by the owner of its socket, or by a token."""
    endpoint = f"{host.url}/v2.1"
    if kind == "none":
        return {"auth_type": "none", "endpoint": endpoint}
    token = (host.vms.parent / "token").read_text(encoding="ascii")
    return {"auth_type": "admin_token", "auth": {"endpoint": endpoint, "token": token}}


def openstack(host: JsonHost, *words: str, token: bool = False, version: str = "2.53") -> Any:
    """Return what the command prints as JSON."""
    options = ["--os-endpoint", f"{host.url}/v2.1", "--os-compute-api-version", version]
    options += ["--os-auth-type", "admin_token" if token else "none"]
    if token:
        options += ["--os-token", auth(host, "admin_token")["auth"]["token"]]
    done = run(host, "openstack", *options, *words, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
