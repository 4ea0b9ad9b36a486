# SPDX-License-Identifier: GPL-2.0-or-later
"""Certificates for tests, made by openssl: a CA, a server, clients."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.users import ADDRESS

# Kinds of keys, as `openssl req -newkey` has them.
EC: Final = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA: Final = ("rsa:2048",)


class Authority:
    """A certificate authority in a folder; issue() gives PEM files."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl(
            *("req", "-x509", "-newkey", *EC, "-nodes"),
            *("-subj", f"/CN={name}", "-days", "2"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(
        self, name: str, days: int = 1, san: str = "", kind: Sequence[str] = EC
    ) -> tuple[Path, Path]:
        """Certificate and key (mode 0600) of a CN; san as in "DNS:host.example"; kind: EC, RSA."""
        key, request = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        certificate, extensions = self._folder / f"{name}.pem", self._folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName = {san or f'IP:127.0.0.1,IP:{ADDRESS}'}\n", encoding="ascii"
        )
        _openssl(
            *("req", "-new", "-newkey", *kind, "-nodes"),
            *("-subj", f"/O=example/CN={name}", "-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-days", str(days), "-set_serial", "7"),
            *("-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-extfile", str(extensions), "-out", str(certificate)),
        )
        key.chmod(0o600)
        return certificate, key

    def client(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """A client's side of TLS that trusts this CA, with a certificate of its own or none."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
