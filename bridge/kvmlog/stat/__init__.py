# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports made of the statistics.

query: which groups, in which order; sampler: moments of the statistics, and the reports between
two; report: groups with their shares; names: guests by name; serialize: reports as JSON-ready
objects.
"""
