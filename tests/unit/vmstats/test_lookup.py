# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs by name, UUID, pid, and the aliases that the bridge knows."""

from __future__ import annotations

import pytest

from kvmlog.guests.model import Guest
from kvmlog.util.errors import VmStatsError
from kvmlog.vmstats.lookup import matching
from tests.support import vmstats_samples as make

VMS = (make.vm(), make.off_vm())
POD = Guest(4300, 1, "qemu-kvm", "qemu", "shop_web", True, make.WEB1, ("web",))


def named(*words: str, guests: tuple[Guest, ...] = (POD,)) -> list[str]:
    """The names of the VMs that the words mean."""
    return [vm.sample.name for vm in matching(VMS, words, guests)]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("web1", ["web1"]),
        ("4300", ["web1"]),
        (make.DB1, ["db1"]),
        (make.DB1.upper().replace("-", ""), ["db1"]),
        ("web", ["web1"]),
        ("shop_web", ["web1"]),
    ],
)
def test_a_word_names_a_vm_as_it_names_a_guest(word: str, names: list[str]) -> None:
    """A UUID in any form; a pid; the names that the bridge has for the same process."""
    assert named(word) == names


def test_words_keep_the_order_of_the_vms_and_none_means_all() -> None:
    """A VM that two words mean is there once."""
    assert named("db1", "web1", "4300") == ["web1", "db1"]
    assert named() == ["web1", "db1"]


def test_an_ended_guest_lends_no_name() -> None:
    """Its pid may be another process's by now."""
    ended = Guest(4300, 1, "qemu", "qemu", "old", True, make.WEB1, ("older",), ended_realtime_ns=1)
    for word in ("old", "older"):
        with pytest.raises(VmStatsError):
            named(word, guests=(ended,))


def test_a_word_for_no_vm_is_an_error_that_lists_some() -> None:
    """One sentence, with control characters escaped; another where there is no VM at all."""
    with pytest.raises(VmStatsError) as caught:
        named("w\x1beb")
    assert str(caught.value).startswith("no VM of libvirt has the name, UUID or pid 'w")
    assert "\x1b" not in str(caught.value)
    assert str(caught.value).endswith("; name one of: web1, db1")
    with pytest.raises(VmStatsError, match="there is no VM at all: define one, or name none"):
        matching((), ("web1",))
