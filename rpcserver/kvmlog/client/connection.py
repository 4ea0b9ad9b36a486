# SPDX-License-Identifier: GPL-2.0-or-later
"""A client's connection: HTTP/1.1, kept open, with a sentence for every failure.

Connecting is retried, a call never is: nobody knows whether a call without a reply was carried out.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import select
import socket
import ssl
import time
from typing import Any, Final
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, ResponseError, Unmarshaller, dumps

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from kvmlog.config.schema.defaults import DEFAULT_LISTEN
from kvmlog.util.errors import KvmlogError

DEFAULT_PORT: Final = int(DEFAULT_LISTEN.rpartition(":")[2])
CONNECT_TRIES: Final = 3
# Far longer ones overflow in the system, which raises an exception of its own.
MOST_TIMEOUT_S: Final = 1e6
_RETRY_S: Final = 0.3
# The longest reply, 65,536 records in base64, is a sixth of it.
REPLY_BYTES: Final = 64 << 20
_SHOWN_CHARACTERS: Final = 200
_TOKEN: Final = re.compile(r"[!-~]+")
_PATHS: Final = ("", "/", "/RPC2")
_MOST_PORT: Final = 65_535
# RFC 1035, 2.3.4, with the underscore that hosts files and containers have; IPv4 addresses fit too.
_NAME: Final = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")


class RpcError(KvmlogError):
    """A failed call: the server cannot be reached, or sent no proper reply."""


class RpcUnreachableError(RpcError):
    """The server cannot be reached: nobody listens there, or the network refuses."""


class RpcFaultError(RpcError):
    """A fault from the server, with its sentence; codes: docs/rpc.md, "Faults"."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def parse_address(text: str, port: int = DEFAULT_PORT, tls: bool = False) -> tuple[str, int, bool]:
    """Parse HOST, HOST:PORT, [IPv6]:PORT or an http(s) URL; return (host, port, with TLS).

    port, tls: defaults, for a text without these. RpcError for anything else.
    """
    url = text if "://" in text else f"{'https' if tls else 'http'}://{text}"
    try:
        parts = urlsplit(url)
        host, given = parts.hostname or "", parts.port
    except ValueError:
        host, given, parts = "", None, urlsplit("")
    extra = "@" in parts.netloc or parts.query or parts.fragment or parts.path not in _PATHS
    fits = parts.scheme in ("http", "https") and text.isprintable() and " " not in text
    if extra or not fits or not _is_host(host) or given == 0:
        raise RpcError(
            f"{text[:_SHOWN_CHARACTERS]!a}: no server's address; give HOST, HOST:PORT or "
            "https://HOST:PORT, IPv6 in [brackets]"
        )
    port = port if given is None else given
    if not 0 < port <= _MOST_PORT:
        raise RpcError(f"port {port}: no port of a server; give 1 to {_MOST_PORT}")
    return host, port, parts.scheme == "https"


class Connection:
    """A connection to a server, opened by the first call; for one thread at a time.

    tls: how to verify the server; None: plain HTTP. A token goes to loopback or through TLS only.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str | None,
        tls: ssl.SSLContext | None,
        timeout_s: float,
        connect_tries: int = CONNECT_TRIES,
        reply_bytes: int = REPLY_BYTES,
    ) -> None:
        if not 0 < timeout_s <= MOST_TIMEOUT_S:
            raise RpcError(
                f"timeout {timeout_s:g} s: give more than 0 and at most {MOST_TIMEOUT_S:.0f}"
            )
        if token is not None and _TOKEN.fullmatch(token) is None:
            raise RpcError("the token is empty, or has characters that no token has; read it anew")
        if token is not None and tls is None and not _is_loopback(host):
            raise RpcError(
                f"a token for {host} would be sent in the clear; use TLS (https://, --tls-ca)"
            )
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timeout_s = timeout_s
        self._tries = max(1, connect_tries)
        self._reply_bytes = reply_bytes
        self._under_way: socket.socket | None = None
        self._interrupted = False
        self._headers = {"Content-Type": "text/xml", "User-Agent": "kvmlog"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._http = (
            http.client.HTTPConnection(host, port, timeout=timeout_s)
            if tls is None
            else http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
        )

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._http.close()

    def interrupt(self) -> None:
        """Shut the connection down from another thread: what waits for it there ends.

        No call is sent after that: the thread may be between two of them.
        """
        self._interrupted = True
        found = self._under_way
        if found is not None:
            with contextlib.suppress(OSError):
                # The socket below TLS: that of TLS says goodbye first, and may wait for it.
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    def call(self, method: str, *parameters: Any, longer_s: float = 0.0) -> Any:
        """Return the result of one call; RpcFaultError for a fault, RpcError for no reply.

        longer_s: how much longer than usual the server may take.
        """
        body = dumps(parameters, method).encode("utf-8")
        timeout_s = min(self._timeout_s + longer_s, MOST_TIMEOUT_S)
        self._connect()
        assert self._http.sock is not None
        # http.client forgets it before a reply that ends the connection has been read.
        self._under_way = self._http.sock
        # After that line: interrupt() shuts down what stands there.
        if self._interrupted:
            self.close()
            raise RpcError(f"{self.name}: ended before {method} was sent; ask again")
        try:
            self._http.sock.settimeout(timeout_s)
            self._http.request("POST", "/RPC2", body, self._headers)
            reply = self._http.getresponse()
            content = reply.read(self._reply_bytes + 1)
        except TimeoutError:
            self.close()
            raise RpcError(
                f"{self.name}: no reply to {method} within {timeout_s:g} s; "
                "the server may yet carry it out"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RpcError(
                f"{self.name}: the connection ended before the reply to {method} "
                f"({_reason(error)}); look at the server's log"
            ) from None
        if reply.status != http.HTTPStatus.OK:
            self.close()
            if _is_json_port(reply):
                raise RpcError(
                    f"{self.name}: this is the port of JSON (rpc.json_listen); name the one of "
                    f"XML-RPC (rpc.listen, by default {DEFAULT_PORT})"
                )
            text = content.decode("utf-8", "replace").strip()[:_SHOWN_CHARACTERS]
            raise RpcError(f"{self.name}: refused with HTTP {reply.status}: {ascii(text)[1:-1]}")
        if len(content) > self._reply_bytes:
            self.close()
            raise RpcError(
                f"{self.name}: a reply of more than {self._reply_bytes} bytes; ask for less"
            )
        return self._result(content)

    def _connect(self) -> None:
        if self._http.sock is not None:
            # An idle connection that the server has closed is readable: there is an end of file.
            if not select.select([self._http.sock], [], [], 0)[0]:
                return
            self.close()
        for tries_left in reversed(range(self._tries)):
            try:
                self._http.connect()
                return
            except ssl.SSLError as error:
                self.close()
                raise RpcError(
                    f"{self.name}: no TLS connection ({_reason(error)}); look at --tls-ca and at "
                    "the server's certificate"
                ) from None
            except OSError as error:
                self.close()
                unknown_host = isinstance(error, socket.gaierror)
                if not tries_left or unknown_host:
                    raise RpcUnreachableError(
                        f"{self.name}: cannot be reached ({_reason(error)}); is kvmlog rpc running "
                        "there, and the port right?"
                    ) from None
            time.sleep(_RETRY_S)

    def _result(self, content: bytes) -> Any:
        target = Unmarshaller(use_builtin_types=True)
        parser = DefusedExpatParser(
            target, forbid_dtd=True, forbid_entities=True, forbid_external=True
        )
        try:
            parser.feed(content)
            parser.close()
            return target.close()[0]
        except Fault as fault:
            raise RpcFaultError(int(fault.faultCode), str(fault.faultString)) from None
        except (
            ArithmeticError,
            AttributeError,
            DefusedXmlException,
            ExpatError,
            LookupError,
            ResponseError,
            TypeError,
            ValueError,
        ):
            raise RpcError(
                f"{self.name}: the reply is no XML-RPC; is a kvmlog server there?"
            ) from None


def _is_json_port(reply: http.client.HTTPResponse) -> bool:
    """Return whether a refusal is that of a kvmlog server's other port: a problem (RFC 9457)."""
    kind = reply.headers.get_content_type()
    return kind == "application/problem+json" and reply.headers.get("Server") == "kvmlog"


def _is_host(host: str) -> bool:
    """Return whether it is a name or address; for anything else the resolver raises others."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    try:
        return _NAME.fullmatch(host.encode("idna").decode("ascii")) is not None
    except UnicodeError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
