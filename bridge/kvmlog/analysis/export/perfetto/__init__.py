# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces for https://ui.perfetto.dev: a track per vCPU below its guest, exits as slices."""
