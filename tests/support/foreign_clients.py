# SPDX-License-Identifier: GPL-2.0-or-later
"""Foreign clients of the JSON port, in a venv of their own (scripts/setup test)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.support.json_process import JsonHost
from tests.support.scale import OPENAPI_EXAMPLES

BIN: Final = Path(__file__).resolve().parents[2] / "build" / "clients" / "bin"
# A bound for a busy machine; of one example some 0.1 s each of three ways at 18 paths.
WAIT_S: Final = 300 + 10 * OPENAPI_EXAMPLES


def run(
    host: JsonHost,
    *command: str,
    typed: str = "",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Run a program of the venv, without anything of this user's environment or folders.

    typed: its standard input; variables: of its environment.
    """
    assert (BIN / command[0]).exists(), f"{BIN / command[0]}: not there; run scripts/setup test"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env={**environment, **variables},
        input=typed,
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


def openstack_session(host: JsonHost, *lines: str, version: str) -> list[Any]:
    """Return what each of these lines prints as JSON, typed into one session of the command.

    Lines without -f json print nothing. One process for all: each takes seconds to begin.
    """
    variables = {
        "OS_AUTH_TYPE": "none",
        "OS_ENDPOINT": f"{host.url}/v2.1",
        "OS_COMPUTE_API_VERSION": version,
        "OS_IDENTITY_API_VERSION": "3",
    }
    done = run(host, "openstack", typed="".join(f"{one}\n" for one in lines), variables=variables)
    text, decoder, found = done.stdout.strip(), json.JSONDecoder(), []
    while text.startswith(("[", "{")):
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    assert len(found) == sum(one.endswith(" json") for one in lines), (text, done.stderr)
    return found
