# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports made of the statistics: query, sampler, report, names, serialization."""
