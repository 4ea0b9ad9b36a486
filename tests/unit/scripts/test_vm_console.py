# SPDX-License-Identifier: GPL-2.0-or-later
"""Console lines that fail a VM's run."""

from __future__ import annotations

import pytest

from scripts.vm.console import culprits, problems, tail


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: CPU: 1 PID: 7 at kernel/locking/lockdep.c:1 f+0x1/0x2",
        "WARNING: possible circular locking dependency detected",
        "BUG: sleeping function called from invalid context at mm/slab.c:1",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Oops: int3: 0000 [#1] PREEMPT SMP NOPTI",
        "Kernel panic - not syncing: sysrq triggered crash",
        "INFO: task kworker/0:1:9 blocked for more than 120 seconds.",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [insmod:99]",
        "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
        "kernel BUG at mm/slub.c:1!",
        "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2 [kvmlog]",
        "BUG kmalloc-64 (Tainted: G           O      ): Right Redzone overwritten",
        "UBSAN: array-index-out-of-bounds in kmod/buffer.c:1:2",
        "WARNING: inconsistent lock state",
        "[ BUG: Invalid wait context ]",
        "turning off the locking correctness validator.",
        "ODEBUG: free active (active state 0) object type: work_struct hint: f+0x0/0x1",
        "list_add corruption. prev->next should be next (0), but was 1.",
        "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "kmemleak: Kernel memory leak detector disabled",
        "refcount_t: underflow; use-after-free.",
        "Missing ENDBR: svm_get_exit_info+0x0/0x40",
    ],
)
def test_a_sick_kernel_is_noticed(line: str) -> None:
    """Each of the ways in which kernels complain."""
    stamped = f"[    4.497872] {line}"
    assert problems(f"[    1.0] all well\n{stamped}\n[    5.0] all well\n") == (stamped,)


@pytest.mark.parametrize(
    "line",
    [
        "kvmlog: loading out-of-tree module taints kernel.",
        "kvmlog: module verification failed: signature and/or required key missing",
        "mtrr: your CPUs had inconsistent fixed MTRR settings",
        "kvm: Nested Virtualization enabled",
        "Invalid ELF header magic: != ELF",
        "kmemleak: Automatic memory scanning thread started",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 39000)",
        "FAULT_INJECTION: forcing a failure.",
    ],
)
def test_a_healthy_kernel_is_left_alone(line: str) -> None:
    """Lines of every boot."""
    assert problems(f"[    1.0] {line}\n") == ()


def test_the_end_of_a_console_is_shown() -> None:
    """The last lines only."""
    text = "\n".join(str(number) for number in range(100))
    assert tail(text, lines=2) == "98\n99"


def test_a_complaint_belongs_to_the_test_before_it() -> None:
    """And one before any test to nobody."""
    text = "[1.0] test: a\n[1.1] BUG: x\n[1.2] test: b\n[1.3] fine\n[1.4] test: c\n[1.5] Oops\n"
    assert culprits(text, "test: ") == {"a", "c"}
    assert culprits("[0.1] WARNING: x\n" + text, "test: ") == {"", "a", "c"}
