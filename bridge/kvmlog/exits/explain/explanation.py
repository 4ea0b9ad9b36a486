# SPDX-License-Identifier: GPL-2.0-or-later
"""An explained reason, and the explanations that several tables share.

The meaning of a reason comes from the manuals that each ISA's table cites; causes and
remedies come from KVM's own documentation (Documentation/virt/kvm/, the parameters of
kvm.ko, kvm_intel.ko and kvm_amd.ko in Documentation/admin-guide/kernel-parameters.txt)
and QEMU's.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Explanation(NamedTuple):
    """Full sentences: what the exit is, what causes a lot of it, and what helps.

    remedies: one each, beginning with "Host: " or "Guest: " where it is clear who has to act.
    """

    what: str
    causes: str
    remedies: tuple[str, ...]


class Explained(NamedTuple):
    """An exit reason with its explanation, from this host's tables or another's.

    isa, flags: as in kvmlog.exits.reasons.lookup.Reason. meaning: one line, without full stop.
    """

    isa: str
    number: int
    name: str
    flags: tuple[str, ...]
    meaning: str
    explanation: Explanation


NOT_SEEN: Final = Explanation(
    "KVM does not ask the CPU for this exit, or does not offer a guest what leads to it.",
    "Rare: an ordinary guest does not produce it. A lot of it would be a surprise worth a look "
    "at the guest's instruction pointer (rip in `kvmlog dump --json`).",
    (),
)

RARE: Final = Explanation(
    "KVM handles it when it comes, or does not offer a guest what leads to it; there is no more to "
    "say of it than that line.",
    "Rare: an ordinary guest produces a few while it starts, or none at all.",
    (),
)

ELSEWHERE: Final = Explanation(
    "A return to the VMM on an architecture whose exits kvmlog does not record.",
    "Not seen on x86 and arm64.",
    (),
)

NOT_USED: Final = Explanation(
    "A number that the kernel keeps; KVM does not give it any more.",
    "Never, with a kernel of these days.",
    (),
)

NESTED_INSTRUCTION: Final = Explanation(
    "The guest is itself a hypervisor and used an instruction of hardware virtualisation. KVM "
    "carries it out for it; the host's CPU has one level of virtualisation only, so each exit "
    "of the inner guest costs several of these on the way to the guest's hypervisor and back.",
    "A hypervisor in the guest: nested KVM, Hyper-V with VBS or WSL2 in a Windows guest, a "
    "sandbox that uses KVM. Their number follows the exits of the inner guest.",
    (
        "Guest: reduce the exits of the inner guests first; each is multiplied here.",
        "Guest: on Windows, switch VBS, memory integrity and WSL2 off if they are not needed.",
        "Host: Intel: leave enable_shadow_vmcs=1 (kvm_intel), which lets most VMREAD and VMWRITE "
        "run without exits; for Hyper-V in the guest, QEMU's hv-evmcs replaces them by memory.",
        "Host: AMD: leave vls=1 and vgif=1 (kvm_amd), which let VMLOAD, VMSAVE, STGI and CLGI run "
        "without exits.",
    ),
)

SHUTDOWN_LIKE: Final = Explanation(
    "An exception could not be delivered, nor the double fault that followed: the guest's CPU "
    "shuts down. KVM returns KVM_EXIT_SHUTDOWN and the VMM resets or ends the guest.",
    "Once per reset, where the guest uses a triple fault on purpose (Linux reboot=triple, some "
    "firmware). Else the guest crashed badly: broken page or interrupt tables, a bad restore of "
    "its state after migration.",
    (
        "Guest: look at its console; a serial console or QEMU's pvpanic tells of a panic before.",
        "Host: QEMU's -no-reboot or -action shutdown=pause keeps the guest for a look.",
    ),
)
