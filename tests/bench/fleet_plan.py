# SPDX-License-Identifier: GPL-2.0-or-later
"""What Prometheus takes for a fleet, from what `python -m tests.bench.metrics 30 60` measured.

    python -m tests.bench.fleet_plan [HOSTS [SCRAPE_S]]      (default: 1000 30)

prints the second table of docs/operations.md, "Prometheus for many hosts"; the figures below are
those of the first one, of a host with 30 VMs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

SERIES_OF_HOST = 5_110
PACKED_BYTES = 37_000
SERIES_BYTES = 4_200  # of memory
SAMPLE_BYTES = 3.55  # of disk
# The `host:` series of docs/prometheus/recording.yml, which a server above gets each minute.
FEDERATED = 10
SHARD_SERIES = 1_300_000
SHARD_DAYS = 15
DAY_S = 86_400


def rows(hosts: int, scrape_s: int) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table."""
    series = hosts * SERIES_OF_HOST
    per_s = series / scrape_s
    disk_per_s = per_s * SAMPLE_BYTES
    shards = max(1, round(series / SHARD_SERIES))
    memory = series * SERIES_BYTES
    above = hosts * FEDERATED
    yield "series", f"{series / 1e6:.1f} million; memory {memory / 1e9:.0f} GB"
    yield (
        "samples",
        f"{per_s:,.0f} a second; disk {disk_per_s / 1e6:.1f} MB a second, "
        f"{disk_per_s * DAY_S / 1e9:.0f} GB a day, "
        f"{disk_per_s * DAY_S * SHARD_DAYS / 1e12:.1f} TB for {SHARD_DAYS} days",
    )
    yield "network", f"{hosts * PACKED_BYTES / scrape_s / 1e6:.1f} MB a second"
    yield (
        "each host costs",
        f"{SERIES_OF_HOST * SERIES_BYTES / 1e6:.0f} MB of memory, "
        f"{disk_per_s * DAY_S / hosts / 1e6:.0f} MB of disk a day",
    )
    yield (
        f"{shards} shards",
        f"{series / shards / 1e6:.1f} million series, {per_s / shards:,.0f} samples a second, "
        f"{memory / shards / 1e9:.1f} GB of memory (give twice that: queries and WAL replay), "
        f"{disk_per_s * DAY_S * SHARD_DAYS / shards / 1e9:.0f} GB of disk each",
    )
    yield (
        "the server above",
        f"{above:,} series each minute, {above / 60 * SAMPLE_BYTES * DAY_S / 1e6:.0f} MB a day, "
        f"{above / 60 * SAMPLE_BYTES * DAY_S * 365 / 1e9:.0f} GB a year",
    )


def table(hosts: int = 1_000, scrape_s: int = 30) -> str:
    """Return the table as the docs have it."""
    lines = "".join(f"| {name} | {value} |\n" for name, value in rows(hosts, scrape_s))
    return f"| follows for {hosts:,} hosts | |\n|---|---|\n{lines}"


if __name__ == "__main__":
    print(table(*map(int, sys.argv[1:])), end="")
