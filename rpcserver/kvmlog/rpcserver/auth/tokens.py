# SPDX-License-Identifier: GPL-2.0-or-later
"""Bearer tokens: made once, stored as hashes, compared in constant time.

The file has one line per token: ROLE NAME HASH. ROLE is "read", or "switch", which may read too;
NAME is for the log; HASH is the SHA-256 of the token in hex. A token has 256 random bits, so that a
plain hash reveals nothing. Empty lines and lines that begin with # are ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from typing import Final

from kvmlog.rpcserver.auth.caller import ALL_ROLES, Role
from kvmlog.util.errors import KvmlogError
from kvmlog.util.secrets import SecretError, check_secret, read_secret

ROLES: Final = {"read": Role.READ, "switch": ALL_ROLES}

_WHAT: Final = "token file"
_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True)
class Token:
    """Stored form of a token, which does not include the token itself."""

    name: str
    roles: Role
    digest: str  # SHA-256, hex


class Tokens:
    """All tokens of a file."""

    def __init__(self, tokens: tuple[Token, ...] = ()) -> None:
        self._tokens = tokens

    @classmethod
    def read(cls, path: str, user: str = "") -> Tokens:
        """Read a token file.

        SecretError when it cannot be read, is accessible to others, or has a malformed line. user:
        who may own it, as for read_secret().
        """
        text = read_secret(path, _WHAT, user).decode("utf-8", "replace")
        lines = enumerate(text.splitlines(), 1)
        return cls(
            tuple(
                _parse(path, number, line)
                for number, line in lines
                if line.strip() and not line.lstrip().startswith("#")
            )
        )

    def find(self, presented: str) -> Token | None:
        """Return the token that was presented; None when it is not among these."""
        digest = _digest(presented)
        found = None
        # All of them, also after a match: the time taken must not reveal which one it is.
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found


def print_new_token(path: str, name: str, role: str, user: str) -> None:
    """Make a token as new_token() does, and print it; KvmlogError without a file for it."""
    if not path:
        raise KvmlogError(
            "--new-token needs a file to add the token to; give --token-file or set it"
        )
    # The whole line before the next one on stderr: both may be the same file.
    print(new_token(path, name, role, user), flush=True)


def new_token(path: str, name: str, role: str, user: str = "") -> str:
    """Make a token, append its line to the file, and return the token, which is stored nowhere.

    An existing file keeps its owner; user: as for read_secret(). SecretError for a name that is
    malformed or taken, and for a file that cannot be written.
    """
    if _NAME.fullmatch(name) is None:
        raise SecretError(
            f"{name!a}: a token's name has 1 to 64 letters, digits, '.', '_', '@' or '-'"
        )
    known = Tokens.read(path, user)._tokens if os.path.lexists(path) else ()
    if any(token.name == name for token in known):
        raise SecretError(f"{path}: has a token {name}; give another name, or delete its line")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    line = f"{role} {name} {_digest(token)}\n".encode()
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.closing(os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)) as file:
            check_secret(path, _WHAT, file.fileno(), user, links=False)
            size = os.fstat(file.fileno()).st_size
            # An editor may have left the last line without its end.
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                line = b"\n" + line
            file.write(line)
    except OSError as error:
        raise SecretError(
            f"{path}: the {_WHAT} cannot be written ({error.strerror}); be root or give another"
        ) from None
    return token


def _parse(path: str, number: int, line: str) -> Token:
    words = line.split()
    if len(words) == 3:
        role, name, digest = words
        if role in ROLES and _NAME.fullmatch(name) and _HASH.fullmatch(digest):
            return Token(name, ROLES[role], digest)
    # Not the line itself: it may be a token.
    raise SecretError(
        f"{path}: line {number} is not ROLE NAME HASH with a role read or switch; make lines by "
        "kvmlog rpc --new-token NAME"
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
