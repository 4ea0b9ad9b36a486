# SPDX-License-Identifier: GPL-2.0-or-later
"""The log engine: keeps a source connected to the ring and in the requested state.

engine: Engine; connection: the source while it is there; request: TraceRequest and GuestFilter;
ratecap: max_per_s; budget and cpu_time: the cost of tracing and its limit; pump: the C pump's
thread; monitor: guests that come and go; counters: totals over restarts of the source.
"""
