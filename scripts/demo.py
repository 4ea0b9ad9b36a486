# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows kvmlog at work on this kernel, as root: `make run` calls it, here or in a VM.

Loads the module (with the source bpf there is none), starts the bridge, the RPC server and,
when no guest runs, a small one; switches tracing on and fetches the log as a cloud engine
would, over XML-RPC; then prints exits as they come. Everything it started ends with it.

    python -m scripts.demo [--source kmod|bpf] [--seconds N]     0: until Ctrl-C or SIGTERM
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kvmlog.cli.demo.ending import Ended, deaf, ended_by_signals
from kvmlog.cli.demo.guest import NAME, DemoError, DemoGuest
from kvmlog.cli.demo.sight import Sight, sight_of
from kvmlog.cli.remote import follow
from kvmlog.client import Client
from kvmlog.config.schema import DEFAULT_SOCKET
from kvmlog.control.client import SwitchClient
from kvmlog.exits.reasons.names import reason_name
from kvmlog.native import lib
from kvmlog.ring.records import enum_names
from kvmlog.sources.bpf import headers
from kvmlog.util.errors import KvmlogError, SourceError, SwitchError
from scripts.vm import kernels

PROJECT = Path(__file__).resolve().parents[1]
KVMLOG = PROJECT / ".venv" / "bin" / "kvmlog"
LOGS = Path("/run/kvmlog-demo")
RPC_HOST, RPC_PORT = "127.0.0.1", 50080
START_LIMIT_S = 120  # an emulated CPU takes half a minute for the BPF programs
FIRST_RECORDS_S = 20
REPLY_LIMIT_S = 60.0
TAIL_FIRST = 10  # records from before, as with `kvmlog tail`
LEGACY_CHARACTERS = 9  # of one record in getKvmLog's answer


@dataclass(frozen=True)
class Log:
    """Of the legacy log: how many records before it is shown, and how many of them are."""

    wanted_records: int
    shown_records: int


EXITS_LOG = Log(wanted_records=40, shown_records=8)
RETURNS_LOG = Log(wanted_records=10, shown_records=3)


def say(text: str) -> None:
    """One line to whoever watches."""
    print(f"run: {text}", flush=True)


class Part:
    """One process of the demo; Ctrl-C does not reach it, so that it ends in its turn."""

    def __init__(self, name: str, *command: str | Path) -> None:
        self.name = name
        self._log = LOGS / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Returns once `ready()`; raises DemoError when the process ends or takes too long."""
        begin = time.monotonic()
        shown_s = 0.0
        while not ready():
            waited_s = time.monotonic() - begin
            if self._process.poll() is not None or waited_s > START_LIMIT_S:
                text = self._log.read_text(errors="replace")[-2000:]
                raise DemoError(f"The {self.name} does not start after {waited_s:.0f} s: {text}")
            if waited_s - shown_s >= 5:
                shown_s = waited_s
                say(f"still waiting for the {self.name} ({waited_s:.0f} s)")
            time.sleep(0.1)

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that is not heard within 10 s."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            say(f"the {self.name} did not end when asked; killing it")
            self._process.kill()
            self._process.wait()


def load_module() -> Callable[[], None]:
    """Loads kvmlog.ko unless it is loaded; returns what undoes that."""
    if Path("/sys/module/kvmlog").exists():
        say("the module kvmlog is loaded already")
        return lambda: None
    module = PROJECT / "build" / "kmod" / os.uname().release / "kvmlog.ko"
    if not module.exists():
        raise DemoError(f"{module} is missing: run `make kmod`")
    done = subprocess.run(["/sbin/insmod", module], capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoError(f"insmod {module}: {done.stderr.strip()}")
    say("loaded the module kvmlog")

    def unload() -> None:
        subprocess.run(["/sbin/rmmod", "kvmlog"], check=False)

    return unload


def give_headers() -> None:
    """Has bcc use the kernel headers that `make setup` fetched where the system has none."""
    try:
        headers.find_headers()
    except SourceError as error:
        fetched = [kernel.headers for kernel in kernels.fetched() if kernel.headers.is_dir()]
        if headers.VARIABLE in os.environ or not fetched:
            raise DemoError(str(error)) from None
        # The oldest: the headers of a kernel that is newer than bcc may be too new for it.
        os.environ[headers.VARIABLE] = str(fetched[0])


def guests() -> list[int]:
    """Processes that hold a virtual machine open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            if any(os.readlink(fd) == "anon_inode:kvm-vm" for fd in entry.iterdir()):
                found.append(int(entry.parent.name))
    return found


def bridge_answers() -> bool:
    """Whether the bridge is there, and with it its ring."""
    try:
        SwitchClient(DEFAULT_SOCKET).status()
    except SwitchError:
        return False
    return True


def rpc_address() -> str:
    """Where the RPC server can listen: its usual port, another where a developer's VM has that."""
    for port in (RPC_PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((RPC_HOST, port))
            return f"{RPC_HOST}:{probe.getsockname()[1]}"
    raise DemoError(f"no port is free on {RPC_HOST}; end what listens there")


def rpc_answers(server: xmlrpc.client.ServerProxy) -> bool:
    """Whether the RPC server is there."""
    try:
        server.kvmLogStatus()
    except xmlrpc.client.Fault:
        return True
    except OSError:
        return False
    return True


def legacy_line(record: str, isa: int) -> str:
    """One record of getKvmLog's answer in words; its reason's name needs the processor's kind."""
    reason, minute, second, ms = (record[a:b] for a, b in ((0, 2), (2, 4), (4, 6), (6, 9)))
    code = int(reason, 16)
    words = "above 0xfe" if reason == "FF" else f"{code:#04x} {reason_name(isa, code)}"
    if isa == lib.KVMLOG_ISA_NONE:
        words = f"{reason}, unknown"
    return f"{record}   reason {words:<16} at minute {minute}, second {second}.{ms}"


def written() -> int:
    """How many records the ring has got, in its whole life."""
    return int(SwitchClient(DEFAULT_SOCKET).status()["ring"]["head"])


def show_legacy_log(server: xmlrpc.client.ServerProxy, sight: Sight, isa: int, since: int) -> None:
    """Fetches getKvmLog once, as the ancestor's engines do, and explains a few of its records.

    since: written() before. The ring may hold records of another day, which are not waited for.
    """
    log = RETURNS_LOG if isa == lib.KVMLOG_ISA_NONE else EXITS_LOG
    deadline = time.monotonic() + FIRST_RECORDS_S
    while written() < since + log.wanted_records and time.monotonic() < deadline:
        time.sleep(0.2)
    text = str(server.getKvmLog())
    if text == "none":
        raise DemoError(f"Nothing was recorded within {FIRST_RECORDS_S} s: getKvmLog says 'none'")
    records = [text[at : at + LEGACY_CHARACTERS] for at in range(0, len(text), LEGACY_CHARACTERS)]
    say(
        f"getKvmLog() over XML-RPC gave {len(records)} {sight.seen}, newest first; "
        "the first of them:"
    )
    for record in records[: log.shown_records]:
        print(f"       {legacy_line(record, isa)}")
    if isa == lib.KVMLOG_ISA_NONE:
        print("       It has room for the reason of an exit only; the ring has why KVM returned.")
    sys.stdout.flush()


def traced_isa() -> str:
    """Whose exits the bridge's source sees: a name of enum kvmlog_isa."""
    return str(SwitchClient(DEFAULT_SOCKET).status()["source"]["isa"])


def isa_number(name: str) -> int:
    """The same as getKvmLog's records need it."""
    numbers = {name: n for n, name in enum_names("kvmlog_isa", "KVMLOG_ISA_").items()}
    return numbers[name]


def say_where_all_went(server: xmlrpc.client.ServerProxy, sight: Sight) -> None:
    """One line of the final counts, unless the server has gone."""
    with contextlib.suppress(xmlrpc.client.Error, OSError):
        status = server.kvmLogStatus()
        assert isinstance(status, dict)
        counts = f"{status['seen']} seen, {status['emitted']} recorded, {status['dropped']} lost"
        say(f"{sight.seen}: {counts}")


def show(source: str, seconds: int, cleanup: contextlib.ExitStack) -> None:
    """Starts everything, shows it until the time is up; `cleanup` ends what was started."""
    if bridge_answers():
        raise DemoError("a bridge runs here already: see `kvmlog status` and `kvmlog tail`")
    LOGS.mkdir(mode=0o755, exist_ok=True)
    if source == "kmod":
        cleanup.callback(load_module())
        say("starting the bridge and the RPC server")
    else:
        give_headers()
        say("starting the bridge, which compiles its BPF programs, and the RPC server")
    address = rpc_address()
    # The demo's guest does nothing but exit: that costs more than guests at work.
    bridge = Part("bridge", KVMLOG, "bridge", "--source", source, "--budget", "0")
    cleanup.callback(bridge.end)
    rpc = Part("RPC server", KVMLOG, "rpc", "--listen", address, "--user", "root")
    cleanup.callback(rpc.end)
    bridge.wait_until(bridge_answers)
    server = xmlrpc.client.ServerProxy(f"http://{address}")
    rpc.wait_until(lambda: rpc_answers(server))
    since = written()
    server.kvmLogSwitch("on")
    isa = traced_isa()
    sight = sight_of(isa)
    cleanup.callback(lambda: say_where_all_went(server, sight))
    cleanup.callback(lambda: server.kvmLogSwitch("off"))

    running = guests()
    guest = None if running else cleanup.enter_context(DemoGuest())
    who = ", ".join(Path(f"/proc/{pid}/comm").read_text().strip() for pid in running)
    if guest is not None:
        who = f"{NAME}, a QEMU that does nothing but leave its guest (pid {guest.pid})"
    say("running now:")
    eyes = "the module kvmlog" if source == "kmod" else "kvmlog's BPF programs"
    print(f"       {eyes} in kernel {os.uname().release}: all {sight.seen}")
    print("       kvmlog bridge: takes the records and writes the ring /run/kvmlog/ring")
    print(f"       kvmlog rpc: serves it to cloud engines, XML-RPC on {address}")
    print(f"       guest: {who}")
    print("       tracing: on, switched by kvmLogSwitch('on') over XML-RPC", flush=True)
    show_legacy_log(server, sight, isa_number(isa), since)

    limit = f"for {seconds} s" if seconds else "until Ctrl-C"
    say(f"live {sight.seen}, {limit}, as `kvmlog tail` shows them:")
    print(sight.columns, flush=True)
    ends = time.monotonic() + (seconds or math.inf)

    def enough(_exits: int) -> bool:
        if guest is not None:
            guest.check()
        return time.monotonic() >= ends

    with Client(address, timeout_s=REPLY_LIMIT_S) as client:
        follow.follow(client, TAIL_FIRST, enough=enough)


def main() -> int:
    """Returns 0 when it ended as asked, 1 with a sentence when a part did not work."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--source", choices=("kmod", "bpf"), default="kmod")
    args = parser.parse_args()
    failed = False
    with ended_by_signals(), contextlib.ExitStack() as cleanup:
        # Last in, first out: once ending has begun, more signals change nothing.
        try:
            show(args.source, args.seconds, cleanup)
        except Ended:
            pass
        except (KvmlogError, xmlrpc.client.Error, OSError) as error:
            words = error.faultString if isinstance(error, xmlrpc.client.Fault) else error
            print(f"run: {words}", file=sys.stderr, flush=True)
            failed = True
        deaf()
    say("everything has ended" + (", but not as it should" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
