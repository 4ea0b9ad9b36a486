# SPDX-License-Identifier: GPL-2.0-or-later
"""vagrant/provision.sh killed in between, and where systemd runs the services.

What it makes on an undisturbed machine is tested in once/.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.vm.inside import provisioned
from tests.vm.inside.provisioned import ACCESS, CONFIG, PROVISION, SERVICES, UNCHANGED
from tests.vm.inside.sources import KMOD, only
from tests.vm.inside.systemd import Systemd

pytestmark = only(KMOD)


@pytest.fixture
def vm(source: str) -> Iterator[None]:
    """The VM, which is as it was afterwards."""
    with provisioned.forgotten():
        yield


def test_a_killed_run_is_continued_by_the_next(vm: None) -> None:
    """Killed after each thing that it makes, with files cut short as well; the fourth run ends."""
    provisioned.run_until("users: made", *PROVISION)
    provisioned.run_until("certificate: made", *PROVISION)
    certificate = CONFIG / "tls/cert.pem"
    certificate.write_bytes(certificate.read_bytes()[:100])
    again = provisioned.run_until("token: made", *PROVISION)
    assert "certificate: made" in again
    (ACCESS / "token").unlink()
    (ACCESS / "token.new").write_text("half")
    again = provisioned.run_until("module: loaded", *PROVISION)
    assert "certificate: good" in again
    assert "token: made" in again
    last = provisioned.run(*PROVISION)
    assert "token: /root/access/token is good" in last
    assert "services: started" in last
    assert (CONFIG / "tokens").read_text().count("developer") == 1
    assert sorted(path.name for path in ACCESS.iterdir()) == ["ca.pem", "token"]
    assert sorted(path.name for path in (CONFIG / "tls").iterdir()) == ["cert.pem", "key.pem"]
    assert provisioned.remote("status").returncode == 0


def test_where_systemd_is_it_starts_the_services(vm: None) -> None:
    """They are enabled and active, and a second run leaves them alone."""
    with contextlib.closing(Systemd(SERVICES)) as systemd:
        within = systemd.within()
        said = provisioned.run(*PROVISION, within=within)
        assert "services: started by systemd" in said
        states = [systemd.ctl("is-active", name) for name in SERVICES]
        states += [systemd.ctl("is-enabled", name) for name in SERVICES]
        assert states == ["active\n"] * 2 + ["enabled\n"] * 2
        pids = [systemd.value(name, "MainPID") for name in SERVICES]
        assert UNCHANGED in provisioned.run(*PROVISION, within=within)
        assert [systemd.value(name, "MainPID") for name in SERVICES] == pids
        assert provisioned.remote("status").returncode == 0
