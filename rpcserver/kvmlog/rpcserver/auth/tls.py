# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS: the server's certificate, clients' certificates, and the names in these."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final, Protocol

from kvmlog.rpcserver.auth.caller import ALL_ROLES, Role
from kvmlog.util.errors import KvmlogError
from kvmlog.util.secrets import UnreadableError, read_secret
from kvmlog.util.tls import restrict

_SHOWN_CHARACTERS: Final = 64


class TlsError(KvmlogError):
    """Certificates or keys that cannot be used."""


class CredentialKeys(Protocol):
    """The keys of a server's section that tell whom it serves: `rpc`, `metrics`."""

    @property
    def user(self) -> str:
        """The user that it runs as, who may own its secrets."""

    @property
    def tls_cert(self) -> str:
        """PEM file; "": no TLS."""

    @property
    def tls_key(self) -> str:
        """PEM file; "": no TLS."""

    @property
    def tls_ca(self) -> str:
        """PEM file; "": no client certificates."""

    @property
    def token_file(self) -> str:
        """File of Tokens; "": there are none."""

    @property
    def switch_names(self) -> tuple[str, ...]:
        """Names in certificates that may switch; none: all."""


def server_context(keys: CredentialKeys) -> ssl.SSLContext | None:
    """Return the server's side of TLS, as restrict() has it; None without a certificate.

    With tls_ca clients' certificates are verified, and required unless there are tokens, which a
    client may show instead. TlsError, SecretError for files that cannot be used.
    """
    if not keys.tls_cert and not keys.tls_key:
        if keys.tls_ca:
            raise TlsError("--tls-ca needs TLS; give --tls-cert and --tls-key as well")
        return None
    if not (keys.tls_cert and keys.tls_key):
        raise TlsError("--tls-cert and --tls-key go together; give both")
    read_secret(keys.tls_key, "TLS key", keys.user)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restrict(context)
    try:
        context.load_cert_chain(keys.tls_cert, keys.tls_key, password=_no_password)
    except PermissionError:
        raise UnreadableError(keys.tls_cert, "certificate") from None
    except (OSError, ValueError) as error:
        raise TlsError(
            f"{keys.tls_cert}, {keys.tls_key}: no certificate with its key ({_words(error)}); "
            "give PEM files that belong together, the key without a password"
        ) from None
    if keys.tls_ca:
        try:
            context.load_verify_locations(keys.tls_ca)
        except PermissionError:
            raise UnreadableError(keys.tls_ca, "file of CA certificates") from None
        except (OSError, ValueError) as error:
            raise TlsError(
                f"{keys.tls_ca}: no CA certificates ({_words(error)}); give a PEM file"
            ) from None
        context.verify_mode = ssl.CERT_OPTIONAL if keys.token_file else ssl.CERT_REQUIRED
    return context


def names(certificate: dict[str, Any]) -> list[str]:
    """Return the names in a verified certificate (ssl's dict): the subject's CN, then the SANs."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    common = [str(value) for kind, value in subject if kind == "commonName"]
    return common + [str(value) for _, value in certificate.get("subjectAltName", ())]


def expired(certificate: dict[str, Any], now_s: float) -> bool:
    """Return whether a certificate has expired; now_s: seconds since the epoch."""
    return ssl.cert_time_to_seconds(certificate["notAfter"]) < now_s


def shown(all_names: Sequence[str], switch_names: Sequence[str] = ()) -> str:
    """Return one name for the log, short and in ASCII.

    It is the one that may switch, by which the audit can be compared with the configuration; of a
    certificate without such a name, the first.
    """
    chosen = [name for name in all_names if name in switch_names] or all_names
    name = chosen[0] if chosen else "a certificate without a name"
    return ascii(name[:_SHOWN_CHARACTERS])[1:-1]


def roles(all_names: Sequence[str], switch_names: Sequence[str]) -> Role:
    """Return the roles of a verified certificate; without switch_names each one may switch."""
    if not switch_names or set(all_names) & set(switch_names):
        return ALL_ROLES
    return Role.READ


def _no_password() -> str:
    # Otherwise OpenSSL asks on the terminal.
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
