# SPDX-License-Identifier: GPL-2.0-or-later
"""The VM runner is faithful: output, exit status, and what the kernel complains about."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from scripts.vm.kernels import PROJECT, SERIES
from scripts.vm.runner import VmKernelError, VmTimeoutError, run_vm


@pytest.mark.parametrize("kernel", SERIES)
def test_output_and_status_come_back_byte_for_byte(kernel: str) -> None:
    """Every byte value on stdout, another text on stderr, status 7, a writable project."""
    marker = PROJECT / "build" / "vm" / "marker"
    marker.unlink(missing_ok=True)
    result = run_vm(
        kernel,
        f"""
        for byte in $(seq 0 255); do printf "\\\\x$(printf %02x $byte)"; done
        echo for stderr >&2
        echo again >/dev/stdout
        test -c /dev/kvm && uname -r >{marker}
        touch /etc/kvmlog-was-here /tmp/kvmlog-was-here
        exit 7
        """,
        name=f"test-faithful-{kernel}",
    )

    assert result.exit_code == 7
    assert result.stdout_bytes == bytes(range(256)) + b"again\n"
    assert result.stderr == "for stderr\n"
    assert result.problems == ()
    assert marker.read_text().startswith(kernel)


def test_status_0_and_a_daemon_left_behind_do_not_hang_it() -> None:
    """A daemon that the command leaves running holds its output open, and dies with the VM."""
    result = run_vm("6.1", "sleep 1000 & echo started", name="test-daemon")

    assert (result.exit_code, result.stdout) == (0, "started\n")


def test_the_projects_python_runs_inside() -> None:
    """.venv is the same inside."""
    result = run_vm(
        "6.1", ".venv/bin/python -c 'import pytest, sys; print(sys.prefix)'", name="test-python"
    )

    assert result.stdout == f"{PROJECT}/.venv\n"


def test_a_hung_command_is_killed_with_its_console_shown() -> None:
    """The VM's process is gone afterwards."""
    begin = time.monotonic()
    with pytest.raises(
        VmTimeoutError, match=r"did not end within 45 s[^\0]*kvmlog says hello"
    ) as caught:
        run_vm(
            "6.1",
            "echo unfinished; echo kvmlog says hello >/dev/kmsg; sleep 1000",
            timeout_s=45,
            name="test-hang",
        )

    assert time.monotonic() - begin >= 45
    assert caught.value.result.stdout == "unfinished\n"
    assert caught.value.result.exit_code is None
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "test-hang" not in processes


def test_a_panic_is_shown() -> None:
    """Output printed before the panic is kept."""
    with pytest.raises(VmKernelError, match=r"Kernel panic[^\0]*sysrq_handle_crash") as caught:
        run_vm("6.1", "echo before; sleep 1; echo c >/proc/sysrq-trigger", name="test-panic")

    assert caught.value.result.stdout == "before\n"
    assert caught.value.result.exit_code is None


def test_a_warning_fails_the_run_whatever_the_status_was() -> None:
    """The kernel's WARNING line decides, unless the test tolerates it."""
    command = 'echo "WARNING: CPU: 0 PID: 1 at made/up.c:1" >/dev/kmsg'
    with pytest.raises(VmKernelError, match="complains"):
        run_vm("6.1", command, name="test-warning")

    assert run_vm("6.1", command, name="test-warning", tolerate=r"made/up\.c").exit_code == 0


def test_the_command_line_passes_status_and_output_on() -> None:
    """`make vm-sh` with quotes, dollars and another number of CPUs."""
    done = subprocess.run(
        [
            "make",
            "-s",
            "vm-sh",
            "KERNEL=6.1",
            "CPUS=3",
            "CMD=echo \"$HOME '$((6 * 7))'\"; nproc; exit 3",
        ],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "/root '42'\n3\n"
    assert "Error 3" in done.stderr
