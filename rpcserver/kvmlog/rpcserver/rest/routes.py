# SPDX-License-Identifier: GPL-2.0-or-later
"""What a route is: one entry of a table that serves, checks and describes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, Generic, TypeVar

from kvmlog.guests.sanitize import NAME_CHARACTERS, clean
from kvmlog.history.model import Service
from kvmlog.history.protocol import Update
from kvmlog.history.views import times
from kvmlog.rpcserver import nearest
from kvmlog.rpcserver.auth.caller import Caller, Role
from kvmlog.rpcserver.http.service import RefusalError
from kvmlog.rpcserver.http.work import Work
from kvmlog.rpcserver.rest.computes import Computes, HostComputes
from kvmlog.rpcserver.service import RpcService
from kvmlog.rpcserver.vms.documents import VM_BYTES, Vms
from kvmlog.rpcserver.vms.past import MOST, Page, Past, past_of
from kvmlog.rpcserver.vms.source import Poll

_MOST_WORDS: Final = 64


@dataclass(frozen=True)
class Parameter:
    """A parameter of a path or a query."""

    name: str
    about: str
    schema: Mapping[str, Any]  # of the value; of each word, where there may be several
    check: Callable[[str], Any]  # ValueError says what is accepted: "give a boolean"
    several: bool = False  # the parameter may be repeated
    commas: bool = False  # and there may be several words with commas between them

    def read(self, given: Sequence[str]) -> Any:
        """Return the checked value, a list where there may be several; RefusalError."""
        words = given
        if self.commas:
            words = [word for one in given for word in one.split(",")]
        try:
            if len(words) > (_MOST_WORDS if self.several else 1):
                raise ValueError(f"give {_MOST_WORDS if self.several else 1} at most")
            found = [self.check(word) for word in words]
        except ValueError as error:
            shown = clean(",".join(words), 80)
            raise bad_request(f"{self.name} is '{shown}'; {error}.") from None
        return found if self.several else found[0]


@dataclass(frozen=True, kw_only=True)
class Asked(ABC):
    """One request to a route, with its parameters checked; answered in a thread of its own."""

    caller: Caller
    work: Work
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    version: tuple[int, int]  # Nova's microversion, on its paths
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page(self) -> Page:
        """Return the part of a list that is asked for by LIMIT and MARKER."""
        return Page(self.query.get(LIMIT.name, MOST), self.query.get(MARKER.name))

    @property
    @abstractmethod
    def computes(self) -> Computes:
        """Return what Nova's paths are answered from."""


@dataclass(frozen=True, kw_only=True)
class Question(Asked):
    """A request that this host answers."""

    vms: Vms
    service: RpcService

    @property
    def past(self) -> Past:
        """Return the history's answers."""
        history = self.service.history
        return past_of(history.file, history.socket)

    @property
    def computes(self) -> Computes:
        return HostComputes(self.poll, self.vms, self.past, self.service.limits)

    def vm_of(self, word: str) -> str:
        """Return the UUID of a VM that there is or was; UnknownVmError, InvalidRequestError."""
        return self.computes.server_id(word)

    def change(self, service: Service, change: Update) -> dict[str, Any]:
        """Change a service for the caller; return it as it is then. ServiceNotChangedError."""
        with self.work.waiting():
            return self.past.change(service, change, str(self.caller))

    def poll(self, count: int | None = None) -> Poll:
        """Return the newest poll, with memory for so many VMs of it, all by default."""
        poll = self.vms.poll(self.work.waiting)
        self.work.reserve((len(poll.snapshot.vms) if count is None else count) * VM_BYTES)
        return poll


# A route takes these questions, and so all that are more.
Q_contra = TypeVar("Q_contra", bound=Asked, contravariant=True)


@dataclass(frozen=True)
class Route(Generic[Q_contra]):
    """A path that is served."""

    path: str  # parameters in braces: /v1/vms/{vm}
    name: str
    about: str
    answer: Callable[[Q_contra], Any]  # bytes are JSON already
    schema: Mapping[str, Any]  # of the reply; {"$ref": "NAME"}: one of docs/schemas
    query: tuple[Parameter, ...] = ()
    # Beyond what any route may refuse.
    refusals: tuple[HTTPStatus, ...] = ()
    in_path: tuple[Parameter, ...] = ()
    method: HTTPMethod = HTTPMethod.GET
    # Of the body, an object; None: there is none.
    body: Mapping[str, Any] | None = None
    role: Role = Role.READ

    def question(
        self, path: Mapping[str, str], query: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the checked parameters of path and query; RefusalError."""
        known = {one.name: one for one in self.query}
        found = {}
        for name, given in query.items():
            if name not in known:
                raise bad_request(_unknown(name, known))
            found[name] = known[name].read(given)
        return {one.name: one.read([path[one.name]]) for one in self.in_path}, found


def bad_request(sentence: str) -> RefusalError:
    """Return the refusal of a request that cannot be meant so."""
    return RefusalError(HTTPStatus.BAD_REQUEST, sentence)


def text(value: str) -> str:
    """Accept a word of a name's length."""
    if not 0 < len(value) <= NAME_CHARACTERS:
        raise ValueError(f"give 1 to {NAME_CHARACTERS} characters")
    return value


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Accept one of some words."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(nearest.one_of(value, known))
        return value

    return check


def integer(least: int, most: int) -> Callable[[str], int]:
    """Accept decimal digits within bounds."""

    def check(value: str) -> int:
        digits = value.isascii() and value.isdigit() and len(value) <= len(str(most))
        if not digits or not least <= int(value) <= most:
            raise ValueError(f"give a whole number from {least} to {most}")
        return int(value)

    return check


def moment(value: str) -> str:
    """Accept a date or time, ISO 8601; the answer checks what it means."""
    try:
        times.parse(value)
    except times.TimeError as error:
        raise ValueError(str(error).partition("; ")[2]) from None
    return value


def boolean(value: str) -> bool:
    """Accept true or false, and what OpenStack's clients send for them."""
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise ValueError("give true or false")
    return found


TEXT: Final = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS}
TIME: Final = {"type": "string", "format": "date-time", "maxLength": 64}
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

LIMIT: Final = Parameter(
    "limit",
    f"How many at most; {MOST} without",
    {"type": "integer", "minimum": 1, "maximum": MOST},
    integer(1, MOST),
)
MARKER: Final = Parameter("marker", "The last one of the page before", TEXT, text)


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    shown = clean(name, 80)
    if not known:
        return f"There is no parameter '{shown}' here; give none."
    meant = nearest.meant(shown, known)
    return f"There is no parameter '{shown}'{meant} here; give {', '.join(known)}."
