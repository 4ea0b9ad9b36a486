# SPDX-License-Identifier: GPL-2.0-or-later
"""Files with secrets: whose they may be, of which mode, and that a server keeps reading its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import pytest

from kvmlog.util.secrets import SecretError, UnreadableError, read_secret
from tests.support import forking
from tests.support.bridge_process import kvmlog
from tests.support.certificates import Authority
from tests.support.users import MEMBER, MEMBER_GID, MEMBER_UID, NOBODY, as_root
from tests.system.test_services import Service

pytestmark = as_root


def secret(folder: Path, mode: int, uid: int, gid: int) -> str:
    """A file with the secret `x`."""
    path = folder / "secret"
    path.write_bytes(b"x")
    os.chown(path, uid, gid)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "user"),
    [
        (0o600, 0, 0, ""),
        (0o400, 0, MEMBER_GID, ""),
        (0o640, 0, 0, ""),
        (0o600, MEMBER_UID, MEMBER_GID, MEMBER),
        (0o600, 0, 0, "no-such-user"),
    ],
)
def test_root_reads_what_is_its_own_or_the_servers(
    open_folder: Path, mode: int, uid: int, gid: int, user: str
) -> None:
    """The group root has no members but root's."""
    assert read_secret(secret(open_folder, mode, uid, gid), "key", user) == b"x"


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "user", "words"),
    [
        (0o640, 0, MEMBER_GID, "", "mode 0640, open to others; chmod 0600 it and chown it to root"),
        (0o640, 0, MEMBER_GID, MEMBER, "open to others; chmod 0600 it and chown it to games"),
        (0o640, MEMBER_UID, MEMBER_GID, MEMBER, "mode 0640, open to others; chmod 0600 it"),
        (0o660, 0, 0, "", "has mode 0660, open to others; chmod 0600 it"),
        (0o604, 0, 0, "", "has mode 0604, open to others; chmod 0600 it"),
        (0o600, MEMBER_UID, 0, "", "belongs to uid 5, .* chown it to root"),
        (0o600, NOBODY, 0, MEMBER, "belongs to uid 65534, .* chown it to games"),
    ],
)
def test_what_a_group_or_another_user_may_read_is_no_secret(
    open_folder: Path, mode: int, uid: int, gid: int, user: str, words: str
) -> None:
    """The sentence has mode or owner, and the remedy for the user that needs the file."""
    with pytest.raises(SecretError, match=words):
        read_secret(secret(open_folder, mode, uid, gid), "key", user)


def test_a_user_reads_their_own_and_is_told_how_to_get_it(open_folder: Path) -> None:
    """The user that somebody else becomes counts for root only."""
    path = secret(open_folder, 0o600, MEMBER_UID, MEMBER_GID)

    def own() -> None:
        os.setresuid(MEMBER_UID, MEMBER_UID, MEMBER_UID)
        assert read_secret(path, "key") == b"x"

    def of_root() -> None:
        os.setresuid(MEMBER_UID, MEMBER_UID, MEMBER_UID)
        with pytest.raises(UnreadableError, match="chown it to games and chmod 0600 it"):
            read_secret(path, "key", "root")

    assert forking.run(own) == 0
    os.chown(path, 0, 0)
    assert forking.run(of_root) == 0


def test_a_server_keeps_reading_files_of_its_own_user(open_folder: Path) -> None:
    """Files are read as root at the start and as that user at SIGHUP.

    A new token leaves the file to its owner.
    """
    authority = Authority(open_folder)
    certificate, key = authority.issue("server")
    tokens = open_folder / "tokens"
    text = (
        f'[rpc]\nuser = "{MEMBER}"\nlisten = "127.0.0.1:0"\ntoken_file = "{tokens}"\n'
        f'tls_cert = "{certificate}"\ntls_key = "{key}"\n'
    )

    def new_token(name: str) -> str:
        given = ("--token-file", str(tokens), "--user", MEMBER, "--new-token", name)
        made = kvmlog("rpc", *given)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    new_token("first")
    for path in (tokens, key):
        os.chown(path, MEMBER_UID, MEMBER_GID)
    with Service(open_folder, "rpc", text) as service:
        address = service.says("serving ").split()[3]
        service.says("root dropped")
        service.tells("READY=1")
        second = new_token("second")
        status = tokens.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (MEMBER_UID, 0o600)
        service.hang_up()
        service.says("configuration read again; no key has changed")
        header = ("Authorization", f"Bearer {second}")
        context = authority.client()
        with ServerProxy(address, headers=[header], context=context) as client:
            names: Any = client.system.listMethods()
            assert "kvmStatus" in names
        os.chown(key, 0, 0)
        service.hang_up()
        assert f"chown it to {MEMBER} and chmod 0600" in service.says("not applied, stays as it")
        assert service.end() == 0
