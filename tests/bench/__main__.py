# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: what tracing costs per exit, counted in instructions, as a table.

    python -m tests.bench [KERNEL...]     (default: 6.1 6.12)

Boots a one-CPU VM whose clock counts executed instructions (tests/bench/inside.py measures in it).
`perf kvm stat` is measured too where /usr/bin/perf is installed.
"""

from __future__ import annotations

import json
import sys

from scripts.vm.kernels import SERIES, KernelError
from scripts.vm.runner import VmError, run_vm

EXPLANATION = """\
Instructions per exit, all-in: guest, host kernel, module, flush worker, log engine on one CPU.
A guest loops `cpuid; out`, two exits a turn, of which one returns to user space.
"""


def table(rows: list[dict[str, object]]) -> str:
    """The set-ups, one line each, with what they add to `nothing`."""
    base = float(str(rows[0]["per_exit"]))
    lines = [f"{'set-up':<30}{'per exit':>10}{'added':>10}{'change':>9}{'spread':>9}"]
    for row in rows:
        cost = float(str(row["per_exit"]))
        lines.append(
            f"{row['setup']!s:<30}{cost:>10.0f}{cost - base:>+10.1f}"
            f"{(cost / base - 1) * 100:>+8.2f}%{float(str(row['spread'])):>9.1f}"
        )
        if "engine_rss_kib" in row:
            lines.append(
                f"    engine resident {int(str(row['engine_rss_kib'])) / 1024:.1f} MiB, "
                f"records lost {row['lost']}"
            )
    return "\n".join(lines)


def comparison(rows: list[dict[str, object]], compared: list[dict[str, object]]) -> str:
    """Compare the cost that kvmlog measures itself with what was added to `nothing`."""
    per_exit = {row["setup"]: float(str(row["per_exit"])) for row in rows}
    lines = [
        f"{'by its own measurement':<30}{'probes':>10}{'worker':>9}{'pump':>9}"
        f"{'sum':>9}{'added':>9}{'told':>8}"
    ]
    for row in compared:
        parts = [float(str(row[name])) for name in ("probe_ns", "worker_ns", "pump_ns")]
        added = per_exit[row["setup"]] - float(str(rows[0]["per_exit"]))
        lines.append(
            f"{row['setup']!s:<30}{parts[0]:>10.0f}{parts[1]:>9.0f}{parts[2]:>9.0f}"
            f"{sum(parts):>9.0f}{added:>9.0f}{sum(parts) / added:>8.0%}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measures each kernel named and prints its table."""
    print(EXPLANATION)
    for kernel in sys.argv[1:] or SERIES:
        try:
            done = run_vm(
                kernel,
                ".venv/bin/python -m tests.bench.inside",
                cpus=1,
                icount=True,
                timeout_s=2400,
                name=f"bench-{kernel}",
            )
        except (VmError, KernelError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        if done.exit_code:
            print(done.stdout + done.stderr, file=sys.stderr)
            return done.exit_code
        print(f"kernel {kernel}")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        rows = [row for row in found if "compared" not in row]
        compared = [row["compared"] for row in found if "compared" in row]
        print(f"{table(rows)}\n\n{comparison(rows, compared)}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
