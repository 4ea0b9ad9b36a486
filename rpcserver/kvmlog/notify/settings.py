# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets of the configuration: URLs, secrets, certificates, each checked at the start."""

from __future__ import annotations

import ssl
import urllib.parse
from typing import Final

from kvmlog.config.schema.vms import NotifyKeys
from kvmlog.notify.amqp import Amqp
from kvmlog.notify.message import Origin
from kvmlog.notify.target import Target
from kvmlog.notify.webhook import Webhook
from kvmlog.util import secrets, tls
from kvmlog.util.errors import UsageError

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def targets(keys: NotifyKeys, origin: Origin) -> list[Target]:
    """Return what is configured; UsageError or SecretError for what cannot be used.

    Nothing is connected yet.
    """
    found: list[Target] = []
    if keys.webhook:
        found.append(_webhook(keys, origin))
    if keys.amqp:
        found.append(_amqp(keys, origin))
    if not found:
        raise UsageError(
            "there is nobody to notify; set notify.webhook or notify.amqp (docs/notifications.md)"
        )
    return found


def _webhook(keys: NotifyKeys, origin: Origin) -> Target:
    url = _url(keys.webhook, "notify.webhook", ("https", "http"))
    headers = {}
    if keys.webhook_header_file:
        if url.scheme == "http" and url.hostname not in _LOOPBACK:
            raise UsageError(
                f"notify.webhook {keys.webhook!r} would send the secret of "
                "notify.webhook_header_file in the clear; give an https:// URL"
            )
        name, value = _header(keys.webhook_header_file, keys.user)
        headers[name] = value
    return Webhook(keys.webhook, origin, headers, _context(keys) if url.scheme == "https" else None)


def _header(path: str, user: str) -> tuple[str, str]:
    text = secrets.read_secret(path, "header of the webhook", user).decode("latin-1").strip()
    name, colon, value = text.partition(":")
    if not colon or not name.replace("-", "").isalnum() or not value.strip().isprintable():
        raise UsageError(
            f"{path}: is no header of HTTP; write one line as Authorization: Bearer SECRET"
        )
    return name, value.strip()


def _amqp(keys: NotifyKeys, origin: Origin) -> Target:
    url = _url(keys.amqp, "notify.amqp", ("amqp", "amqps"))
    whole = keys.amqp
    if keys.amqp_password_file:
        password = secrets.read_secret(keys.amqp_password_file, "password of the broker", keys.user)
        quoted = urllib.parse.quote(password.decode("utf-8", "surrogateescape").strip(), safe="")
        place = url.netloc.rpartition("@")[2]
        user = urllib.parse.quote(urllib.parse.unquote(url.username or "guest"), safe="")
        whole = urllib.parse.urlunsplit(url._replace(netloc=f"{user}:{quoted}@{place}"))
    return Amqp(whole, keys.amqp, origin, _context(keys) if url.scheme == "amqps" else None)


def _url(text: str, key: str, schemes: tuple[str, ...]) -> urllib.parse.SplitResult:
    try:
        url = urllib.parse.urlsplit(text)
        known = url.scheme in schemes and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        known = False
    if not known:
        wanted = " or ".join(f"{scheme}://HOST/..." for scheme in schemes)
        raise UsageError(f"{key} {text!r} is no URL that can be used; give {wanted}")
    if url.password is not None:
        other = f"{key}_{'password' if key == 'notify.amqp' else 'header'}_file"
        raise UsageError(f"{key} has a password, which is no secret there; put it into {other}")
    return url


def _context(keys: NotifyKeys) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=keys.tls_ca or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"notify.tls_ca {keys.tls_ca!r} cannot be used ({error}); give a file of certificates "
            "in PEM"
        ) from None
    tls.restrict(context)
    return context
