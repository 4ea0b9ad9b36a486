# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that runs a guest of its own: which of its exits the host handled, which its hypervisor.

tests/guest/nested.c: the hypervisor (L1) asks for CPUID, VMMCALL and HLT of its guest (L2), not for
ports.
"""

from __future__ import annotations

from collections import Counter

import pytest

from kvmlog.exits.format.serialize import record_object
from kvmlog.exits.reasons import svm
from kvmlog.native import lib
from kvmlog.ring.records import Record
from tests.vm.inside import host, sources
from tests.vm.inside.sources import Control, Receiver

TURNS = 61
NESTED, L0, L1 = lib.KVMLOG_F_NESTED, lib.KVMLOG_F_NESTED_L0, lib.KVMLOG_F_NESTED_L1
CODES = {name: code for code, name in svm.NAMES.items()}
CPUID, HLT, IO, VMMCALL, VMRUN = (
    CODES[one] for one in ("cpuid", "hlt", "io", "hypercall", "vmrun")
)


@pytest.fixture
def traced(control: Control, receiver: Receiver) -> list[Record]:
    """All exits of one run."""
    control.switch_on()
    assert host.run(str(host.NESTED_GUEST), str(TURNS)) == f"{TURNS}\n"
    control.switch_off()
    receiver.drain()
    control.status().check_sum()
    return receiver.exits


@sources.only(*sources.ALL)
def test_who_handled_each_exit_of_a_nested_guest(traced: list[Record]) -> None:
    """The host what L1 did not ask for, L1 the rest; and no exit of L1 itself is told to be one."""
    nested = [record for record in traced if record.flags & NESTED]
    handled = Counter((record.reason, record.flags & (L0 | L1)) for record in nested)
    asked = {(reason, L1): TURNS for reason in (CPUID, VMMCALL, HLT)}
    assert {key: handled[key] for key in asked} == asked
    assert handled[IO, L0] == TURNS
    assert {reason for reason, who in handled if who == L1} <= {CPUID, VMMCALL, HLT}
    # Interrupts of the host and memory that was not mapped yet come as they come.
    assert {who for _, who in handled} == {L0, L1}

    others = [record for record in traced if not record.flags & NESTED]
    assert not [record for record in others if record.flags & (L0 | L1)]
    assert Counter(record.reason for record in others)[VMRUN] == 3 * TURNS

    calls = [record_object(record, 0, 0) for record in nested if record.reason == VMMCALL]
    assert {call["detail_words"] for call in calls} == {"hypercall 5"}
