# SPDX-License-Identifier: GPL-2.0-or-later
"""Command line of the VM runner: `make vm-sh`.

    .venv/bin/python -m scripts.vm --kernel 6.1 [--cpus 2] [--memory 2G] [--icount] COMMAND

Output and exit status are the command's. 124: the VM hung and was killed; 125: the
kernel complained or there is no such kernel; both with the console on stderr.
"""

from __future__ import annotations

import argparse
import signal
import sys

from scripts.vm.kernels import KernelError
from scripts.vm.runner import VmError, VmTimeoutError, run_vm


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.vm", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kernel", default="6.1", help="series or version (default: 6.1)")
    parser.add_argument("--cpus", type=int, default=None, help="default: 2; 1 with --icount")
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--icount", action="store_true", help="count instructions as time")
    parser.add_argument("--parallel", action="store_true", help="a thread per CPU (flaky)")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--load", default="kvm_amd", help="modules to load first")
    parser.add_argument("--append", default="", help="more kernel command line")
    parser.add_argument("--name", default=None, help="directory below build/vm")
    parser.add_argument("--tolerate", default=None, metavar="REGEX", help="console lines to accept")
    parser.add_argument("--quiet", action="store_true", help="no line about the VM at the end")
    parser.add_argument("command")
    options = parser.parse_args()
    cpus = options.cpus if options.cpus is not None else (1 if options.icount else 2)
    try:
        result = run_vm(
            options.kernel,
            options.command,
            cpus=cpus,
            memory=options.memory,
            icount=options.icount,
            parallel=options.parallel,
            timeout_s=options.timeout,
            load=options.load.split(),
            append=options.append,
            name=options.name,
            tolerate=options.tolerate,
            echo=True,
        )
    except VmTimeoutError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 124
    except (VmError, KernelError, ValueError) as error:
        print(f"vm: {error}", file=sys.stderr)
        return 125
    except BrokenPipeError:  # whoever read our output has gone, and the VM with it
        sys.stderr.close()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if not options.quiet:
        print(
            f"vm: booted in {result.boot_s:.1f} s, {result.total_s:.1f} s in all, "
            f"exit status {result.exit_code}, console in {result.console}",
            file=sys.stderr,
        )
    return result.exit_code if result.exit_code is not None else 125


if __name__ == "__main__":
    sys.exit(main())
