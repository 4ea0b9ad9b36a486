# SPDX-License-Identifier: GPL-2.0-or-later
"""What only analysis needs: exports, queries and reports of recordings.

Nothing on a host that is traced loads it; the packages that it takes are an extra,
kvmlog[analysis].
"""
