# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of methods against the functions it names, and their loading on demand."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from dataclasses import replace
from pathlib import Path
from xmlrpc.client import Fault, dumps, loads

import pytest

from kvmlog.config.load import Config
from kvmlog.rpcserver import faults, log
from kvmlog.rpcserver.auth.credentials import Credentials
from kvmlog.rpcserver.methods import table
from kvmlog.rpcserver.methods.call import Call
from kvmlog.rpcserver.service import RpcService
from tests.support.rpc_calls import answer

RESULTS = {"string": str, "struct": dict, "array": list}


@pytest.mark.parametrize("name", table.METHODS)
def test_the_table_is_true_to_the_functions(name: str) -> None:
    """Each function exists, serves the method it is listed for, and returns the type listed."""
    method = table.METHODS[name]
    function = table.load(method)
    assert inspect.isfunction(function)
    assert function.__module__ == f"kvmlog.rpcserver.methods.{method.module}"
    assert function.__name__ == method.function
    assert name in (function.__doc__ or "").split(":")[0]
    hints = typing.get_type_hints(function)
    result = hints.pop("return")
    assert list(hints.values()) == [Call]
    assert {typing.get_origin(result) or result} == {
        RESULTS[signature[0]] for signature in method.signatures
    }
    assert method.help.endswith(".")


def loaded_after(code: str) -> set[str]:
    """The modules of methods that a process has loaded once it has run some code."""
    code = f"import sys, kvmlog.rpcserver.main\nfrom kvmlog.rpcserver.methods import table\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    prefix = "kvmlog.rpcserver.methods."
    names = {name.removeprefix(prefix) for name in done.stdout.split() if name.startswith(prefix)}
    return names - {"table", "call", "reply"}


def test_a_method_is_loaded_when_it_is_called() -> None:
    """No method is loaded at the start; load() imports what one needs, load_all() everything."""
    assert loaded_after("") == set()
    assert loaded_after("table.load(table.METHODS['system.listMethods'])") == {"system"}
    everything = loaded_after("table.load_all()")
    assert {method.module for method in table.METHODS.values()} <= everything


def test_threads_load_a_method_at_the_same_time() -> None:
    """Sixteen first calls at once, of all methods, get each the same function."""
    code = """
import threading
found = []
def load():
    barrier.wait()
    for method in table.METHODS.values():
        found.append((method, table.load(method)))
barrier = threading.Barrier(16)
threads = [threading.Thread(target=load) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 16 * len(table.METHODS), len(found)
assert len(set(found)) == len(set(table.METHODS.values()))
"""
    assert loaded_after(code)


def test_a_method_that_cannot_be_loaded_is_an_internal_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The caller gets the fault, the log the reason; other methods work on."""
    broken = replace(table.METHODS["kvmStatus"], module="missing")
    monkeypatch.setattr(table, "METHODS", {**table.METHODS, "kvmStatus": broken})
    service = RpcService(
        str(tmp_path / "ring"),
        str(tmp_path / "switch"),
        str(tmp_path / "vms"),
        Credentials(Config().rpc),
        32,
        log,
    )
    reply = answer(service, dumps((), "kvmStatus").encode())
    with pytest.raises(Fault) as caught:
        loads(reply)
    assert caught.value.faultCode == faults.INTERNAL
    line, *traceback = capsys.readouterr().err.splitlines()
    assert line == "kvmlog rpc: 127.0.0.1:9 (root) internal error"
    assert "No module named 'kvmlog.rpcserver.methods.missing'" in traceback[-1]
    assert b"kvmGuests" in answer(service, dumps((), "system.listMethods").encode())


def test_a_method_is_found_once_a_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check of the role and the call share one look-up."""
    names = []

    def find(name: object) -> table.Method:
        names.append(name)
        return found(name)

    found = table.find
    monkeypatch.setattr(table, "find", find)
    service = RpcService(
        str(tmp_path / "ring"),
        str(tmp_path / "switch"),
        str(tmp_path / "vms"),
        Credentials(Config().rpc),
        32,
        log,
    )
    answer(service, dumps((), "kvmLogStatus").encode())
    assert names == ["kvmLogStatus"]
