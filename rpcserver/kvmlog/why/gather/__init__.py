# SPDX-License-Identifier: GPL-2.0-or-later
"""Evidence of a VM on this host: `watch` looks at it for some seconds, through all the others."""
