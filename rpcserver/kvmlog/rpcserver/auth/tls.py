# SPDX-License-Identifier: GPL-2.0-or-later
"""TLS: the server's certificate, clients' certificates, and what names those bear."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final

from kvmlog.config.load import Config
from kvmlog.rpcserver.auth.caller import ALL_ROLES, Role
from kvmlog.util.errors import KvmlogError
from kvmlog.util.secrets import UnreadableError, read_secret

_SHOWN_CHARACTERS: Final = 64


class TlsError(KvmlogError):
    """Certificates or keys that cannot be used."""


def server_context(config: Config) -> ssl.SSLContext | None:
    """The server's side of TLS 1.2 and newer; None without a certificate.

    With tls_ca clients' certificates are verified; they are required unless there are tokens, with
    which a client may do instead. TlsError, SecretError for files that cannot be used.
    """
    keys = config.rpc
    if not keys.tls_cert and not keys.tls_key:
        if keys.tls_ca:
            raise TlsError("--tls-ca needs TLS; give --tls-cert and --tls-key as well")
        return None
    if not (keys.tls_cert and keys.tls_key):
        raise TlsError("--tls-cert and --tls-key go together; give both")
    read_secret(keys.tls_key, "TLS key", keys.user)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
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
    """The names in a verified certificate, as ssl gives it: the subject's CN, then its SANs."""
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    common = [str(value) for kind, value in subject if kind == "commonName"]
    return common + [str(value) for _, value in certificate.get("subjectAltName", ())]


def expired(certificate: dict[str, Any], now_s: float) -> bool:
    """Whether its time has passed; now_s: seconds since the epoch."""
    return ssl.cert_time_to_seconds(certificate["notAfter"]) < now_s


def shown(all_names: Sequence[str]) -> str:
    """One name for the log, short and in ASCII."""
    name = all_names[0] if all_names else "a certificate without a name"
    return ascii(name[:_SHOWN_CHARACTERS])[1:-1]


def roles(all_names: Sequence[str], switch_names: Sequence[str]) -> Role:
    """What a verified certificate allows; without switch_names all of them may switch."""
    if not switch_names or set(all_names) & set(switch_names):
        return ALL_ROLES
    return Role.READ


def _no_password() -> str:
    # Else OpenSSL asks on the terminal.
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
