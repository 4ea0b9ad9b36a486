# SPDX-License-Identifier: GPL-2.0-or-later
"""VM statistics as XML-RPC and JSON serve them, apart from both protocols.

`source` reads the collector's file ahead of the callers; `selection` finds VMs by the words that
people give; `cursors` remembers what each caller has had; `documents` answers a question.
"""
