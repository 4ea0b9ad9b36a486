# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages are layers: imports point down, and a command loads what it needs and no more."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Bottom to top; each imports only what stands before it. docs/architecture.md draws the same.
LAYERS = (
    "native",
    "util",
    "ring",
    "control",
    "config",
    "guests",
    "sources",
    "exits",
    "stat",
    "recording",
    "engine",
    "bridge",
    "vmstats",
    "history",
    "notify",
    "why",
    "client",
    "analysis",
    "rpcserver",
    "metrics",
    "fleet",
    "top",
    "cli",
)
# The same within kvmlog.rpcserver; "" is the package itself, which has the log.
RPC_LAYERS = (
    "",
    "faults",
    "limits",
    "nearest",
    "http",
    "auth",
    "vms",
    "methods",
    "service",
    "rest",
    "preflight",
    "main",
)
# What a process that only reads must not load: the writing side, and other servers than its own.
WRITING = ("engine", "sources", "bridge", "ring.writer", "ring.statistics.writer")
FOREIGN = {
    "aio_pika": ("kvmlog.notify.amqp",),
    "aiohttp": (
        "kvmlog.notify.webhook",
        "kvmlog.rpcserver.rest",
        "kvmlog.metrics.server",
        "kvmlog.fleet.server",
    ),
    "apispec": ("kvmlog.rpcserver.rest.openapi",),
    "microversion_parse": ("kvmlog.rpcserver.rest.microversions",),
    "pyroute2": ("kvmlog.sources.kmod",),
    "bcc": ("kvmlog.sources.bpf.compiler",),
    "defusedxml": (
        "kvmlog.rpcserver.http",
        "kvmlog.client.connection",
        "kvmlog.vmstats.domain_xml",
        "kvmlog.vmstats.libvirt.host",
    ),
    "libvirt": ("kvmlog.vmstats.libvirt",),
    "numpy": ("kvmlog.analysis",),
    "jinja2": ("kvmlog.analysis.report",),
    "markupsafe": ("kvmlog.analysis.report",),
    "pyarrow": ("kvmlog.analysis",),
    "duckdb": ("kvmlog.analysis.query",),
    "perfetto": ("kvmlog.analysis.export.perfetto",),
    "dns": ("kvmlog.fleet.srv",),
    "textual": ("kvmlog.top.ui",),
    "nagiosplugin": ("kvmlog.cli.check",),
    "opentelemetry": ("kvmlog.metrics.otlp",),
    "prometheus_client": ("kvmlog.metrics",),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the product with its file: "kvmlog.ring.reader"."""
    for base in (ROOT / "bridge", ROOT / "rpcserver"):
        for path in sorted((base / "kvmlog").rglob("*.py")):
            parts = list(path.relative_to(base).with_suffix("").parts)
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    """All modules that the file names in imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str:
    """The package below kvmlog."""
    return module.split(".")[1]


def test_every_package_has_its_layer() -> None:
    """None is left out of the order, and the order names none that is not there."""
    assert {layer_of(name) for name, _ in modules()} == set(LAYERS)


def test_imports_point_down() -> None:
    """No module imports from a layer above its own."""
    upward = [
        f"{name} imports {target}"
        for name, path in modules()
        for target in imports(path)
        if target.startswith("kvmlog.")
        and LAYERS.index(layer_of(target)) > LAYERS.index(layer_of(name))
    ]
    assert upward == []


def test_imports_of_the_rpc_server_point_down() -> None:
    """HTTP knows no credentials and no methods, credentials no methods; service joins them."""
    prefix = "kvmlog.rpcserver"

    def layer(module: str) -> int:
        part = module.removeprefix(prefix).lstrip(".").split(".")[0]
        return RPC_LAYERS.index("" if part == "log" else part)

    own = [(name, path) for name, path in modules() if name.startswith(prefix)]
    assert {layer(name) for name, _ in own} == set(range(len(RPC_LAYERS)))
    upward = [
        f"{name} imports {target}"
        for name, path in own
        for target in imports(path)
        if target.startswith(f"{prefix}.") and layer(target) > layer(name)
    ]
    assert upward == []


def test_the_product_imports_no_tests() -> None:
    """Everything that is installed, or called by make, stands without tests."""
    scripts = [
        (str(path), path) for name in ("scripts", "vagrant") for path in (ROOT / name).rglob("*.py")
    ]
    found = [
        f"{name} imports {target}"
        for name, path in [*modules(), *scripts]
        for target in imports(path)
        if target.split(".")[0] == "tests"
    ]
    assert found == []


@pytest.mark.parametrize("package", FOREIGN)
def test_a_foreign_package_has_one_home(package: str) -> None:
    """Heavy or dangerous packages are imported in one place each."""
    users = {name for name, path in modules() for t in imports(path) if t.split(".")[0] == package}
    assert users
    homes = FOREIGN[package]
    assert [name for name in users if not name.startswith(homes)] == []


def loaded(module: str) -> set[str]:
    """The modules of kvmlog that are there once `module` is imported, without "kvmlog."."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = done.stdout.split()
    # cffi registers its `lib` as a module, which is no file.
    own = {name.removeprefix("kvmlog.") for name in names if name.startswith("kvmlog.")}
    return own - {"native._native.lib"}


@pytest.mark.parametrize(
    ("module", "fewer_than"),
    [("kvmlog.cli.dump", 50), ("kvmlog.cli.vms.command", 115), ("kvmlog.rpcserver.main", 80)],
)
def test_a_reader_loads_no_writer(module: str, fewer_than: int) -> None:
    """`kvmlog dump`, `vms` and `rpc` have nothing of the engine, the sources, the bridge."""
    found = loaded(module)
    assert [name for name in found if name.startswith(WRITING)] == []
    assert len(found) < fewer_than


def test_what_the_json_port_takes_is_loaded_for_it_alone() -> None:
    """Nor is the model of VMs, as long as nobody asks for them."""
    code = "import sys, kvmlog.rpcserver.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {
        "aiohttp",
        "apispec",
        "asyncio",
        "prometheus_client",
        "cattrs",
        "kvmlog.vmstats",
        "microversion_parse",
    }
    assert heavy & set(done.stdout.split()) == set()


def test_the_live_screen_is_loaded_for_it_alone() -> None:
    """Nor does the screen of this host load what another host takes: it has to be there at once."""
    names = loaded("kvmlog.cli.top") | loaded("kvmlog.cli.stat.command")
    assert [name for name in names if name.startswith("top")] == []
    code = "import sys, kvmlog.top.source.local, kvmlog.top.ui.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {"xmlrpc", "kvmlog.client", "kvmlog.exits.explain.tables", "kvmlog.vmstats"}
    assert heavy & set(done.stdout.split()) == set()


def test_the_client_loads_no_server() -> None:
    """Engines that embed the client get the client."""
    assert [name for name in loaded("kvmlog.client") if name.startswith("rpcserver")] == []
