# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing of untrusted request bodies.

defusedxml's parser stops at the first DTD, entity or external reference, before
anything is expanded. The rest (depth, shape) is checked here.
"""

from __future__ import annotations

from typing import Any, Final
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, ResponseError, Unmarshaller

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from kvmlog.rpcserver import faults

# What the stdlib's unmarshaller raises for well-formed XML that is no XML-RPC.
_MALFORMED: Final = (
    ResponseError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class _TooDeepError(Exception):
    """Elements are nested deeper than a request may nest them."""


class _BoundedUnmarshaller(Unmarshaller):
    """The stdlib's unmarshaller, which refuses deep nesting while reading."""

    def __init__(self, depth: int) -> None:
        super().__init__(use_datetime=False, use_builtin_types=True)
        self._depth = 0
        self._max_depth = depth

    def start(self, tag: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > self._max_depth:
            raise _TooDeepError
        if self._depth == 1 and tag != "methodCall":
            raise ResponseError(tag)
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._depth -= 1
        super().end(tag)


def parse_call(body: bytes, depth: int) -> tuple[str, tuple[Any, ...]]:
    """Parse a methodCall; return the method's name and its parameters.

    depth: nested elements at most. Raises Fault NOT_WELL_FORMED or INVALID_REQUEST.
    """
    target = _BoundedUnmarshaller(depth)
    parser = DefusedExpatParser(target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(body)
        parser.close()
        parameters = target.close()
    except DefusedXmlException:
        raise faults.fault(
            faults.NOT_WELL_FORMED, "The request holds a DTD or an entity; send plain XML-RPC."
        ) from None
    except ExpatError as error:
        raise faults.fault(
            faults.NOT_WELL_FORMED, f"The request is no well-formed XML: {error}."
        ) from None
    except _TooDeepError:
        raise faults.fault(
            faults.INVALID_REQUEST,
            f"The request nests more than {depth} elements; no method takes such a value.",
        ) from None
    except Fault:
        raise faults.fault(
            faults.INVALID_REQUEST, "The request is a fault reply; send a methodCall."
        ) from None
    except _MALFORMED as error:
        raise faults.fault(
            faults.INVALID_REQUEST,
            f"The request is no XML-RPC methodCall: {type(error).__name__} while reading it.",
        ) from None
    method = target.getmethodname()
    if not isinstance(method, str):
        raise faults.fault(
            faults.INVALID_REQUEST, "The request names no method; send a methodCall."
        )
    return method, tuple(parameters)
