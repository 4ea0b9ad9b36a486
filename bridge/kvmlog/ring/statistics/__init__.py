# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics file beside the ring: its header, its readers, its one writer."""
