# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics of one host, for Prometheus to scrape and for OTLP receivers. From the bottom up:

series    families of samples, and the bound on their number
exits     exits and their times, by VM, from the statistics
tracing   ring, bridge and its budget: what was lost, what tracing costs
domains   what VMs use, in the names of prometheus-libvirt-exporter, from the collector's file
sources   the files, and the bridge's newest answer
host      all of it together, and what making it took
scrapes   it as bytes, once for all who wait
server    GET /metrics
otlp      the same families as OTLP, pushed
preflight, main   start-up

`log` is the process's log.
"""

from typing import Final

from kvmlog.util.log import Log

log: Final = Log("kvmlog metrics")
