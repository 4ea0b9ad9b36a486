# SPDX-License-Identifier: GPL-2.0-or-later
"""The statistics file beside the ring.

reader: StatisticsReader, whose snapshots are grouped into rows; writer: StatisticsWriter, which
only the bridge needs; header: the layout that both check.
"""
