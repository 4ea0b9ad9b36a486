# SPDX-License-Identifier: GPL-2.0-or-later
"""`kvmlog config check`: what no service starts with is a problem, in the service's own words."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from kvmlog.cli import config as cli_config
from kvmlog.cli import main as cli
from tests.support import forking
from tests.support.bridge_process import kvmlog
from tests.support.users import MEMBER, MEMBER_UID, NOBODY, as_root

assert cli_config  # before a child of the test may not read it any more


def written(folder: Path, text: str) -> str:
    """A configuration with this text; FOLDER in it is the folder."""
    path = folder / "kvmlog.toml"
    places = f'[bridge]\nsource = "kmod"\nring = "{folder}/ring"\nswitch = "{folder}/switch"\n'
    path.write_text(places + text.replace("FOLDER", str(folder)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("service", "text", "words"),
    [
        ("rpc", '[rpc]\nlisten = "0.0.0.0:0"', "beyond loopback TLS is needed"),
        ("rpc", '[rpc]\nlisten = "host.example:0"', "host.example is no IP address"),
        ("rpc", '[rpc]\ntls_cert = "FOLDER/c"', "--tls-cert and --tls-key go together; give both"),
        ("rpc", '[rpc]\ntls_ca = "FOLDER/c"', "--tls-ca needs TLS; give --tls-cert and --tls-key"),
        ("rpc", '[rpc]\ntls_cert = "FOLDER/c"\ntls_key = "FOLDER/k"', "k: the TLS key cannot be"),
        ("rpc", '[rpc]\ntoken_file = "FOLDER/t"', "t: the token file cannot be read (No such file"),
        ("rpc", '[rpc]\ntoken_file = "FOLDER/kvmlog.toml"', "kvmlog.toml: the token file has mode"),
        ("bridge", '[udp]\nlisten = "0.0.0.0:0"', "0.0.0.0:0: without a key commands are taken on"),
        ("bridge", '[udp]\nkey_file = "FOLDER/k"', "k: the UDP key cannot be read (No such file"),
        ("bridge", '[udp]\nlisten = "no..host:0"', "no..host cannot be resolved"),
        ("vmstats", '[vmstats]\nuris = ["qemu//system"]', "'qemu//system' is no libvirt URI; give"),
        ("vmstats", "[vmstats]\nuris = []", "there is no URI to collect from; give one such as"),
    ],
)
def test_what_no_service_starts_with_is_a_problem(
    open_folder: Path, service: str, text: str, words: str
) -> None:
    """The check gives the very sentence of the service that refuses to start."""
    file = written(open_folder, text)
    Path(file).chmod(0o644)
    refused = kvmlog(service, "--config", file)
    assert refused.returncode == 1
    sentence = refused.stderr.splitlines()[-1].removeprefix("kvmlog: ")
    assert words in sentence
    checked = kvmlog("config", "check", file)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr == f"kvmlog: {file}: kvmlog {service} does not start: {sentence}\n"


def test_every_problem_is_told(open_folder: Path) -> None:
    """Problems of all services are reported, one line each."""
    file = written(
        open_folder,
        '[udp]\nlisten = "0.0.0.0:1"\n[rpc]\nuser = "no-such-user"\nlisten = "0.0.0.0:2"\n'
        'tls_key = "FOLDER/k"\n[vmstats]\nuser = "no-such-user"\n'
        'uris = ["test:///default", "test:///default"]\n',
    )
    checked = kvmlog("config", "check", file)
    assert checked.returncode == 1
    lines = [line.removeprefix(f"kvmlog: {file}: kvmlog ") for line in checked.stderr.splitlines()]
    assert [line[:62] for line in lines] == [
        "bridge does not start: 0.0.0.0:1: without a key commands are t",
        "rpc does not start: there is no user no-such-user to become in",
        "rpc does not start: 0.0.0.0:2: beyond loopback callers need a ",
        "rpc does not start: --tls-cert and --tls-key go together; give",
        "vmstats does not start: there is no user no-such-user to becom",
        "vmstats does not start: test:///default is given twice; give e",
    ]


@as_root
def test_root_sees_files_as_the_server_does(open_folder: Path) -> None:
    """One that only root may read is no good to it."""
    tokens = open_folder / "tokens"
    tokens.touch(0o600)
    file = written(open_folder, f'[rpc]\nuser = "{MEMBER}"\ntoken_file = "{tokens}"\n')
    bad = kvmlog("config", "check", file)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert f"cannot be read by {MEMBER}; if it should be, chown it to {MEMBER}" in bad.stderr
    os.chown(tokens, MEMBER_UID, -1)
    good = kvmlog("config", "check", file)
    assert (good.returncode, good.stdout, good.stderr) == (0, f"{file}: good\n", "")


@as_root
def test_what_another_user_may_not_read_is_said_to_be_unseen(open_folder: Path) -> None:
    """It is no problem of the file; what they can see still is."""
    tokens, key = open_folder / "tokens", open_folder / "key"
    for path, uid in ((tokens, MEMBER_UID), (key, 0)):
        path.touch(0o600)
        os.chown(path, uid, -1)
    text = f'[udp]\nkey_file = "{key}"\n[rpc]\nuser = "{MEMBER}"\ntoken_file = "{tokens}"\n'
    file = written(open_folder, text)

    def check() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["config", "check", file])
        assert status == 0
        assert out.getvalue() == f"{file}: good, but for what was not looked at\n"
        assert err.getvalue().splitlines() == [
            f"kvmlog: {path}: not looked at, which takes the right to read it; run this as root"
            for path in (key, tokens)
        ]

    assert forking.run(check) == 0
