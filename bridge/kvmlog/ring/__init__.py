# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring file: its records, its header, readers that never see a torn record, its one writer.

records: the record types and how to decode them; reader: RingReader; writer: RingWriter; block:
records as one binary block for other hosts; statistics: the file of statistics beside the ring.
"""
