# SPDX-License-Identifier: GPL-2.0-or-later
"""One call on many hosts at once: so many at a time, each with a deadline, none in another's way.

A call takes a thread, since the client waits; the threads are daemons, left alone at the deadline
with their connection shut down, so that no host and no resolver can hold up the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from kvmlog.client import Client, RpcFaultError
from kvmlog.fleet import log
from kvmlog.fleet.access import Access
from kvmlog.fleet.hosts import FleetHost
from kvmlog.util.errors import KvmlogError
from kvmlog.util.event_loop import new_event_loop
from kvmlog.util.shortage import shortage

PARALLEL: Final = 32
MOST_PARALLEL: Final = 1_024

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Answer(Generic[T_co]):
    """What came of a call on one host: a value, or why there is none."""

    host: FleetHost
    value: T_co | None = None
    error: str | None = None  # a sentence, without the host's name
    fault: int | None = None  # its code, where the host answered with one


def ask_all(
    hosts: Sequence[FleetHost],
    access: Access,
    call: Callable[[Client, FleetHost], T],
    *,
    parallel: int = PARALLEL,
    deadline_s: float | None = None,
    done: Callable[[Answer[T]], None] = lambda _: None,
    stopping: threading.Event | None = None,
) -> list[Answer[T]]:
    """Return an answer for each host, in their order; not from within an event loop.

    parallel: hosts at a time. deadline_s: for each, connection and reply together; None: the calls
    end by themselves. done: takes each answer as it comes. stopping: once it is set, hosts that
    were not asked yet are not.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_ask(hosts, access, call, parallel, deadline_s, done, stopping))


async def _ask(
    hosts: Sequence[FleetHost],
    access: Access,
    call: Callable[[Client, FleetHost], T],
    parallel: int,
    deadline_s: float | None,
    done: Callable[[Answer[T]], None],
    stopping: threading.Event | None,
) -> list[Answer[T]]:
    found: dict[int, Answer[T]] = {}
    waiting = iter(enumerate(hosts))

    async def work() -> None:
        # As many of these as hosts at a time: a task for each host would be made at once.
        for at, host in waiting:
            if stopping is not None and stopping.is_set():
                found[at] = Answer(host, error="not asked, since the server ends; ask again")
            else:
                found[at] = await _one(host, access, call, deadline_s)
            done(found[at])

    async with asyncio.TaskGroup() as group:
        for _ in range(min(parallel, len(hosts))):
            group.create_task(work())
    return [found[at] for at in range(len(hosts))]


async def _one(
    host: FleetHost,
    access: Access,
    call: Callable[[Client, FleetHost], T],
    deadline_s: float | None,
) -> Answer[T]:
    attempt = _Attempt(host, access, call)
    try:
        async with asyncio.timeout(deadline_s):
            return await attempt.start()
    except TimeoutError:
        return Answer(
            host,
            error=f"no reply within {deadline_s:g} s, though it may yet carry it out; give it "
            "longer, or look at kvmlog rpc there",
        )
    finally:
        # Also where somebody interrupts the whole.
        attempt.end()


class _Attempt(Generic[T]):
    """A call under way, in a thread of its own."""

    def __init__(
        self, host: FleetHost, access: Access, call: Callable[[Client, FleetHost], T]
    ) -> None:
        self._host, self._access, self._call = host, access, call
        self._lock = threading.Lock()  # covers the two below
        self._client: Client | None = None
        self._ended = False

    def start(self) -> asyncio.Future[Answer[T]]:
        """Begin; the future gets the answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer[T]] = loop.create_future()

        def tell(answer: Answer[T]) -> None:
            if not future.done():
                future.set_result(answer)

        def run() -> None:
            answer = self._answer()
            # The loop may be closed: nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, answer)

        try:
            threading.Thread(target=run, name=f"fleet {self._host.name}", daemon=True).start()
        except RuntimeError as error:
            tell(Answer(self._host, error=f"no thread for it ({error}); give a lower --parallel"))
        return future

    def end(self) -> None:
        """Have the thread end soon, where it has not."""
        with self._lock:
            self._ended = True
            if self._client is not None:
                self._client.interrupt()

    def _answer(self) -> Answer[T]:
        host = self._host
        try:
            with self._access.client(host) as client:
                with self._lock:
                    if self._ended:
                        return Answer(host, error="ended")
                    self._client = client
                try:
                    return Answer(host, self._call(client, host))
                finally:
                    with self._lock:
                        self._client = None
        except RpcFaultError as error:
            return Answer(host, error=str(error), fault=error.code)
        except KvmlogError as error:
            # The client names the server, by the port too.
            sentence = str(error).removeprefix(f"{host.address(host.port)}: ")
            return Answer(host, error=sentence)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            told = f"{type(error).__name__}: {ascii(str(error))[1:80]}"
            return Answer(
                host,
                error=f"the reply lacks something ({told}); use client and server of one version",
            )
        except Exception as error:  # noqa: BLE001 - one host must not take the others with it
            told = shortage(error) or f"internal error\n{traceback.format_exc().rstrip()}"
            if shortage(error) is None:
                log(f"{host.name}: {told}")
                told = "internal error; the log has it"
            return Answer(host, error=told)


def failed(answers: Iterable[Answer[T]]) -> list[Answer[T]]:
    """Return those without a value."""
    return [one for one in answers if one.error is not None]


def values(answers: Iterable[Answer[T]]) -> list[tuple[FleetHost, T]]:
    """Return the others."""
    return [(one.host, one.value) for one in answers if one.error is None and one.value is not None]
